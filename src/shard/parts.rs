//! Which files make a split, and whether all are there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::EXTENSION;
use super::check::Flaw;
use super::error::{Refusal, ShardError};
use super::file::ShardFile;

/// The shard files of `folder`, by name; hidden ones, unfinished work, are none.
///
/// # Errors
/// [`ShardError::Io`] where the folder cannot be read.
pub fn shard_files(folder: &Path) -> Result<Vec<PathBuf>, ShardError> {
    let io = |source| ShardError::Io { path: folder.to_owned(), doing: "read the folder", source };
    let mut paths = Vec::new();
    for entry in folder.read_dir().map_err(io)? {
        let path = entry.map_err(io)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == EXTENSION) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Holds the files of `folder`, by name, to be all parts of one split, each once, in order.
pub(super) fn check(folder: &Path, files: &[ShardFile]) -> Result<(), ShardError> {
    let (Some(front), Some(last)) = (files.first(), files.last()) else {
        return Err(ShardError::NoShards { path: folder.to_owned() });
    };
    for file in files {
        check_kin(file, front)?;
    }
    check_order(folder, files, front.header().parts)?;
    let mut found = 0;
    for file in files {
        check_count(file, file.header().first, found)?;
        found += file.samples();
    }
    check_count(last, last.header().total, found)
}

/// Of the same split, with the same classes and metadata.
fn check_kin(file: &ShardFile, front: &ShardFile) -> Result<(), ShardError> {
    let split = |file: &ShardFile| (file.header().split_id, file.header().parts, file.header().total);
    if split(file) != split(front) {
        return Err(ShardError::ForeignPart { path: file.path().to_owned(), other: front.path().to_owned() });
    }
    if !Arc::ptr_eq(file.meta(), front.meta()) {
        return Err(file.fault(Flaw::new(file.metadata_offset(), Refusal::MetadataDiffers)).into());
    }
    Ok(())
}

/// Part `k` stands at place `k`, for all `parts`.
fn check_order(folder: &Path, files: &[ShardFile], parts: u32) -> Result<(), ShardError> {
    let part = |file: &ShardFile| file.header().part;
    let missing = |part| Err(ShardError::MissingPart { folder: folder.to_owned(), part, parts });
    for (expected, file) in (0..).zip(files) {
        let (path, found) = (file.path().to_owned(), part(file));
        if found < expected {
            // The files before this one are the parts 0..expected.
            let earlier = files[found as usize].path().to_owned();
            return Err(ShardError::DuplicatePart { path, part: found, earlier });
        }
        if found > expected && files.iter().any(|other| part(other) == expected) {
            return Err(ShardError::PartOrder { path, part: found, expected });
        }
        if found > expected {
            return missing(expected);
        }
    }
    match files.len() as u64 {
        len if len < parts.into() => missing(len as u32),
        _ => Ok(()), // not more either: each part is below `parts`, and none is there twice
    }
}

fn check_count(file: &ShardFile, stated: u64, found: u64) -> Result<(), ShardError> {
    if stated == found {
        return Ok(());
    }
    Err(ShardError::SampleCount { path: file.path().to_owned(), stated, found })
}
