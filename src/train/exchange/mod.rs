//! Weights that travel: a backbone to torchvision, weights of PyTorch and safetensors files to a checkpoint.
//!
//! - [`export`]: a checkpoint to the bare backbone. [`import`]: a foreign file to a checkpoint.
//! - [`TorchFile`]: what `torch.save` writes, read without running a pickle; `storages`: the numbers in it, of both layouts.
//! - `source`: any file that weights are read from. `names`: foreign names to ours. `identify`: architecture and stem by shapes.
//!
//! Not here: our own checkpoints (`checkpoint`), which tensors a network has (`nn`).

mod error;
mod export;
mod identify;
mod import;
mod names;
mod source;
mod storages;
mod torch_file;

pub use error::ExchangeError;
pub use export::{Exported, export};
pub use import::{Imported, import};
pub use torch_file::TorchFile;
