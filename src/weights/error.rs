//! What can be wrong with a checkpoint.

use std::io;
use std::path::PathBuf;

use safetensors::tensor::SafeTensorError;

use super::checkpoint::VERSION;

/// Why a checkpoint cannot be written or taken.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum CheckpointError {
    #[error("{}: cannot {action} the checkpoint: {reason}", path.display())]
    Io { path: PathBuf, action: &'static str, reason: io::Error },
    /// The header is not safetensors'.
    #[error("{}: no safetensors file, or one cut short within its header ({reason})", path.display())]
    NotSafetensors { path: PathBuf, reason: SafeTensorError },
    /// The data ends early or late.
    #[error("{}: cut short or lengthened: {bytes} bytes where its header needs another number; use an earlier checkpoint", path.display())]
    WrongLength { path: PathBuf, bytes: u64 },
    #[error("{}: safetensors, but no checkpoint of metacl (no metadata entry `metacl`)", path.display())]
    NotOurs { path: PathBuf },
    #[error("{}: the metadata entry `metacl` cannot be read: {reason}", path.display())]
    Meta { path: PathBuf, reason: serde_json::Error },
    #[error("{}: checkpoint version {version}, this program reads {VERSION}", path.display())]
    Version { path: PathBuf, version: u32 },
    /// The content is not what was written.
    #[error("{}: damaged: its digest is {found}, {stored} was written; use an earlier checkpoint", path.display())]
    Damaged { path: PathBuf, stored: String, found: String },
    /// A tensor of a kind that checkpoints do not hold.
    #[error("{}: tensor `{name}` is of kind {kind}, which checkpoints do not hold", path.display())]
    Kind { path: PathBuf, name: String, kind: String },
    /// Two tensors of one name.
    #[error("{}: two tensors are named `{name}`", path.display())]
    Twice { path: PathBuf, name: String },
    #[error("{}: tensor `{name}`: {reason}", path.display())]
    Tensor { path: PathBuf, name: String, reason: String },
    #[error("{}: architecture {arch:?} is unknown here", path.display())]
    UnknownArch { path: PathBuf, arch: String },
    /// No backbone among the tensors.
    #[error("{}: a checkpoint of {arch:?} without a backbone (tensors `convnet.*`): name a pre-training checkpoint, or one of finetune", path.display())]
    NoBackbone { path: PathBuf, arch: String },
    /// Another architecture than the run's.
    #[error("{}: the checkpoint is of {saved}, this run is of {wanted}: give --arch {saved}, or another checkpoint", path.display())]
    OtherArch { path: PathBuf, saved: String, wanted: String },
}

impl CheckpointError {
    /// Whether the file's content is not what was written, so that an earlier checkpoint may serve.
    pub fn is_damage(&self) -> bool {
        use CheckpointError::{Damaged, Meta, NotOurs, NotSafetensors, WrongLength};
        matches!(self, NotSafetensors { .. } | WrongLength { .. } | NotOurs { .. } | Meta { .. } | Damaged { .. })
    }
}
