//! Files that say they are of one split but do not fit together.

use std::fs;
use std::path::PathBuf;

use super::forge::{Forged, write};
use crate::shard::error::Refusal;
use crate::shard::{ShardError, ShardSet};

/// A split of one file for each of the three samples, with part 1 forged.
fn forge_part_1(edit: impl FnOnce(&mut Forged)) -> (tempfile::TempDir, PathBuf, ShardError) {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 1);
    assert_eq!(ShardSet::open(folder.path()).unwrap().shards().len(), 3);
    let path = folder.path().join("00001.mcs");
    let mut forged = Forged(fs::read(&path).unwrap());
    edit(&mut forged);
    forged.seal();
    fs::write(&path, &forged.0).unwrap();
    let error = ShardSet::open(folder.path()).err().expect("the forged split opened");
    (folder, path, error)
}

#[test]
fn part_of_another_split() {
    let (_folder, forged, error) = forge_part_1(|part| part.0[56] ^= 1);
    assert!(matches!(&error, ShardError::ForeignPart { path, .. } if *path == forged), "{error}");
}

#[test]
fn part_of_a_split_of_more_parts() {
    let (_folder, forged, error) = forge_part_1(|part| part.put(52, 4u32.to_le_bytes()));
    assert!(matches!(&error, ShardError::ForeignPart { path, .. } if *path == forged), "{error}");
}

#[test]
fn part_with_other_classes() {
    let (_folder, forged, error) = forge_part_1(|part| part.put(part.footer().meta.offset + 8, *b"d"));
    let ShardError::Refused(fault) = error else { panic!("{error}") };
    assert_eq!((fault.path, fault.refusal), (forged, Refusal::MetadataDiffers));
}

#[test]
fn part_that_begins_elsewhere() {
    let (_folder, forged, error) = forge_part_1(|part| part.put(32, 2u64.to_le_bytes()));
    assert!(matches!(&error, ShardError::SampleCount { path, stated: 2, found: 1 } if *path == forged), "{error}");
}

#[test]
fn parts_that_hold_fewer_samples_than_the_split() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 1);
    for number in 0..3 {
        let path = folder.path().join(format!("{number:05}.mcs"));
        let mut forged = Forged(fs::read(&path).unwrap());
        forged.put(40, 4u64.to_le_bytes());
        forged.seal();
        fs::write(&path, &forged.0).unwrap();
    }
    let error = ShardSet::open(folder.path()).err().unwrap();
    assert!(matches!(error, ShardError::SampleCount { stated: 4, found: 3, .. }), "{error}");
}
