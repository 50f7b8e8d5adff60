//! A set that is open while its file changes.

use std::fs;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use metacl::loader::LoadError;
use metacl::shard::{Codec, Refusal, Section, ShardError, ShardSet, Verify, verify_set};

use super::{Dataset, PAGE, SAMPLES};

const CODECS: [Codec; 3] = [Codec::Coef, Codec::Jpeg, Codec::Raw];
const WAYS: [Verify; 3] = [Verify::Always, Verify::First, Verify::Never];

/// Asks for a sample, uses all its bytes, asks whether they were those that were written.
fn used(set: &ShardSet, index: u64) -> Result<Vec<u8>, ShardError> {
    let bytes = set.stored(index)?.bytes.to_vec();
    set.examine(index, false)?;
    Ok(bytes)
}

/// Every record as it lies in the file.
fn records(set: &ShardSet) -> Vec<Vec<u8>> {
    (0..SAMPLES).map(|index| used(set, index).unwrap()).collect()
}

fn assert_changed(what: &str, result: Result<Vec<u8>, ShardError>, dataset: &Dataset, length: u64) {
    let Err(error) = result else { panic!("{what}: not refused") };
    let ShardError::Changed(change) = &error else { panic!("{what}: {error}") };
    assert_eq!((&change.path, change.was.length), (&dataset.path, dataset.bytes.len() as u64), "{what}");
    assert_eq!(change.now.map(|now| now.length), Some(length), "{what}");
    let text = error.to_string();
    assert!(text.starts_with(dataset.path.to_str().unwrap()) && text.lines().count() == 1, "{text}");
    assert!(!LoadError::from(error).is_corrupt_sample(), "{what}: another sample would take its place");
}

/// Lost are records and, at the end, the index page of all or of some.
#[test]
fn what_a_cut_takes_away_is_told_and_the_rest_stays() {
    for (codec, page_entries) in CODECS.into_iter().flat_map(|codec| [(codec, 4), (codec, 4096)]) {
        for (verify, index_was_read) in WAYS.into_iter().flat_map(|verify| [(verify, true), (verify, false)]) {
            let what = format!("{}, {page_entries} a page, {verify:?}", codec.name());
            let dataset = Dataset::new(codec, page_entries);
            let whole = records(&dataset.open(verify));
            let set = dataset.open(verify);
            if index_was_read {
                assert!((0..SAMPLES).all(|index| set.name(index).is_ok()));
            }
            let offsets: Vec<_> = (0..SAMPLES).map(|index| dataset.open(verify).info(index).unwrap().offset).collect();
            dataset.cut();
            let mut told = 0;
            for index in 0..SAMPLES {
                let end = offsets[index as usize] + whole[index as usize].len() as u64;
                match used(&set, index) {
                    Ok(bytes) => {
                        assert!(bytes == whole[index as usize] && end <= dataset.middle(), "{what}: sample {index}");
                        assert!(told == 0, "{what}: sample {index} after the first fault");
                    }
                    lost => {
                        told += 1;
                        assert_changed(&what, lost, &dataset, dataset.middle());
                        // Names lie with the index.
                        let _ = set.name(index);
                    }
                }
            }
            assert!(told >= SAMPLES / 4 && (told < SAMPLES || page_entries == 4096), "{what}: {told} told");
            assert!(matches!(set.look_again(7), Err(ShardError::Changed(_))), "{what}");
            let faults = verify_set(&set);
            assert!(matches!(&faults[..], [ShardError::Changed(_)]), "{what}: {faults:?}");
        }
    }
}

#[test]
fn bytes_changed_in_place_are_told_where_checksums_are_compared() {
    for codec in CODECS {
        for verify in WAYS {
            let what = format!("{}, {verify:?}", codec.name());
            let dataset = Dataset::new(codec, 16);
            let set = dataset.open(verify);
            let before = records(&set);
            dataset.scribble();
            // The ends of the file are as they were: what was found sound is to be compared once more.
            set.look_again(0).unwrap();
            for index in 0..SAMPLES {
                // A coefficient record under `Always` is compared by its decoder, in part.
                let found = match verify {
                    Verify::Always => set.record(index).map(|bytes| bytes.to_vec()),
                    _ => used(&set, index),
                };
                match verify {
                    Verify::Never => assert_ne!(found.unwrap(), before[index as usize], "{what}"),
                    _ => assert_changed(&what, found, &dataset, dataset.bytes.len() as u64),
                }
                // As where a record does not decode.
                let doubt = set.examine(index, true).map(|()| Vec::new());
                assert_changed(&what, doubt, &dataset, dataset.bytes.len() as u64);
            }
        }
    }
}

/// Equal in length, layout, sizes and names; every checksum holds.
#[test]
fn another_dataset_written_over_it_is_told() {
    for verify in WAYS {
        let (dataset, other) = (Dataset::new(Codec::Raw, 16), Dataset::of(Codec::Raw, 16, 100, 1));
        assert_eq!(dataset.bytes.len(), other.bytes.len());
        let set = dataset.open(verify);
        let _ = records(&set);
        dataset.file().write_all_at(&other.bytes, 0).unwrap();
        let error = set.look_again(0).map(|()| Vec::new());
        assert_changed("another dataset", error, &dataset, dataset.bytes.len() as u64);
    }
}

#[test]
fn a_file_replaced_by_a_rename_or_removed_stays_as_it_was() {
    for verify in WAYS {
        let (dataset, other) = (Dataset::new(Codec::Jpeg, 16), Dataset::of(Codec::Raw, 16, 100, 1));
        let set = dataset.open(verify);
        let before = records(&set);
        let as_before = || {
            assert!(records(&set) == before);
            (0..SAMPLES).for_each(|index| set.examine(index, true).unwrap());
            set.look_again(0).unwrap();
            assert!(verify_set(&set).is_empty());
        };
        fs::rename(&other.path, &dataset.path).unwrap();
        as_before();
        fs::remove_file(&dataset.path).unwrap();
        as_before();
    }
}

#[test]
fn a_new_date_alone_is_no_change() {
    let dataset = Dataset::new(Codec::Coef, 16);
    let set = dataset.open(Verify::First);
    let before = records(&set);
    dataset.date(Duration::from_secs(60));
    set.look_again(0).unwrap();
    assert!(records(&set) == before);
    assert!(verify_set(&set).is_empty());
}

/// As a disk's error does it: a page is lost, the file is the same. Only a cut loses pages at will, so it is undone.
#[test]
fn what_the_disk_cannot_read_is_a_corrupt_sample() {
    const LOST: u64 = SAMPLES - 3;
    for codec in CODECS {
        // Records of several memory pages, so that the one in the middle of a record holds nothing else.
        let dataset = Dataset::of(codec, 4, 0, 4);
        let whole = records(&dataset.open(Verify::Always));
        for verify in WAYS {
            let what = format!("{}, {verify:?}", codec.name());
            let set = dataset.open(verify);
            let stored = set.stored(LOST).unwrap();
            let middle = stored.bytes.len() / 2;
            assert!(stored.bytes.len() as u64 >= 2 * PAGE);
            dataset.cut();
            assert_eq!(std::hint::black_box(&stored.bytes)[middle], 0, "{what}");
            dataset.mend();
            for index in 0..SAMPLES {
                match used(&set, index) {
                    Ok(bytes) => assert!(bytes == whole[index as usize] && index != LOST, "{what}: sample {index}"),
                    Err(ShardError::Refused(fault)) => {
                        assert_eq!((fault.sample, &fault.refusal), (Some(LOST), &Refusal::Unreadable), "{what}");
                        assert_eq!((&fault.path, fault.offset), (&dataset.path, stored.info.offset), "{what}");
                        assert!(LoadError::Shard(ShardError::Refused(fault)).is_corrupt_sample(), "{what}");
                    }
                    Err(other) => panic!("{what}: {other}"),
                }
            }
            assert!(used(&set, LOST).is_err() && set.look_again(0).is_ok(), "{what}");
        }
    }
}

/// Not a sample's fault, so no other sample helps.
#[test]
fn an_index_that_the_disk_cannot_read_is_an_error() {
    for was_read in [false, true] {
        let dataset = Dataset::new(Codec::Raw, 4096);
        let set = dataset.open(Verify::Always);
        assert!(!was_read || set.info(0).is_ok());
        dataset.cut();
        assert!(set.info(0).is_err());
        dataset.mend();
        let Err(ShardError::Refused(fault)) = set.info(0) else { panic!("the index was lost") };
        assert_eq!((fault.sample, &fault.refusal), (None, &Refusal::Unreadable), "{fault}");
        assert!(!LoadError::Shard(ShardError::Refused(fault)).is_corrupt_sample());
    }
    // Damage that was there at opening is what it always was.
    let dataset = Dataset::new(Codec::Raw, 4);
    dataset.scribble();
    dataset.date(Duration::from_secs(3600));
    let Err(ShardError::Refused(fault)) = used(&dataset.open(Verify::Always), 3) else { panic!("damaged") };
    assert!(matches!(fault.refusal, Refusal::Checksum { section: Section::Record, .. }), "{fault}");
}
