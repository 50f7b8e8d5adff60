//! Whether a source is still what it was when a conversion began: 8 bytes a sample, beside the journal.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use std::{fs, io};

use metacl::shard::ingest::{Item, Place, Split};
use rayon::prelude::*;
use xxhash_rust::xxh3::Xxh3;

use super::Failure;
use super::stage::replace;

/// The stamps of one split.
pub(super) struct Stamps {
    path: PathBuf,
    now: Vec<u64>,
}

impl Stamps {
    /// Takes the stamps of `split`, kept in the folder `stage`.
    pub(super) fn of(split: &Split, stage: &Path) -> Self {
        let path = stage.join(format!("{}.stamps", split.name));
        Self { path, now: split.items.par_iter().map(stamp).collect() }
    }

    /// The first of `0..count` whose stamp is another than the one that was kept.
    pub(super) fn changed(&self, count: u64) -> Result<Option<u64>, Failure> {
        let kept = fs::read(&self.path).map_err(|error| {
            let what = "delete the folder that holds it and convert again";
            Failure::Failed(format!("{}: cannot be read ({error}); {what}", self.path.display()))
        })?;
        let now = self.now.iter().map(|stamp| stamp.to_le_bytes());
        let same = kept.chunks_exact(8).zip(now).take_while(|(kept, now)| kept == now).count() as u64;
        Ok((same < count).then_some(same))
    }

    /// The folder that they are kept in.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// Keeps the stamps.
    pub(super) fn keep(&self) -> Result<(), Failure> {
        let bytes: Vec<u8> = self.now.iter().flat_map(|stamp| stamp.to_le_bytes()).collect();
        replace(&self.path, &bytes)
    }
}

/// Digest of what tells that a sample is still the same: name, label and place; of a file its length and time of change, of pixels these.
fn stamp(item: &Item) -> u64 {
    let mut hash = Xxh3::new();
    let mut part = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(item.name.as_bytes());
    part(&item.label.to_le_bytes());
    match &item.place {
        Place::File(folder) => part(&state(&folder.join(&item.name))),
        Place::Member { archive, offset, length } => {
            part(&state(archive.path()));
            part(&offset.to_le_bytes());
            part(&length.to_le_bytes());
        }
        Place::Planes { batch, offset } => part(batch.get(*offset..).map_or(&[], |rest| &rest[..rest.len().min(3072)])),
    }
    hash.digest()
}

/// Length and time of change of a file; what it is that keeps us from asking, where something does.
fn state(path: &Path) -> Vec<u8> {
    let asked = || -> io::Result<(u64, u128)> {
        let metadata = path.metadata()?;
        let changed = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok((metadata.len(), changed.as_nanos()))
    };
    match asked() {
        Ok((length, changed)) => [&length.to_le_bytes()[..], &changed.to_le_bytes()].concat(),
        Err(error) => error.kind().to_string().into_bytes(),
    }
}
