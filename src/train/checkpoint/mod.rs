//! Checkpoints: files of a network's tensors, under torchvision's names, and of the optimizer's state, under `optim.`.
//!
//! - [`write()`], [`Checkpoint::read`]: one file. `folder`: the files of a run. `tensors`: tensors as bytes.
//!
//! Not here: the file's layout and what it says about itself ([`weights`]), which tensors a network has (`nn`), what a state means
//! (`optim`).

mod folder;
mod tensors;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use safetensors::tensor::SafeTensorError;
use tch::Tensor;

use crate::atomic;
use crate::config::{Arch, Value};
use crate::weights;
pub use crate::weights::{CheckpointError, Meta, read_meta};
pub use folder::{Newest, keep_last, newest, numbered_path, previous_path, rolling_path};
pub(super) use tensors::{Stored, tensor as to_tensor};

/// Before the name of a tensor of the optimizer's state.
const OPTIM: &str = "optim.";

/// A checkpoint in memory, on the CPU.
#[derive(Debug)]
pub struct Checkpoint {
    /// The file it came from.
    pub path: PathBuf,
    /// Its digest, 32 hex digits: another one, another content.
    pub digest: String,
    /// What it says about itself.
    pub meta: Meta,
    /// The network's tensors, by torchvision's names.
    pub model: HashMap<String, Tensor>,
    /// The optimizer's state, without the prefix.
    pub optimizer: HashMap<String, Tensor>,
}

type Result<T> = std::result::Result<T, CheckpointError>;

/// Writes a checkpoint to `path`, whole or not at all.
///
/// `model` and `optimizer` may live on any device; names must differ.
///
/// # Errors
/// Where the file cannot be written, or a tensor's kind has no name in safetensors.
pub fn write(path: &Path, meta: &Meta, model: &[(String, Tensor)], optimizer: &[(String, Tensor)]) -> Result<()> {
    let bytes = encode(path, meta, model, optimizer)?;
    let failed = |reason| CheckpointError::Io { path: path.to_owned(), action: "write", reason };
    atomic::replace(path, |partial| fs::write(partial, &bytes)).map_err(failed)
}

/// Writes the rolling checkpoint of `folder`; the one before it stays as [`previous_path`].
///
/// # Errors
/// As [`write()`].
pub fn write_rolling(
    folder: &Path,
    meta: &Meta,
    model: &[(String, Tensor)],
    optimizer: &[(String, Tensor)],
) -> Result<()> {
    let path = rolling_path(folder);
    let bytes = encode(&path, meta, model, optimizer)?;
    let failed = |reason| CheckpointError::Io { path: path.clone(), action: "write", reason };
    // The old one gets its second name when the new one is written and before it takes the first.
    let write = |partial: &Path| fs::write(partial, &bytes).and_then(|()| folder::keep_previous(folder));
    atomic::replace(&path, write).map_err(failed)
}

/// A checkpoint's file; `path` is for errors.
fn encode(path: &Path, meta: &Meta, model: &[(String, Tensor)], optimizer: &[(String, Tensor)]) -> Result<Vec<u8>> {
    let model = model.iter().map(|(name, tensor)| (name.clone(), tensor));
    let optimizer = optimizer.iter().map(|(name, tensor)| (format!("{OPTIM}{name}"), tensor));
    let mut stored =
        model.chain(optimizer).map(|(name, tensor)| Stored::of(path, name, tensor)).collect::<Result<Vec<_>>>()?;
    stored.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = stored.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(CheckpointError::Twice { path: path.to_owned(), name: pair[0].name.clone() });
    }

    let not_written = |reason: SafeTensorError| io::Error::other(reason.to_string());
    let failed = |reason| CheckpointError::Io { path: path.to_owned(), action: "write", reason };
    let views = stored.iter().map(|tensor| tensor.view().map(|view| (tensor.name.as_str(), view)));
    let views = views.collect::<std::result::Result<Vec<_>, _>>().map_err(|reason| failed(not_written(reason)))?;
    weights::to_bytes(meta, views).map_err(|reason| failed(not_written(reason)))
}

impl Checkpoint {
    /// Reads and verifies the checkpoint at `path`.
    ///
    /// # Errors
    /// Where it is missing, no checkpoint, of another version, cut short, or differs from what was written.
    pub fn read(path: &Path) -> Result<Checkpoint> {
        let file =
            fs::read(path).map_err(|reason| CheckpointError::Io { path: path.to_owned(), action: "read", reason })?;
        let weights::Verified { meta, digest, tensors } = weights::verify(path, &file)?;
        let (mut model, mut optimizer) = (HashMap::new(), HashMap::new());
        for (name, view) in &tensors {
            let tensor = tensors::tensor(path, name, view)?;
            match name.strip_prefix(OPTIM) {
                Some(name) => optimizer.insert(name.to_owned(), tensor),
                None => model.insert(name.clone(), tensor),
            };
        }
        Ok(Checkpoint { path: path.to_owned(), digest, meta, model, optimizer })
    }

    /// The architecture it was saved from.
    ///
    /// # Errors
    /// [`CheckpointError::UnknownArch`].
    pub fn arch(&self) -> Result<Arch> {
        let unknown = || CheckpointError::UnknownArch { path: self.path.clone(), arch: self.meta.arch.clone() };
        Arch::parse(&self.meta.arch).ok_or_else(unknown)
    }

    /// Refuses a checkpoint of another architecture than `wanted`.
    ///
    /// # Errors
    /// [`CheckpointError::OtherArch`].
    pub fn expect_arch(&self, wanted: &str) -> Result<()> {
        if self.meta.arch == wanted {
            return Ok(());
        }
        let (path, saved) = (self.path.clone(), self.meta.arch.clone());
        Err(CheckpointError::OtherArch { path, saved, wanted: wanted.to_owned() })
    }
}
