//! Checkpoints: one safetensors file that any Python tool opens.
//!
//! Model tensors under torchvision's names, optimizer state under `optim.`, and one metadata entry `metacl`: a JSON object of
//! [`Meta`], the format's `version`, and `xxh3_128`: XXH3-128, as 32 hex digits, over that object's text with 32 zeros in the
//! digest's place and, by name, every tensor's name, kind, shape and bytes. A file that differs in one byte is refused.
//!
//! - [`write()`], [`Checkpoint::read`], [`read_meta`]: one file. `folder`: the files of a run. `bytes`: tensors, digest. `error`.
//!
//! Not here: which tensors a network has (`nn`), what a state means (`optim`).

mod bytes;
mod error;
mod folder;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use safetensors::tensor::{SafeTensorError, SafeTensors, serialize};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::atomic;
use crate::config::{Arch, Value};
pub(super) use bytes::{Stored, tensor as to_tensor};
pub use error::CheckpointError;
pub use folder::{Newest, keep_last, newest, numbered_path, previous_path, rolling_path};

/// Version of the layout that is written; others are refused.
const VERSION: u32 = 1;
/// Key of our entry in the file's metadata.
const ENTRY: &str = "metacl";
/// Before the name of a tensor of the optimizer's state.
const OPTIM: &str = "optim.";
/// Stands for the digest while the digest is taken.
const NO_DIGEST: &str = "00000000000000000000000000000000";
/// Largest header that is read, safetensors' own limit.
const MAX_HEADER: u64 = 100_000_000;

/// What a checkpoint says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// Micro-batches done.
    pub iter: u64,
    /// Name of the architecture.
    pub arch: String,
    /// Name of the head.
    pub head: String,
    /// [`Config::digest`](crate::config::Config::digest), 32 hex digits.
    pub config_digest: String,
    /// The run's seed.
    pub seed: u64,
    /// Whatever else the loop needs to go on.
    pub extra: serde_json::Value,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    version: u32,
    xxh3_128: String,
    #[serde(flatten)]
    meta: Meta,
}

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
    let entry = Entry { version: VERSION, xxh3_128: NO_DIGEST.to_owned(), meta: meta.clone() };
    let blank = serde_json::to_string(&entry).map_err(|reason| failed(reason.into()))?;
    let views = stored.iter().map(|tensor| tensor.view().map(|view| (tensor.name.as_str(), view)));
    let views = views.collect::<std::result::Result<Vec<_>, _>>().map_err(|reason| failed(not_written(reason)))?;
    let found = bytes::digest(&blank, views.iter().map(|(name, view)| (*name, view)));
    let text = blank.replacen(NO_DIGEST, &found, 1);
    // One entry, so that the file does not depend on the order of a map.
    let bytes = serialize(views, Some(HashMap::from([(ENTRY.to_owned(), text)])));
    bytes.map_err(|reason| failed(not_written(reason)))
}

impl Checkpoint {
    /// Reads and verifies the checkpoint at `path`.
    ///
    /// # Errors
    /// Where it is missing, no checkpoint, of another version, cut short, or differs from what was written.
    pub fn read(path: &Path) -> Result<Checkpoint> {
        let file =
            fs::read(path).map_err(|reason| CheckpointError::Io { path: path.to_owned(), action: "read", reason })?;
        let refused = |reason| match reason {
            SafeTensorError::MetadataIncompleteBuffer => {
                CheckpointError::WrongLength { path: path.to_owned(), bytes: file.len() as u64 }
            }
            reason => CheckpointError::NotSafetensors { path: path.to_owned(), reason },
        };
        let (_, header) = SafeTensors::read_metadata(&file).map_err(refused)?;
        let tensors = SafeTensors::deserialize(&file).map_err(refused)?;
        let text = entry_text(path, header.metadata().as_ref())?;
        let entry = parse_entry(path, text)?;

        let mut views = tensors.tensors();
        views.sort_by(|(a, _), (b, _)| a.cmp(b));
        let blank = text.replacen(&entry.xxh3_128, NO_DIGEST, 1);
        let found = bytes::digest(&blank, views.iter().map(|(name, view)| (name.as_str(), view)));
        if found != entry.xxh3_128 {
            return Err(CheckpointError::Damaged { path: path.to_owned(), stored: entry.xxh3_128, found });
        }
        let (mut model, mut optimizer) = (HashMap::new(), HashMap::new());
        for (name, view) in &views {
            let tensor = bytes::tensor(path, name, view)?;
            match name.strip_prefix(OPTIM) {
                Some(name) => optimizer.insert(name.to_owned(), tensor),
                None => model.insert(name.clone(), tensor),
            };
        }
        Ok(Checkpoint { path: path.to_owned(), digest: entry.xxh3_128, meta: entry.meta, model, optimizer })
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

/// What the checkpoint at `path` says about itself; its tensors are neither read nor verified.
///
/// # Errors
/// Where it is missing, no checkpoint, or of another version.
pub fn read_meta(path: &Path) -> Result<Meta> {
    let failed = |reason| CheckpointError::Io { path: path.to_owned(), action: "read", reason };
    let mut file = File::open(path).map_err(failed)?;
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(failed)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER {
        return Err(CheckpointError::NotSafetensors { path: path.to_owned(), reason: SafeTensorError::HeaderTooLarge });
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header).map_err(failed)?;

    #[derive(Deserialize)]
    struct Header {
        #[serde(rename = "__metadata__")]
        metadata: Option<HashMap<String, String>>,
    }
    let header: Header = serde_json::from_slice(&header).map_err(|reason| CheckpointError::NotSafetensors {
        path: path.to_owned(),
        reason: SafeTensorError::InvalidHeaderDeserialization(reason),
    })?;
    Ok(parse_entry(path, entry_text(path, header.metadata.as_ref())?)?.meta)
}

/// Our entry in the metadata of the file at `path`.
fn entry_text<'a>(path: &Path, metadata: Option<&'a HashMap<String, String>>) -> Result<&'a str> {
    let text = metadata.and_then(|metadata| metadata.get(ENTRY));
    text.map(String::as_str).ok_or_else(|| CheckpointError::NotOurs { path: path.to_owned() })
}

fn parse_entry(path: &Path, text: &str) -> Result<Entry> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let unreadable = |reason| CheckpointError::Meta { path: path.to_owned(), reason };
    // The version first: another one may have other fields.
    match serde_json::from_str::<Versioned>(text).map_err(unreadable)?.version {
        VERSION => serde_json::from_str(text).map_err(unreadable),
        version => Err(CheckpointError::Version { path: path.to_owned(), version }),
    }
}
