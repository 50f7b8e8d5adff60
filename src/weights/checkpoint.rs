//! Checkpoints as bytes: one safetensors file that any Python tool opens.
//!
//! Beside the tensors, one metadata entry `metacl`: a JSON object of [`Meta`], the format's `version`, and `xxh3_128`: XXH3-128, as 32 hex
//! digits, over that object's text with 32 zeros in the digest's place and, by name, every tensor's name, kind, shape and bytes. A file
//! that differs in one byte is refused.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::tensor::{SafeTensorError, SafeTensors, TensorView, serialize};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::CheckpointError;

/// Version of the layout that is written; others are refused.
pub(super) const VERSION: u32 = 1;
/// Key of our entry in the file's metadata.
const ENTRY: &str = "metacl";
/// Stands for the digest while the digest is taken.
const NO_DIGEST: &str = "00000000000000000000000000000000";
/// Largest header that is read, safetensors' own limit.
const MAX_HEADER: u64 = 100_000_000;

type Result<T> = std::result::Result<T, CheckpointError>;

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

/// A checkpoint whose digest has been compared.
#[derive(Debug)]
pub struct Verified<'a> {
    /// What it says about itself.
    pub meta: Meta,
    /// Its digest, 32 hex digits: another one, another content.
    pub digest: String,
    /// Every tensor, by name.
    pub tensors: Vec<(String, TensorView<'a>)>,
}

/// The file of `tensors`, which are sorted by name, no two of one name.
///
/// # Errors
/// Where a tensor is larger than safetensors can say.
pub fn to_bytes(meta: &Meta, tensors: Vec<(&str, TensorView<'_>)>) -> std::result::Result<Vec<u8>, SafeTensorError> {
    let entry = Entry { version: VERSION, xxh3_128: NO_DIGEST.to_owned(), meta: meta.clone() };
    let blank = serde_json::to_string(&entry)?;
    let found = digest(&blank, tensors.iter().map(|(name, view)| (*name, view)));
    let text = blank.replacen(NO_DIGEST, &found, 1);
    // One entry, so that the file does not depend on the order of a map.
    serialize(tensors, Some(HashMap::from([(ENTRY.to_owned(), text)])))
}

/// Understands and verifies the checkpoint in `bytes`; `path` is for errors.
///
/// # Errors
/// Where it is no checkpoint, of another version, cut short, or differs from what was written.
pub fn verify<'a>(path: &Path, bytes: &'a [u8]) -> Result<Verified<'a>> {
    let refused = |reason| match reason {
        SafeTensorError::MetadataIncompleteBuffer => {
            CheckpointError::WrongLength { path: path.to_owned(), bytes: bytes.len() as u64 }
        }
        reason => CheckpointError::NotSafetensors { path: path.to_owned(), reason },
    };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(refused)?;
    let file = SafeTensors::deserialize(bytes).map_err(refused)?;
    let text = entry_text(path, header.metadata().as_ref())?;
    let entry = parse_entry(path, text)?;

    let mut tensors = file.tensors();
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    let blank = text.replacen(&entry.xxh3_128, NO_DIGEST, 1);
    let found = digest(&blank, tensors.iter().map(|(name, view)| (name.as_str(), view)));
    if found != entry.xxh3_128 {
        return Err(CheckpointError::Damaged { path: path.to_owned(), stored: entry.xxh3_128, found });
    }
    Ok(Verified { meta: entry.meta, digest: found, tensors })
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

/// XXH3-128 over `text` and the tensors (sorted by name), every length in front of what it measures.
fn digest<'a>(text: &str, tensors: impl Iterator<Item = (&'a str, &'a TensorView<'a>)>) -> String {
    let mut hash = Xxh3::new();
    let mut part = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(text.as_bytes());
    for (name, view) in tensors {
        part(name.as_bytes());
        part(format!("{:?} {:?}", view.dtype(), view.shape()).as_bytes());
        part(view.data());
    }
    format!("{:032x}", hash.digest128())
}
