//! A file that weights are read from: names and shapes first, numbers of those that are wanted.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use tch::Tensor;

use super::{ExchangeError, TorchFile};
use crate::train::checkpoint;

pub(super) enum Source {
    Torch(Box<TorchFile>),
    Safetensors { path: PathBuf, bytes: Vec<u8> },
}

impl Source {
    /// Opens the file at `path`; what it is shows in its first bytes.
    pub(super) fn open(path: &Path) -> Result<Self, ExchangeError> {
        let bytes =
            fs::read(path).map_err(|reason| ExchangeError::Io { path: path.to_owned(), action: "read", reason })?;
        if TorchFile::recognises(&bytes) {
            return TorchFile::read(path, bytes).map(|file| Self::Torch(Box::new(file)));
        }
        // A safetensors file begins with the length of its header, which begins with a brace.
        if bytes.get(8) != Some(&b'{') {
            let what = match bytes.len() {
                0 => "it is empty".to_owned(),
                _ => format!("it begins with {:02x?}", &bytes[..bytes.len().min(8)]),
            };
            return Err(ExchangeError::Format { path: path.to_owned(), what });
        }
        SafeTensors::deserialize(&bytes).map_err(|reason| ExchangeError::damaged(path, reason.to_string()))?;
        Ok(Self::Safetensors { path: path.to_owned(), bytes })
    }

    /// Its format, for people.
    pub(super) fn format(&self) -> &'static str {
        match self {
            Self::Torch(_) => "torch.save",
            Self::Safetensors { .. } => "safetensors",
        }
    }

    /// Names and shapes of all tensors.
    pub(super) fn shapes(&self) -> BTreeMap<String, Vec<i64>> {
        match self {
            Self::Torch(file) => file.shapes(),
            Self::Safetensors { bytes, .. } => {
                let tensors = SafeTensors::deserialize(bytes).map(|file| file.tensors()).unwrap_or_default();
                let shape =
                    |shape: &[usize]| shape.iter().map(|&side| i64::try_from(side).unwrap_or(i64::MAX)).collect();
                tensors.iter().map(|(name, view)| (name.clone(), shape(view.shape()))).collect()
            }
        }
    }

    /// Iterations that the file says it was trained for.
    pub(super) fn iter(&self) -> Option<u64> {
        match self {
            Self::Torch(file) => file.iter(),
            Self::Safetensors { .. } => None,
        }
    }

    /// The tensor `name`.
    pub(super) fn tensor(&mut self, name: &str) -> Result<Tensor, ExchangeError> {
        match self {
            Self::Torch(file) => file.tensor(name),
            Self::Safetensors { path, bytes } => {
                let missing =
                    |reason: safetensors::SafeTensorError| ExchangeError::tensor(path, name, reason.to_string());
                let file = SafeTensors::deserialize(bytes).map_err(missing)?;
                Ok(checkpoint::to_tensor(path, name, &file.tensor(name).map_err(missing)?)?)
            }
        }
    }
}
