//! Every fault of some files, not just the first.

use std::path::PathBuf;

use rayon::prelude::*;

use super::error::ShardError;
use super::file::ShardFile;
use super::set::ShardSet;

/// Checks every byte of `files`, on all cores: every fault, in the order of files and bytes.
///
/// A file that cannot be opened is one fault, a page whose index is damaged too. Whether the files are all parts of a split is
/// [`ShardSet::open`](super::ShardSet::open)'s business.
pub fn verify_files(files: &[PathBuf]) -> Vec<ShardError> {
    let faults = files.par_iter().flat_map(|path| match ShardFile::open(path, None) {
        Err(fault) => vec![fault],
        Ok(file) => verify_file(&file),
    });
    faults.collect()
}

/// As [`verify_files`], of an open set: every byte is read, wherever it lies.
pub fn verify_set(set: &ShardSet) -> Vec<ShardError> {
    set.shards().par_iter().flat_map(verify_file).collect()
}

/// Every fault of an open file; if it changed meanwhile, that alone.
pub(super) fn verify_file(file: &ShardFile) -> Vec<ShardError> {
    let mut faults: Vec<_> = (0..file.pages()).into_par_iter().flat_map(|page| file.faults(page)).collect();
    if let Some(at) = faults.iter().position(|fault| matches!(fault, ShardError::Changed(_))) {
        return vec![faults.swap_remove(at)];
    }
    faults.extend(file.look_again().err());
    faults
}
