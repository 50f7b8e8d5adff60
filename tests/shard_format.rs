//! What is written is read back, and nothing else passes for it: not a file that is swapped, doubled or missing.
//!
//! Every cut and every changed bit are tried in `shard_damage.rs`; forged files, one for each rule of the format, are in `src/shard/tests`;
//! the writer's own promises in `shard_writer.rs`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "shard_support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;

use metacl::shard::{Refusal, Section, ShardError, ShardSet, Verify, verify_files};
use support::{entries, options, samples, write};

/// One file of five samples.
fn small_shard() -> (tempfile::TempDir, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &samples(5), options(1 << 20));
    let bytes = fs::read(folder.path().join("00000.mcs")).unwrap();
    (folder, bytes)
}

/// A split of many parts.
fn many_parts() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &samples(12), options(450));
    assert!(entries(folder.path()).len() >= 4, "the parts are to be many");
    folder
}

/// Reads all there is, as a loader might.
fn read_all(path: &Path) -> Result<(), ShardError> {
    let set = ShardSet::open(path)?;
    for index in 0..set.len() {
        set.info(index)?;
        set.name(index)?;
        set.record(index)?;
    }
    Ok(())
}

fn refusal(result: Result<(), ShardError>) -> Refusal {
    match result {
        Err(ShardError::Refused(fault)) => fault.refusal,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn what_is_written_is_read_back() {
    let written = samples(40);
    for shard_size in [1, 700, 1 << 30] {
        let folder = tempfile::tempdir().unwrap();
        let summary = write(folder.path(), &written, options(shard_size));
        let set = ShardSet::open(folder.path()).unwrap();
        assert_eq!((set.len(), set.is_empty()), (40, false));
        assert_eq!(set.classes(), options(1).classes);
        assert_eq!(*set.metadata(), options(1).metadata);
        assert_eq!(set.shards().len() as u64, summary.files);
        assert_eq!(set.shards().iter().map(|file| file.bytes()).sum::<u64>(), summary.bytes);
        assert_eq!(set.shards().iter().map(|file| file.samples()).sum::<u64>(), summary.samples);
        for (index, sample) in (0..).zip(&written) {
            let info = set.info(index).unwrap();
            assert_eq!(set.record(index).unwrap(), sample.bytes);
            assert_eq!(set.name(index).unwrap(), sample.name);
            assert_eq!((info.size, info.codec, info.label), (sample.size, sample.codec, sample.label));
            assert_eq!(info.length, sample.bytes.len() as u64);
        }
        let index = 40;
        assert!(matches!(set.record(index), Err(ShardError::OutOfRange { index: 40, samples: 40 })));
        assert!(matches!(set.info(u64::MAX), Err(ShardError::OutOfRange { .. })));
        assert!(verify_files(&entries(folder.path())).is_empty());
    }
}

#[test]
fn one_file_opens_as_a_set_of_its_own() {
    let folder = many_parts();
    let whole = ShardSet::open(folder.path()).unwrap();
    let mut index = 0;
    for path in entries(folder.path()) {
        let part = ShardSet::open(&path).unwrap();
        for own in 0..part.len() {
            assert_eq!(part.record(own).unwrap(), whole.record(index).unwrap());
            index += 1;
        }
    }
    assert_eq!(index, whole.len());
}

#[test]
fn a_split_is_found_in_its_dataset_or_is_the_dataset() {
    let dataset = tempfile::tempdir().unwrap();
    let split = dataset.path().join("train");
    write(&split, &samples(3), options(1 << 20));
    for path in [dataset.path(), &split, &split.join("00000.mcs")] {
        assert_eq!(ShardSet::open_split(path, "train").unwrap().len(), 3, "{}", path.display());
    }
    assert!(matches!(ShardSet::open_split(dataset.path(), "test"), Err(ShardError::Io { .. })));
    assert!(matches!(ShardSet::open(dataset.path()), Err(ShardError::NoShards { .. })));
}

#[test]
fn the_same_content_has_the_same_identity() {
    let identity = |count, shard_size| {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &samples(count), options(shard_size));
        ShardSet::open(folder.path()).unwrap().identity()
    };
    assert_eq!(identity(9, 700), identity(9, 700));
    assert_ne!(identity(9, 700), identity(8, 700));
    assert_ne!(identity(9, 700), identity(9, 1 << 20));
}

#[test]
fn verify_tells_every_fault_with_its_place() {
    let folder = many_parts();
    let set = ShardSet::open(folder.path()).unwrap();
    let damaged = [0, 5, 6, 11];
    let mut places = Vec::new();
    for index in damaged {
        let file = set.shards().iter().rev().find(|file| file.first() <= index).unwrap();
        places.push((file.path().to_owned(), index, set.info(index).unwrap().offset));
    }
    drop(set);
    for (path, _, offset) in &places {
        let mut bytes = fs::read(path).unwrap();
        bytes[*offset as usize] ^= 0x10;
        fs::write(path, bytes).unwrap();
    }
    let faults = verify_files(&entries(folder.path()));
    assert_eq!(faults.len(), places.len());
    for (fault, (path, index, offset)) in faults.iter().zip(places) {
        let ShardError::Refused(fault) = fault else { panic!("{fault}") };
        assert_eq!((&fault.path, fault.sample, fault.offset), (&path, Some(index), offset));
        let Refusal::Checksum { section: Section::Record, stated, found } = fault.refusal else { panic!("{fault}") };
        assert_ne!(stated, found);
    }
}

#[test]
fn records_are_compared_as_often_as_asked() {
    let (folder, mut bytes) = small_shard();
    let path = folder.path().join("00000.mcs");
    let offset = ShardSet::open(&path).unwrap().info(3).unwrap().offset as usize;
    bytes[offset] ^= 1;
    fs::write(&path, &bytes).unwrap();
    for verify in [Verify::Always, Verify::First] {
        let set = ShardSet::open(&path).unwrap().with_verify(verify);
        // A record that did not hold is not taken for sound the next time; its neighbours are.
        for _ in 0..2 {
            let error = set.record(3).map(|_| ());
            assert!(matches!(refusal(error), Refusal::Checksum { section: Section::Record, .. }));
            assert_eq!(set.record(2).unwrap(), samples(5)[2].bytes);
        }
    }
    let set = ShardSet::open(&path).unwrap().with_verify(Verify::Never);
    assert_eq!(set.record(3).unwrap(), &bytes[offset..][..samples(5)[3].bytes.len()]);
}

#[test]
fn a_missing_part_is_told() {
    let whole = many_parts();
    let parts = entries(whole.path()).len() as u32;
    for gone in 0..parts {
        let folder = many_parts();
        fs::remove_file(&entries(folder.path())[gone as usize]).unwrap();
        let error = ShardSet::open(folder.path()).err().unwrap();
        let told = matches!(error, ShardError::MissingPart { part, parts: of, .. } if part == gone && of == parts);
        assert!(told, "{error}");
    }
}

#[test]
fn swapped_parts_are_told() {
    let folder = many_parts();
    let paths = entries(folder.path());
    let [one, two] = [&paths[1], &paths[2]].map(|path| fs::read(path).unwrap());
    fs::write(&paths[1], two).unwrap();
    fs::write(&paths[2], one).unwrap();
    let error = ShardSet::open(folder.path()).err().unwrap();
    assert!(matches!(&error, ShardError::PartOrder { path, part: 2, expected: 1 } if *path == paths[1]), "{error}");
}

#[test]
fn a_part_that_is_there_twice_is_told() {
    for copy in ["00001b.mcs", "99999.mcs"] {
        let folder = many_parts();
        let paths = entries(folder.path());
        fs::copy(&paths[1], folder.path().join(copy)).unwrap();
        let error = ShardSet::open(folder.path()).err().unwrap();
        let told = matches!(&error, ShardError::DuplicatePart { part: 1, earlier, .. } if *earlier == paths[1]);
        assert!(told, "{error}");
    }
}

#[test]
fn a_part_of_another_split_is_told() {
    let (folder, other) = (many_parts(), tempfile::tempdir().unwrap());
    let mut others = samples(12);
    others[4].bytes[0] ^= 1;
    write(other.path(), &others, options(450));
    let (ours, theirs) = (entries(folder.path()), entries(other.path()));
    assert_eq!(ours.len(), theirs.len());
    fs::copy(&theirs[0], &ours[0]).unwrap();
    assert!(matches!(ShardSet::open(folder.path()), Err(ShardError::ForeignPart { .. })));
}

#[test]
fn hidden_files_and_other_files_are_no_parts() {
    let folder = many_parts();
    fs::write(folder.path().join(".00000.mcs"), b"left by an archiver").unwrap();
    fs::write(folder.path().join("left-out.tsv"), b"").unwrap();
    assert!(read_all(folder.path()).is_ok());
    fs::write(folder.path().join("notes.mcs"), b"short").unwrap();
    assert!(matches!(refusal(read_all(folder.path())), Refusal::TooShort { length: 5, .. }));
}

#[test]
fn threads_share_a_set() {
    fn shared<T: Send + Sync>(_: &T) {}
    let folder = many_parts();
    let set = ShardSet::open(folder.path()).unwrap().with_verify(Verify::First);
    shared(&set);
    let written = samples(12);
    std::thread::scope(|scope| {
        for start in 0..4 {
            let (set, written) = (&set, &written);
            scope.spawn(move || {
                for step in 0..48u64 {
                    let index = (start * 5 + step * 7) % 12;
                    assert_eq!(set.record(index).unwrap(), written[index as usize].bytes);
                }
            });
        }
    });
}
