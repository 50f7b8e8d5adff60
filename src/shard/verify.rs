//! Every fault of a set, not just the first.

use rayon::prelude::*;

use super::error::ShardError;
use super::file::ShardFile;
use super::set::ShardSet;

/// What [`ShardSet::verify`] looked at and found.
#[derive(Debug)]
pub struct Verified {
    /// Samples of the set.
    pub samples: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Every fault, in file order.
    pub faults: Vec<ShardError>,
}

impl ShardSet {
    /// Checks every byte of every file, on all cores; `progress` gets the samples of each page once it is done.
    pub fn verify(&self, progress: impl Fn(u64) + Sync) -> Verified {
        let pages = |file: &ShardFile| file.samples().div_ceil(file.header().page_entries.into());
        let all: Vec<(&ShardFile, u64)> =
            self.shards().iter().flat_map(|file| (0..pages(file)).map(move |page| (file, page))).collect();
        let faults = all.par_iter().map(|&(file, page)| {
            let faults = file.faults(page);
            progress(super::check::entries_of(file.header(), page));
            faults
        });
        let faults: Vec<Vec<ShardError>> = faults.collect();
        Verified {
            samples: self.len(),
            bytes: self.shards().iter().map(ShardFile::bytes).sum(),
            faults: faults.into_iter().flatten().collect(),
        }
    }
}
