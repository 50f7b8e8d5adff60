//! What was found corrupt, each sample once, and how much of it is too much.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::LoadError;
use super::stand_in::Replaced;
use super::sync::{Mutex, locked};
use crate::shard::ShardSet;

/// A sample that others stand in for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Corrupt {
    /// The dataset's identity, 32 hex digits.
    pub dataset: String,
    /// Samples of that dataset.
    pub samples: u64,
    /// Index of the sample.
    pub sample: u32,
    /// Its name in the dataset.
    pub name: String,
    /// The file that holds it.
    pub file: String,
    /// First byte of its record in the file.
    pub offset: u64,
    /// What is wrong.
    pub reason: String,
}

/// The corrupt samples of a run. Any thread may add to it.
#[derive(Debug)]
pub struct Quarantine {
    most: f64,
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    all: BTreeMap<(String, u32), Corrupt>,
    /// Those not taken yet.
    fresh: Vec<Corrupt>,
}

impl Quarantine {
    /// An empty one; more than the share `most`, 0..=1, of a dataset's samples is refused.
    pub fn new(most: f64) -> Self {
        Self { most, found: Mutex::default() }
    }

    /// Notes the samples of `set` that were replaced in a batch.
    ///
    /// # Errors
    /// [`LoadError::TooManyCorrupt`].
    pub fn note(&self, set: &ShardSet, replaced: &[Replaced]) -> Result<(), LoadError> {
        // Nearly always.
        if replaced.is_empty() {
            return Ok(());
        }
        let dataset = format!("{:032x}", set.identity());
        let corrupt = replaced.iter().map(|Replaced { sample, error, .. }| {
            let index = u64::from(*sample);
            let (file, offset) = set.place(index).unwrap_or_default();
            let name = set.name(index).unwrap_or_default().to_owned();
            let (dataset, reason) = (dataset.clone(), error.to_string());
            Corrupt { dataset, samples: set.len(), sample: *sample, name, file, offset, reason }
        });
        self.add(corrupt)
    }

    /// Adds what other processes, or this run before it was resumed, found.
    ///
    /// # Errors
    /// [`LoadError::TooManyCorrupt`].
    pub fn add(&self, corrupt: impl IntoIterator<Item = Corrupt>) -> Result<(), LoadError> {
        let mut found = locked(&self.found);
        let mut touched = BTreeMap::new();
        for one in corrupt {
            let key = (one.dataset.clone(), one.sample);
            if !found.all.contains_key(&key) {
                touched.insert(one.dataset.clone(), one.samples);
                found.fresh.push(one.clone());
                found.all.insert(key, one);
            }
        }
        for (dataset, samples) in touched {
            let of_it = || found.all.values().filter(|one| one.dataset == dataset);
            let count = of_it().count() as u64;
            if count as f64 > self.most * samples as f64 {
                let first = of_it().next().map(|one| one.reason.clone()).unwrap_or_default();
                return Err(LoadError::TooManyCorrupt { count, samples, most: self.most, first });
            }
        }
        Ok(())
    }

    /// Counts all but `listed` as found since the last [`take_fresh`](Self::take_fresh): for a list that begins, while others of the same
    /// process have theirs.
    pub fn list_but(&self, listed: &[Corrupt]) {
        let listed: BTreeSet<_> = listed.iter().map(|one| (one.dataset.as_str(), one.sample)).collect();
        let mut found = locked(&self.found);
        let others = found.all.values().filter(|one| !listed.contains(&(one.dataset.as_str(), one.sample)));
        found.fresh = others.cloned().collect();
    }

    /// Those found since the last call.
    pub fn take_fresh(&self) -> Vec<Corrupt> {
        std::mem::take(&mut locked(&self.found).fresh)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        locked(&self.found).all.len()
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corrupt(sample: u32) -> Corrupt {
        let (dataset, name, file) = ("a".to_owned(), String::new(), "f".to_owned());
        Corrupt { dataset, samples: 200, sample, name, file, offset: 9, reason: format!("bad {sample}") }
    }

    #[test]
    fn each_counts_once_and_a_share_is_the_limit() {
        let quarantine = Quarantine::new(0.01);
        for _ in 0..5 {
            quarantine.add([corrupt(1), corrupt(2)]).unwrap();
        }
        assert_eq!((quarantine.len(), quarantine.take_fresh().len(), quarantine.take_fresh().len()), (2, 2, 0));
        let error = quarantine.add([corrupt(3)]).unwrap_err();
        assert!(matches!(error, LoadError::TooManyCorrupt { count: 3, samples: 200, .. }), "{error}");
        assert_eq!(quarantine.take_fresh(), [corrupt(3)], "the last one is told too");
    }

    #[test]
    fn a_second_list_gets_what_the_first_has_but_it_lacks() {
        let quarantine = Quarantine::new(1.0);
        quarantine.add([corrupt(1), corrupt(2), corrupt(4)]).unwrap();
        assert_eq!(quarantine.take_fresh().len(), 3);
        quarantine.list_but(&[corrupt(2)]);
        assert_eq!(quarantine.take_fresh(), [corrupt(1), corrupt(4)]);
    }
}
