//! Renders views on the GPU, from the same plans and to the same bytes as [`cpu`](super::cpu).
//!
//! - [`args`]: what kernels are told. [`list`]: plans to that, and what a launch needs. [`values`]: types of a batch's values.
//! - [`kernels`]: the kernels on a device, and the launch of a batch of views. [`expand`]: launches that make pixels of coefficient records.
//!   [`mix`]: of query mixing.
//!
//! The kernels themselves are `kernels/*.cu`. Not here: randomness, memory and streams (`gpu`, `stage`), torch.

pub mod args;
pub mod expand;
pub mod kernels;
pub mod list;
pub mod mix;
pub mod values;

pub use args::{Delivery, ViewArgs};
pub use expand::ExpandMemory;
pub use kernels::{Kernels, SOURCES, ViewMemory};
pub use list::{Output, Source, ViewList};
pub use mix::MixArgs;
pub use values::ValueKind;
