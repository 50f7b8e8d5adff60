//! The files of a damaged split, and what they still tell of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use metacl::shard::salvage::{Piece, Salvage};
use metacl::shard::{Location, NO_LABEL, part_name, shard_files};

use crate::shard::dataset::Place;
use crate::shard::split::{KEPT, SOURCE_BYTES};
use crate::shard::{Failure, part, text};

/// What repaired splits say of themselves.
const REPAIRED: &str = "repaired";

/// A split.
pub(super) struct Source {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    pub(super) files: Vec<Salvage>,
    /// Files that are not there.
    pub(super) missing: Vec<PathBuf>,
    /// Samples that it had, where a file says so.
    total: Option<u64>,
}

impl Source {
    pub(super) fn read(place: &Place) -> Result<Self, Failure> {
        let path = on_disk(&place.location)?;
        let (folder, paths) = match path.is_file() {
            true => (path.parent().unwrap_or(Path::new("")).to_owned(), vec![path.to_owned()]),
            false => (path.to_owned(), shard_files(path)?),
        };
        let files = paths.iter().map(|path| Salvage::read(path)).collect::<Result<Vec<_>, _>>()?;
        let stated = || files.iter().filter_map(Salvage::stated);
        let (parts, total) = match path.is_file() {
            true => (0, stated().map(|stated| stated.samples).next()),
            false => {
                (most(stated().map(|stated| stated.parts)).unwrap_or(0), most(stated().map(|stated| stated.total)))
            }
        };
        let expected = (0..parts).map(|part| folder.join(part_name(part.into())));
        let missing = expected.filter(|path| !paths.contains(path)).collect();
        Ok(Self { name: place.name.clone(), folder, files, missing, total })
    }

    /// The metadata of the split, without what is true of all its samples only.
    pub(super) fn metadata(&self) -> BTreeMap<String, String> {
        let mut metadata = self.files.iter().find_map(Salvage::metadata).cloned().unwrap_or_default();
        metadata.retain(|key, _| key != SOURCE_BYTES && key != KEPT && !part::KEYS.contains(&key.as_str()));
        let of = self.total.map_or("an unknown number of samples".to_owned(), |total| text::count(total, "sample"));
        metadata.insert(REPAIRED.to_owned(), format!("what was intact of {of}"));
        metadata
    }

    /// One line for the user, when `kept` samples are intact.
    pub(super) fn line(&self, kept: u64) -> String {
        let of = match self.total {
            Some(total) if total >= kept => {
                format!("of {}, {} lost", text::thousands(total), text::thousands(total - kept))
            }
            _ => "of an unknown number".to_owned(),
        };
        format!(
            "{}: {} kept, {of}; {} read",
            self.name,
            text::count(kept, "sample"),
            text::count(self.files.len() as u64, "file")
        )
    }
}

/// Its path; a URL is refused.
pub(super) fn on_disk(location: &Location) -> Result<&Path, Failure> {
    match location {
        Location::Disk(path) => Ok(path),
        url => Err(Failure::Usage(format!("{url}: only what lies on a disk is repaired; copy it to one"))),
    }
}

/// What most files state: a damaged header may state anything.
fn most<T: Ord>(stated: impl Iterator<Item = T>) -> Option<T> {
    let mut votes: BTreeMap<T, u64> = BTreeMap::new();
    stated.for_each(|value| *votes.entry(value).or_default() += 1);
    votes.into_iter().max_by_key(|(_, votes)| *votes).map(|(value, _)| value)
}

/// The classes of the dataset that `sources` are splits of: those of any file that has them left; otherwise numbers.
pub(super) fn classes(sources: &[Source]) -> Result<Vec<String>, Failure> {
    let files = || sources.iter().flat_map(|source| &source.files);
    let mut known = files().filter_map(|file| Some((file, file.classes()?)));
    if let Some((first, classes)) = known.next() {
        if let Some((other, _)) = known.find(|(_, others)| *others != classes) {
            let [other, first] = [other.path().display(), first.path().display()];
            let what = "its classes are others than those of";
            return Err(Failure::Failed(format!("{other}: {what} {first}; repair them one by one")));
        }
        return Ok(classes.to_vec());
    }
    let labels = files().flat_map(Salvage::pieces).filter_map(|piece| match piece {
        Piece::Intact { sample, .. } if sample.label != NO_LABEL => Some(sample.label),
        _ => None,
    });
    let count = labels.max().map_or(0, |label| u64::from(label) + 1);
    if count > 0 {
        eprintln!("metacl-shard: note: the names of the classes are lost; they are numbers from 0 to {}", count - 1);
    }
    Ok((0..count).map(|label| label.to_string()).collect())
}
