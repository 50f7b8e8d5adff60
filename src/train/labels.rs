//! The labelled part of a training split: samples that a list names, or a class-balanced draw.
//!
//! Lists are those of semi-supervised evaluation (google-research/simclr, `imagenet_subsets`): one bare file name a line. Samples are
//! named by their path in the source, so a line is compared with the last part of that path, and without the ending of either:
//! `n01440764_10026.JPEG` finds `n01440764/n01440764_10026.JPEG` and `train-000/n01440764_10026`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

use crate::rng::{Permutation, Purpose, Stream};
use crate::shard::{ShardError, ShardSet};

/// Names that an error shows of many.
const SHOWN: usize = 3;
/// Endings of images, which a name may have or lack.
const ENDINGS: [&str; 3] = [".jpeg", ".jpg", ".png"];

/// Why a dataset gives no such part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum LabelsError {
    #[error("{}: cannot read the list: {reason}", path.display())]
    Read { path: PathBuf, reason: std::io::Error },
    #[error("{}: the list names nothing", path.display())]
    Empty { path: PathBuf },
    /// Lines that name no sample.
    #[error("{}: {missing} of {lines} lines name no sample of this dataset, among them {}: is it the list of this dataset?", path.display(), examples.join(", "))]
    Unmatched { path: PathBuf, missing: usize, lines: usize, examples: Vec<String> },
    /// A line twice.
    #[error("{}:{line}: {name} was named before, in line {first}", path.display())]
    Twice { path: PathBuf, line: usize, first: usize, name: String },
    /// Two samples of one name.
    #[error("{}: {name} names both {first} and {second}: this dataset needs names that differ without their folders", path.display())]
    Ambiguous { path: PathBuf, name: String, first: String, second: String },
    #[error(transparent)]
    Shard(#[from] ShardError),
}

/// Samples of a split, ascending, and where they are from.
#[derive(Clone, Debug)]
pub struct Labels {
    samples: Arc<[u32]>,
    origin: String,
}

impl Labels {
    /// The samples that the list at `path` names.
    ///
    /// # Errors
    /// See [`LabelsError`]: each line must name one sample, and none twice. Empty lines do not count.
    pub fn listed(set: &ShardSet, path: &Path) -> Result<Self, LabelsError> {
        let text =
            std::fs::read_to_string(path).map_err(|reason| LabelsError::Read { path: path.to_owned(), reason })?;
        let samples = find(set, path, &wanted(path, &text)?)?;
        let origin = format!("of {}", path.display());
        Ok(Self { samples: samples.into(), origin })
    }

    /// `percent` of the labels, the same number of each class (but for classes that have fewer), at least one; drawn by `seed`.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub fn drawn(set: &ShardSet, percent: u32, seed: u64) -> Result<Self, LabelsError> {
        let mut classes = vec![Vec::new(); set.classes().len()];
        for sample in 0..set.len() {
            // A sample without a class is none of the labelled ones.
            if let Some(class) = classes.get_mut(set.info(sample)?.label as usize) {
                class.push(sample as u32);
            }
        }
        let labelled: usize = classes.iter().map(Vec::len).sum();
        let share = labelled as f64 * f64::from(percent) / 100.0 / classes.len().max(1) as f64;
        let each = (share.round() as usize).max(1);
        let key = Stream::new(seed, Purpose::Split).key();
        let mut samples: Vec<u32> = Vec::new();
        for (class, members) in classes.iter().enumerate() {
            let order = Permutation::new(members.len() as u64, key, class as u32);
            samples.extend((0..each.min(members.len())).map(|place| members[order.at(place as u64) as usize]));
        }
        samples.sort_unstable();
        let origin = format!("drawn by data_split_seed {seed}, {each} of each class ({percent} %)");
        Ok(Self { samples: samples.into(), origin })
    }

    /// The samples, ascending.
    pub fn samples(&self) -> &Arc<[u32]> {
        &self.samples
    }

    /// 32 hex digits over the samples.
    pub fn digest(&self) -> String {
        let bytes: Vec<u8> = self.samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        format!("{:032x}", xxh3_128(&bytes))
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "labels of {} training images, {}", self.samples.len(), self.origin)
    }
}

/// The name by which lines and samples meet.
fn bare(name: &str) -> &str {
    let base = name.rsplit('/').next().unwrap_or(name);
    let has = |ending: &&&str| {
        let start = base.len().checked_sub(ending.len());
        start.and_then(|start| base.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(ending))
    };
    ENDINGS.iter().find(has).map_or(base, |ending| &base[..base.len() - ending.len()])
}

/// The bare names of the list `text` and their lines, from 1.
fn wanted<'a>(path: &Path, text: &'a str) -> Result<HashMap<&'a str, usize>, LabelsError> {
    let mut lines = HashMap::new();
    for (index, line) in text.lines().enumerate() {
        let name = bare(line.trim());
        if name.is_empty() {
            continue;
        }
        match lines.entry(name) {
            Entry::Vacant(free) => drop(free.insert(index + 1)),
            Entry::Occupied(first) => {
                let (path, name, first) = (path.to_owned(), name.to_owned(), *first.get());
                return Err(LabelsError::Twice { path, line: index + 1, first, name });
            }
        }
    }
    if lines.is_empty() { Err(LabelsError::Empty { path: path.to_owned() }) } else { Ok(lines) }
}

/// The samples of `set` that `wanted` names, ascending.
fn find(set: &ShardSet, path: &Path, wanted: &HashMap<&str, usize>) -> Result<Vec<u32>, LabelsError> {
    let mut found: HashMap<&str, u32> = HashMap::with_capacity(wanted.len());
    for sample in 0..set.len() {
        let name = bare(set.name(sample)?);
        let Some((&name, _)) = wanted.get_key_value(name) else { continue };
        if let Some(first) = found.insert(name, sample as u32) {
            let of = |sample: u64| set.name(sample).map(str::to_owned);
            let (first, second) = (of(first.into())?, of(sample)?);
            return Err(LabelsError::Ambiguous { path: path.to_owned(), name: name.to_owned(), first, second });
        }
    }
    let mut missing: Vec<_> = wanted.iter().filter(|(name, _)| !found.contains_key(*name)).collect();
    if !missing.is_empty() {
        missing.sort_by_key(|(_, line)| **line);
        let examples = missing.iter().take(SHOWN).map(|(name, line)| format!("{name} (line {line})")).collect();
        let (missing, lines) = (missing.len(), wanted.len());
        return Err(LabelsError::Unmatched { path: path.to_owned(), missing, lines, examples });
    }
    let mut samples: Vec<u32> = found.into_values().collect();
    samples.sort_unstable();
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Size;
    use crate::shard::{Codec, NO_LABEL, NewSample, SplitWriter, WriteOptions};

    fn set(folder: &Path, samples: &[(&str, u32)]) -> ShardSet {
        let classes = (0..3).map(|class| class.to_string()).collect();
        let mut writer = SplitWriter::create(folder, WriteOptions { classes, ..Default::default() }).unwrap();
        for &(name, label) in samples {
            let (bytes, size) = (&[0u8; 12], Size::new(2, 2));
            writer.append(&NewSample { bytes, size, codec: Codec::Raw, label, name }).unwrap();
        }
        writer.finish().unwrap();
        ShardSet::open(folder).unwrap()
    }

    #[test]
    fn lines_meet_samples_without_folder_and_ending() {
        let folder = tempfile::tempdir().unwrap();
        let names = [("a/n1_1.JPEG", 0), ("a/n1_2.JPEG", 0), ("000/n2_1", 1), ("n2.5_x.png", 1), ("a/other", 2)];
        let set = set(&folder.path().join("set"), &names);
        let list = folder.path().join("list.txt");
        let of = |text: &str| {
            std::fs::write(&list, text).unwrap();
            Labels::listed(&set, &list)
        };
        assert_eq!(**of("n2_1.JPEG\n\nn1_2.JPEG\nn2.5_x.jpg\n").unwrap().samples(), [1, 2, 3]);
        assert_eq!(of("n1_1.JPEG\n").unwrap().digest(), of("n1_1\n").unwrap().digest());
        let error = of("n1_1.JPEG\nx.JPEG\ny.JPEG\n").unwrap_err();
        let LabelsError::Unmatched { missing: 2, lines: 3, examples, .. } = &error else { panic!("{error}") };
        assert_eq!(examples, &["x (line 2)", "y (line 3)"]);
        assert!(matches!(of("n1_1\nn1_1.JPEG\n"), Err(LabelsError::Twice { line: 2, first: 1, .. })));
        assert!(matches!(of("\n"), Err(LabelsError::Empty { .. })));
    }

    #[test]
    fn two_samples_of_a_name_are_refused_only_where_it_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let set = set(&folder.path().join("set"), &[("a/1.png", 0), ("b/1.png", 1), ("b/2.png", 1)]);
        let list = folder.path().join("list.txt");
        std::fs::write(&list, "2.png\n").unwrap();
        assert_eq!(**Labels::listed(&set, &list).unwrap().samples(), [2]);
        std::fs::write(&list, "1.png\n").unwrap();
        assert!(matches!(Labels::listed(&set, &list), Err(LabelsError::Ambiguous { .. })));
    }

    #[test]
    fn a_draw_is_balanced_and_a_function_of_its_seed() {
        let folder = tempfile::tempdir().unwrap();
        // 50 of class 0, 49 of class 1, one of class 2, some without a class.
        let names: Vec<String> = (0..105).map(|sample| sample.to_string()).collect();
        let label = |sample| match sample {
            0..50 => 0,
            50..99 => 1,
            99 => 2,
            _ => NO_LABEL,
        };
        let samples: Vec<_> = names.iter().enumerate().map(|(i, name)| (name.as_str(), label(i))).collect();
        let set = set(&folder.path().join("set"), &samples);
        let drawn = |percent, seed| Labels::drawn(&set, percent, seed).unwrap();
        let ten = drawn(10, 42);
        let of = |class| ten.samples().iter().filter(|&&sample| label(sample as usize) == class).count();
        assert_eq!([of(0), of(1), of(2), ten.samples().len()], [3, 3, 1, 7]);
        assert!(ten.samples().is_sorted());
        assert_eq!(ten.digest(), drawn(10, 42).digest());
        assert_ne!(ten.digest(), drawn(10, 43).digest());
        assert_eq!(drawn(1, 42).samples().len(), 3, "one of each at least");
    }
}
