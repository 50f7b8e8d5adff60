//! From a finished slot to tensors on the device.
//!
//! - [`feed`]: batches for the network, whoever renders them. [`rows`]: rows on the device, mixed and turned. [`route`]: which device does what. [`interop`]: torch's side of CUDA.
//!
//! Not here: what a batch holds (`episode`), networks.

pub mod feed;
pub mod interop;
pub mod route;
pub mod rows;

use tch::{Device, Kind, Tensor};

use crate::augment::ViewSpec;
use crate::loader;

pub use feed::{Batch, Feed, FeedError, Feeder};
pub use route::{Augment, Choice, Machine, Route, RouteError, augment_route};

/// The views of `batch` as `[rows, 3, size, size]`, f32 in 0..=1 (torchvision's `ToTensor`: value / 255).
pub fn images(batch: &loader::Batch, view: ViewSpec, device: Device) -> Tensor {
    let side = i64::from(view.size);
    let rows = batch.plan().views.len() as i64;
    let bytes = Tensor::from_data_size(batch.bytes(), &[rows, 3, side, side], Kind::Uint8);
    unit(&bytes.to_device(device))
}

/// Levels, u8 of any shape, to f32 in 0..=1. Divided by a tensor: by a number, torch's kernels for GPUs multiply with its rounded inverse.
pub fn unit(levels: &Tensor) -> Tensor {
    let floats = (Kind::Float, levels.device());
    levels.to_kind(Kind::Float) / Tensor::full([0i64; 0], 255.0, floats)
}
