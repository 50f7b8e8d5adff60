//! Where a dataset is made: a folder, or a URL, for which it is made in a folder first and then copied.

use std::fs;
use std::path::{Path, PathBuf};

use metacl::shard::ingest::SPLITS;
use metacl::shard::{Location, ShardSet, Storage};
use tempfile::TempDir;

use super::Failure;

/// The target of a command that makes a dataset.
pub(super) struct Destination {
    folder: PathBuf,
    /// Where it goes in the end, and the folder that goes away with this.
    remote: Option<(Location, Storage, TempDir)>,
}

impl Destination {
    /// Takes `target` as a path or URL; a dataset for a URL is made below `stage`, else in the system's folder for such.
    pub(super) fn new(target: &Path, stage: Option<&Path>, storage: &Storage) -> Result<Self, Failure> {
        let location = match Location::parse(target)? {
            Location::Disk(folder) => return Ok(Self { folder, remote: None }),
            url => url,
        };
        let usual = std::env::temp_dir();
        let stage = stage.unwrap_or(&usual);
        let made = tempfile::Builder::new().prefix("metacl-").tempdir_in(stage).map_err(|error| {
            Failure::Failed(format!("{}: no folder can be made ({error}); give another --stage", stage.display()))
        })?;
        Ok(Self { folder: made.path().join("dataset"), remote: Some((location, storage.clone(), made)) })
    }

    /// Where to make it.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether it is a folder that the user named.
    pub(super) fn is_disk(&self) -> bool {
        self.remote.is_none()
    }

    /// Refuses a URL that has one of `splits` already, or a split that numbers other classes; of a folder, its making does that.
    pub(super) fn refuse_existing(&self, splits: &[&str], classes: &[String]) -> Result<(), Failure> {
        let Some((location, storage, _)) = &self.remote else { return Ok(()) };
        let exists = |place: &Location| {
            Failure::Failed(format!("{place}: exists and is not overwritten; choose another URL or delete it"))
        };
        if storage.has_shards(location)? {
            return Err(exists(location));
        }
        for split in SPLITS {
            let place = location.join(split);
            if !storage.has_shards(&place)? {
                continue;
            }
            if splits.contains(&split) {
                return Err(exists(&place));
            }
            if ShardSet::open_at(&place, storage)?.classes() != classes {
                let message = "its classes are others than those of the new split; choose another URL";
                return Err(Failure::Failed(format!("{place}: {message}")));
            }
        }
        Ok(())
    }

    /// Copies what was made to where it goes, and opens it there. First parts come last: without them a split is not seen.
    pub(super) fn publish(&self) -> Result<(), Failure> {
        let Some((location, storage, _)) = &self.remote else { return Ok(()) };
        let mut sent = Vec::new();
        let published = self.send(location, storage, &mut sent);
        if published.is_err() {
            for object in sent.iter().rev() {
                // The first error is the one to tell.
                let _ = storage.delete(object);
            }
        }
        published
    }

    fn send(&self, location: &Location, storage: &Storage, sent: &mut Vec<Location>) -> Result<(), Failure> {
        for split in sorted(&self.folder)? {
            let place = location.join(&name(&split));
            for file in sorted(&split)?.iter().rev() {
                let object = place.join(&name(file));
                storage.upload(file, &object)?;
                sent.push(object);
            }
            if ShardSet::open_at(&place, storage)?.identity() != ShardSet::open(&split)?.identity() {
                return Err(Failure::Failed(format!("{place}: holds something else than was written; write it again")));
            }
        }
        Ok(())
    }

    /// How a path below the folder is to be shown.
    pub(super) fn shown(&self, path: &Path) -> String {
        match (&self.remote, path.strip_prefix(&self.folder)) {
            (Some((location, ..)), Ok(below)) => location.join(&below.to_string_lossy()).to_string(),
            _ => path.display().to_string(),
        }
    }
}

/// What is in a folder, by name. `rejected.tsv` is after the shards, so it is sent before them.
fn sorted(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
    paths.sort();
    Ok(paths)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
