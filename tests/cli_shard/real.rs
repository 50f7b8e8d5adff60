//! Real data, where `METACL_TEST_DATA` names a folder that has it.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::tempdir;

use crate::make::*;

fn data(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("METACL_TEST_DATA").map(|root| PathBuf::from(root).join(name));
    if folder.is_none() {
        println!("skipped: METACL_TEST_DATA is not set");
    }
    folder
}

#[test]
fn cifar10_comes_back_pixel_for_pixel() {
    let Some(src) = data("cifar-10-batches-bin") else { return };
    let temp = tempdir().unwrap();
    let dst = temp.path().join("out");
    convert(&src, &dst, &[], 0);
    assert_eq!(classes(&dst, "train")[9], "truck");
    for (split, file) in [("train", "data_batch_1.bin"), ("test", "test_batch.bin")] {
        let batch = fs::read(src.join(file)).unwrap();
        let samples = samples(&dst, split);
        assert_eq!(samples.len(), batch.len() / 3073);
        for (record, (_, label, pixels)) in batch.chunks_exact(3073).zip(&samples) {
            assert_eq!(u32::from(record[0]), *label);
            assert!((0..3072).all(|at| pixels[at] == record[1 + at % 3 * 1024 + at / 3]));
        }
    }
}

/// The files of a tree of classes, sorted.
fn photos(src: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for class in fs::read_dir(src).unwrap() {
        paths.extend(fs::read_dir(class.unwrap().path()).unwrap().map(|entry| entry.unwrap().path()));
    }
    paths.sort();
    paths
}

#[test]
fn photos_come_back_byte_for_byte() {
    let Some(src) = data("imagenet_sample") else { return };
    let temp = tempdir().unwrap();
    let dst = temp.path().join("out");
    convert(&src, &dst, &["--store", "jpeg"], 0);
    let samples = samples(&dst, "train");
    let paths = photos(&src);
    assert_eq!(samples.len(), paths.len());
    for (path, (name, _, bytes)) in paths.iter().zip(&samples) {
        assert!(path.ends_with(name) && fs::read(path).unwrap() == *bytes, "{name}");
    }
}

#[cfg(feature = "turbo")]
#[test]
fn photos_keep_their_coefficients() {
    use metacl::decode::{Limits, jpeg_coefficients};
    use metacl::shard::{Codec, ShardSet};

    let Some(src) = data("imagenet_sample") else { return };
    let temp = tempdir().unwrap();
    let dst = temp.path().join("out");
    convert(&src, &dst, &["--store", "coef"], 0);
    let set = ShardSet::open_split(&dst, "train").unwrap();
    let mut recoded = 0;
    for (index, path) in (0..).zip(photos(&src)) {
        let (file, record) = (fs::read(&path).unwrap(), set.record(index).unwrap());
        if set.info(index).unwrap().codec == Codec::Coef {
            let expected = jpeg_coefficients(&file, Limits::default(), None).unwrap();
            assert!(metacl::coef::coefficients(&record).unwrap() == expected, "{}", path.display());
            recoded += 1;
        } else {
            assert!(record == file, "{}", path.display());
        }
    }
    assert!(recoded * 100 >= set.len() * 99, "{recoded} of {} were recoded", set.len());
}
