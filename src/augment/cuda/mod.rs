//! Renders views on the GPU, from the same plans and to the same bytes as [`cpu`](super::cpu).
//!
//! - [`args`]: what kernels are told. [`list`]: plans to that, and what a launch needs. [`values`]: types of a batch's values.
//!
//! The kernels are `kernels/*.cu`. Not here: randomness, decoding, torch.

pub mod args;
pub mod list;
pub mod values;

pub use list::{Output, Source, ViewList};
pub use values::ValueKind;
