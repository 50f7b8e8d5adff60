//! Nothing half-written gets a final name, nothing is overwritten, nothing is left behind.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "shard_support/mod.rs"]
mod support;

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};

use metacl::image::Size;
use metacl::shard::{Codec, MAX_SIDE, NewSample, Refusal, Section, ShardError, ShardSet, SplitWriter, WriteOptions};
use support::{Sample, entries, options, samples, write};

fn unstorable(result: Result<(), ShardError>) -> Refusal {
    match result {
        Err(ShardError::Unstorable { refusal, .. }) => refusal,
        other => panic!("stored: {other:?}"),
    }
}

#[test]
fn a_dropped_writer_leaves_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("train");
    let mut writer = SplitWriter::create(&folder, options(700)).unwrap();
    samples(12).iter().for_each(|sample| writer.append(&sample.borrow()).unwrap());
    let files = entries(&folder);
    assert!(files.len() > 2);
    let hidden = |path: &std::path::PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with('.');
    assert!(files.iter().all(hidden), "a final name before the end: {files:?}");
    drop(writer);
    assert_eq!(entries(parent.path()), [""; 0].map(std::path::PathBuf::from));
}

#[test]
fn a_dropped_writer_leaves_a_folder_that_was_there() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("notes.txt"), b"mine").unwrap();
    drop(SplitWriter::create(folder.path(), options(700)).unwrap());
    assert_eq!(entries(folder.path()), [folder.path().join("notes.txt")]);
}

#[test]
fn a_finished_split_is_the_only_thing_in_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let summary = write(folder.path(), &samples(12), options(700));
    let names = (0..summary.files).map(|part| folder.path().join(format!("{part:05}.mcs")));
    assert_eq!(entries(folder.path()), names.collect::<Vec<_>>());
}

#[test]
fn an_empty_split_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let writer = SplitWriter::create(&parent.path().join("train"), options(700)).unwrap();
    assert!(matches!(writer.finish(), Err(ShardError::Empty { .. })));
    assert!(entries(parent.path()).is_empty());
}

#[test]
fn a_folder_with_any_shard_is_refused() {
    for name in ["00000.mcs", "00007.mcs", "other.mcs"] {
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join(name);
        fs::write(&taken, b"somebody's").unwrap();
        let error = SplitWriter::create(folder.path(), options(700)).err().unwrap();
        assert!(matches!(&error, ShardError::Exists { path } if *path == taken), "{error}");
        assert_eq!(fs::read(&taken).unwrap(), b"somebody's");
    }
}

#[test]
fn a_name_taken_meanwhile_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = SplitWriter::create(folder.path(), options(700)).unwrap();
    samples(12).iter().for_each(|sample| writer.append(&sample.borrow()).unwrap());
    let taken = folder.path().join("00002.mcs");
    fs::write(&taken, b"somebody's").unwrap();
    let error = writer.finish().err().unwrap();
    assert!(matches!(&error, ShardError::Exists { path } if *path == taken), "{error}");
    assert_eq!(entries(folder.path()), std::slice::from_ref(&taken), "parts with final names were left");
    assert_eq!(fs::read(taken).unwrap(), b"somebody's");
}

#[test]
fn two_writers_of_one_folder_do_not_mix() {
    let folder = tempfile::tempdir().unwrap();
    let [mut one, mut two] = [(); 2].map(|()| SplitWriter::create(folder.path(), options(700)).unwrap());
    for sample in samples(12) {
        one.append(&sample.borrow()).unwrap();
        two.append(&sample.borrow()).unwrap();
    }
    one.finish().unwrap();
    assert!(matches!(two.finish(), Err(ShardError::Exists { .. })));
    assert_eq!(ShardSet::open(folder.path()).unwrap().len(), 12);
}

#[test]
fn files_stay_within_their_size() {
    let folder = tempfile::tempdir().unwrap();
    for (number, shard_size) in [600, 701, 1000, 1500].into_iter().enumerate() {
        let folder = folder.path().join(number.to_string());
        write(&folder, &samples(40), options(shard_size));
        let set = ShardSet::open(&folder).unwrap();
        for file in set.shards() {
            assert!(file.bytes() <= shard_size || file.samples() == 1, "{} bytes of {shard_size}", file.bytes());
        }
        let used = set.shards().iter().map(|file| file.bytes()).max().unwrap();
        assert!(used * 10 > shard_size * 7, "files of at most {used} bytes, where {shard_size} are allowed");
    }
}

#[test]
fn metadata_set_late_is_in_every_part() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = SplitWriter::create(folder.path(), options(700)).unwrap();
    samples(12).iter().for_each(|sample| writer.append(&sample.borrow()).unwrap());
    writer.set_metadata("bytes", "12345").unwrap();
    writer.set_metadata("source", "").unwrap();
    assert!(writer.finish().unwrap().files > 2);
    let set = ShardSet::open(folder.path()).unwrap();
    let pairs: Vec<_> = set.metadata().iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(pairs, [("bytes", "12345"), ("source", "")]);
}

#[test]
fn what_the_format_cannot_hold_is_refused_and_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = SplitWriter::create(folder.path(), options(1 << 20)).unwrap();
    let sound = Sample { bytes: vec![1; 6], size: Size::new(2, 1), codec: Codec::Raw, label: 1, name: "n".to_owned() };
    let jpeg = Sample { codec: Codec::Jpeg, ..sound.clone() };
    let mut refused = |sample: Sample| unstorable(writer.append(&sample.borrow()));
    for size in [Size::new(0, 1), Size::new(1, 0), Size::new(MAX_SIDE + 1, 1), Size::new(1, u32::MAX)] {
        assert_eq!(refused(Sample { size, ..jpeg.clone() }), Refusal::ImageSize { size });
    }
    assert_eq!(refused(Sample { bytes: Vec::new(), ..jpeg.clone() }), Refusal::RecordLength { length: 0 });
    let size = Size::new(1, 1);
    assert_eq!(refused(Sample { size, ..sound.clone() }), Refusal::RawLength { length: 6, size, needed: 3 });
    assert_eq!(refused(Sample { label: 2, ..sound.clone() }), Refusal::Label { label: 2, classes: 2 });
    let name = "n".repeat(4097);
    assert_eq!(refused(Sample { name, ..sound.clone() }), Refusal::NameLength { length: 4097 });

    let name = "n".repeat(4096);
    writer.append(&Sample { name: name.clone(), size: Size::new(MAX_SIDE, 1), ..jpeg }.borrow()).unwrap();
    writer.append(&sound.borrow()).unwrap();
    writer.finish().unwrap();
    let set = ShardSet::open(folder.path()).unwrap();
    assert_eq!((set.len(), set.name(0).unwrap()), (2, name.as_str()));
}

#[test]
fn impossible_page_sizes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for found in [0, 4097] {
        let options = WriteOptions { page_entries: found, ..WriteOptions::default() };
        let created = SplitWriter::create(folder.path(), options).map(|_| ());
        assert_eq!(unstorable(created), Refusal::PageEntries { found });
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_told() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, b"").unwrap();
    for folder in [file.clone(), file.join("train")] {
        assert!(matches!(SplitWriter::create(&folder, options(700)), Err(ShardError::Io { .. })));
    }
}

#[test]
fn reading_back_finds_what_the_disk_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = SplitWriter::create(folder.path(), options(1 << 30)).unwrap();
    // Longer than what the writer gathers, so that it is in the file before the end.
    let bytes = vec![7; 3 << 20];
    let large = NewSample { bytes: &bytes, size: Size::new(9, 9), codec: Codec::Jpeg, label: 0, name: "large" };
    writer.append(&large).unwrap();
    writer.append(&large).unwrap();
    let [temporary] = &entries(folder.path())[..] else { panic!("one file was to be there") };
    let mut file = OpenOptions::new().write(true).open(temporary).unwrap();
    file.seek(SeekFrom::Start(1 << 20)).unwrap();
    file.write_all(&[8]).unwrap();
    let Err(ShardError::Refused(fault)) = writer.finish() else { panic!("the loss went unseen") };
    assert!(matches!(fault.refusal, Refusal::Checksum { section: Section::Record, .. }), "{fault}");
    assert_eq!(fault.sample, Some(0));
    assert!(entries(folder.path()).is_empty());
}

#[test]
fn a_writer_that_failed_stays_failed() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = SplitWriter::create(folder.path(), options(1)).unwrap();
    let samples = samples(3);
    writer.append(&samples[0].borrow()).unwrap();
    entries(folder.path()).iter().for_each(|path| fs::remove_file(path).unwrap());
    // The first part is full, and gone when it is to be completed.
    assert!(matches!(writer.append(&samples[1].borrow()), Err(ShardError::Io { .. })));
    assert!(matches!(writer.append(&samples[2].borrow()), Err(ShardError::Broken { .. })));
    assert!(matches!(writer.finish(), Err(ShardError::Broken { .. })));
    assert!(entries(folder.path()).is_empty());
}

#[cfg(unix)]
#[test]
fn a_split_is_as_readable_as_any_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &samples(3), options(1 << 20));
    let plain = folder.path().join("plain");
    fs::write(&plain, b"").unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&folder.path().join("00000.mcs")), mode(&plain));
}
