//! Why weights cannot travel.

use std::io;
use std::path::{Path, PathBuf};

use crate::nn::NnError;
use crate::shard::ingest::pickle::PickleError;
use crate::train::checkpoint::CheckpointError;

/// Why a file of weights cannot be read or written.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ExchangeError {
    #[error("{}: cannot {action} it: {reason}", path.display())]
    Io { path: PathBuf, action: &'static str, reason: io::Error },
    /// Something lies there already.
    #[error("{}: exists and is not overwritten; give another --out", path.display())]
    Exists { path: PathBuf },
    /// Neither of the formats.
    #[error("{}: no file of weights: {what}; torch.save and safetensors files are read", path.display())]
    Format { path: PathBuf, what: String },
    /// The format is right, the content is not.
    #[error("{}: damaged: {what}", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("{}: the pickle in it cannot be read: {reason}", path.display())]
    Pickle { path: PathBuf, reason: PickleError },
    /// One tensor is not as it must be.
    #[error("{}: tensor `{name}`: {what}", path.display())]
    Tensor { path: PathBuf, name: String, what: String },
    /// No backbone, or several.
    #[error("{}: {what}", path.display())]
    Backbone { path: PathBuf, what: String },
    #[error("{}: {reason}", path.display())]
    Network { path: PathBuf, reason: NnError },
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl ExchangeError {
    pub(super) fn tensor(path: &Path, name: &str, what: impl Into<String>) -> Self {
        Self::Tensor { path: path.to_owned(), name: name.to_owned(), what: what.into() }
    }

    pub(super) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), what: what.into() }
    }

    pub(super) fn backbone(path: &Path, what: impl Into<String>) -> Self {
        Self::Backbone { path: path.to_owned(), what: what.into() }
    }
}
