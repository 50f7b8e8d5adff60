//! What a path on the command line means: a dataset, one of its splits, or one file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use metacl::shard::ingest::SPLITS;
use metacl::shard::{ShardSet, shard_files};

use super::Failure;

/// A split that a path names.
pub(super) struct Place {
    /// Name of the split: of its folder, or of the single file's folder.
    pub(super) name: String,
    /// A folder of shard files, or one file.
    pub(super) path: PathBuf,
}

impl Place {
    fn new(path: &Path, named: &Path) -> Self {
        let name = named.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Self { name, path: path.to_owned() }
    }

    /// Opens it; the error names the file.
    pub(super) fn open(&self) -> Result<ShardSet, Failure> {
        Ok(ShardSet::open(&self.path)?)
    }

    /// Its shard files, sorted.
    pub(super) fn files(&self) -> Result<Vec<PathBuf>, Failure> {
        if self.path.is_file() { Ok(vec![self.path.clone()]) } else { Ok(shard_files(&self.path)?) }
    }
}

/// The splits at `path`, `train`, `val` and `test` first.
pub(super) fn splits(path: &Path) -> Result<Vec<Place>, Failure> {
    let failed = |error| unreadable(path, &error);
    let real = fs::canonicalize(path).map_err(failed)?;
    if real.is_file() {
        return Ok(vec![Place::new(path, real.parent().unwrap_or(&real))]);
    }
    if !shard_files(path)?.is_empty() {
        return Ok(vec![Place::new(path, &real)]);
    }
    let mut splits = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let folder = entry.map_err(failed)?.path();
        if !is_hidden(&folder) && folder.is_dir() && !shard_files(&folder)?.is_empty() {
            splits.push(Place::new(&folder, &folder));
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
pub(super) fn split(path: &Path, name: Option<&str>) -> Result<Place, Failure> {
    let mut places = splits(path)?;
    let names: Vec<String> = places.iter().map(|place| place.name.clone()).collect();
    let wanted = name.unwrap_or("train");
    let found = match names.iter().position(|name| name == wanted) {
        None if name.is_none() && places.len() == 1 => Some(0),
        found => found,
    };
    let at = found.ok_or_else(|| {
        Failure::Failed(format!("{}: has no split {wanted}; it has {}", path.display(), names.join(", ")))
    })?;
    Ok(places.swap_remove(at))
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
