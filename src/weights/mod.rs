//! Files of weights as names, shapes and bytes: what must be understood and checked before there is a tensor, hence without torch.
//!
//! - `checkpoint`: the layout of our own checkpoints: [`to_bytes`], [`verify`], [`read_meta`]. `error`: [`CheckpointError`].
//!
//! Not here: tensors, the files of a run (`train`).

#![forbid(unsafe_code)]

mod checkpoint;
mod error;

pub use checkpoint::{Meta, Verified, read_meta, to_bytes, verify};
pub use error::CheckpointError;
