//! Every fault of some files, not just the first.

use std::path::PathBuf;

use rayon::prelude::*;

use super::error::ShardError;
use super::file::ShardFile;

/// Checks every byte of `files`, on all cores: every fault, in the order of files and bytes.
///
/// A file that cannot be opened is one fault. Whether the files are all parts of a split is [`ShardSet::open`](super::ShardSet::open)'s
/// business.
pub fn verify_files(files: &[PathBuf]) -> Vec<ShardError> {
    files
        .iter()
        .flat_map(|path| match ShardFile::open(path) {
            Err(fault) => vec![fault],
            Ok(file) => {
                let faults: Vec<Vec<_>> = (0..file.pages()).into_par_iter().map(|page| file.faults(page)).collect();
                faults.into_iter().flatten().collect()
            }
        })
        .collect()
}
