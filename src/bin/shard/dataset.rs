//! What a path or a URL on the command line means: a dataset, one of its splits, or one file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use metacl::shard::ingest::SPLITS;
use metacl::shard::{Location, ShardError, ShardSet, Storage, shard_files, verify_files, verify_set};

use super::Failure;

/// A split that a path or URL names.
pub(super) struct Place {
    /// Name of the split: of its folder, or of the single file's folder.
    pub(super) name: String,
    /// A folder of shard files, or one file.
    pub(super) location: Location,
    storage: Storage,
}

impl Place {
    fn new(location: Location, name: String, storage: &Storage) -> Self {
        Self { name, location, storage: storage.clone() }
    }

    fn on_disk(path: &Path, named: &Path, storage: &Storage) -> Self {
        let name = named.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Self::new(Location::Disk(path.to_owned()), name, storage)
    }

    /// Opens it; the error names the file.
    pub(super) fn open(&self) -> Result<ShardSet, Failure> {
        Ok(ShardSet::open_at(&self.location, &self.storage)?)
    }

    /// Opens it for reading all of its index.
    pub(super) fn open_whole(&self) -> Result<ShardSet, Failure> {
        let set = self.open()?;
        set.fetch_index()?;
        Ok(set)
    }

    /// How many files it has, and every fault in them.
    pub(super) fn verify(&self) -> Result<(u64, Vec<ShardError>), Failure> {
        match &self.location {
            Location::Disk(path) => {
                let files = if path.is_file() { vec![path.clone()] } else { shard_files(path)? };
                Ok((files.len() as u64, verify_files(&files)))
            }
            Location::Url(_) => match ShardSet::open_at(&self.location, &self.storage) {
                Ok(set) => Ok((set.shards().len() as u64, verify_set(&set))),
                Err(error) => Ok((0, vec![error])),
            },
        }
    }
}

/// The splits at `place`, `train`, `val` and `test` first.
pub(super) fn splits(place: &Path, storage: &Storage) -> Result<Vec<Place>, Failure> {
    let location = Location::parse(place)?;
    match &location {
        Location::Disk(path) => splits_on_disk(path, storage),
        Location::Url(_) => splits_at_url(location, storage),
    }
}

/// A URL cannot be listed everywhere, so the usual names are tried.
fn splits_at_url(location: Location, storage: &Storage) -> Result<Vec<Place>, Failure> {
    if storage.has_shards(&location)? {
        let name = location.split_name();
        return Ok(vec![Place::new(location, name, storage)]);
    }
    let mut splits = Vec::new();
    for split in SPLITS {
        let folder = location.join(split);
        if storage.has_shards(&folder)? {
            splits.push(Place::new(folder, split.to_owned(), storage));
        }
    }
    if splits.is_empty() {
        let what =
            "holds no 00000.mcs that can be read, nor do train, val and test in it; check the URL and the credentials";
        return Err(Failure::Failed(format!("{location}: {what}")));
    }
    Ok(splits)
}

fn splits_on_disk(path: &Path, storage: &Storage) -> Result<Vec<Place>, Failure> {
    let failed = |error| unreadable(path, &error);
    let real = fs::canonicalize(path).map_err(failed)?;
    if real.is_file() {
        return Ok(vec![Place::on_disk(path, real.parent().unwrap_or(&real), storage)]);
    }
    if !shard_files(path)?.is_empty() {
        return Ok(vec![Place::on_disk(path, &real, storage)]);
    }
    let mut splits = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let folder: PathBuf = entry.map_err(failed)?.path();
        if !is_hidden(&folder) && folder.is_dir() && !shard_files(&folder)?.is_empty() {
            splits.push(Place::on_disk(&folder, &folder, storage));
        }
    }
    let rank = |place: &Place| SPLITS.iter().position(|&split| split == place.name).unwrap_or(SPLITS.len());
    splits.sort_by_key(|place| (rank(place), place.name.clone()));
    if splits.is_empty() {
        let what = "holds no .mcs file, nor a folder that does; make a dataset with `metacl-shard convert`";
        return Err(Failure::Failed(format!("{}: {what}", path.display())));
    }
    Ok(splits)
}

/// The split `name` at `path`; without a name the only one, or `train`.
pub(super) fn split(path: &Path, name: Option<&str>, storage: &Storage) -> Result<Place, Failure> {
    let mut places = splits(path, storage)?;
    let names: Vec<String> = places.iter().map(|place| place.name.clone()).collect();
    let wanted = name.unwrap_or("train");
    let found = match names.iter().position(|name| name == wanted) {
        None if name.is_none() && places.len() == 1 => Some(0),
        found => found,
    };
    let at = found.ok_or_else(|| {
        let path = shown(path);
        Failure::Failed(format!("{path}: has no split {wanted}; it has {}", names.join(", ")))
    })?;
    Ok(places.swap_remove(at))
}

/// What was given on the command line, without what a URL may hold of secrets.
pub(super) fn shown(place: &Path) -> String {
    metacl::shard::location::public(&place.display().to_string())
}

/// Hidden names are those of unfinished work.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::Failed(format!(
        "{}: cannot be read ({error}); give a dataset, a split's folder or an .mcs file",
        path.display()
    ))
}
