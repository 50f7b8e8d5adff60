//! From a finished slot to tensors on the device.
//!
//! - [`rows`]: rows on the device, mixed and turned.
//!
//! Not here: what a batch holds (`episode`), networks.

pub mod rows;

use tch::{Device, Kind, Tensor};

use crate::augment::ViewSpec;
use crate::loader::Batch;

/// The first CUDA device where this libtorch sees one, else the CPU.
pub fn best() -> Device {
    Device::cuda_if_available()
}

/// The views of `batch` as `[rows, 3, size, size]`, f32 in 0..=1 (torchvision's `ToTensor`: value / 255).
pub fn images(batch: &Batch, view: ViewSpec, device: Device) -> Tensor {
    let side = i64::from(view.size);
    let rows = batch.plan().views.len() as i64;
    let bytes = Tensor::from_data_size(batch.bytes(), &[rows, 3, side, side], Kind::Uint8);
    bytes.to_device(device).to_kind(Kind::Float) / 255.0
}
