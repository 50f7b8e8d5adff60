//! `metacl-shard synthetic`.

use std::collections::BTreeMap;
use std::fs;

use metacl::image::Size;
use metacl::shard::{Codec, ShardSet};
use tempfile::tempdir;

use crate::make::*;

#[test]
fn the_same_seed_gives_the_same_files_with_any_number_of_workers() {
    let temp = tempdir().unwrap();
    let files = |name: &str, seed: &str, workers: &str| {
        let dst = temp.path().join(name);
        let run =
            shard(&["synthetic", path(&dst), "--train", "60", "--test", "20", "--seed", seed, "--workers", workers]);
        assert_eq!(run.code, 0, "{}", run.err);
        ["train", "test"].map(|split| fs::read(dst.join(split).join("00000.mcs")).unwrap())
    };
    let one = files("one", "7", "1");
    assert_eq!(one, files("five", "7", "5"));
    assert_ne!(one, files("other", "8", "1"));
}

#[test]
fn sizes_classes_and_splits_are_as_asked() {
    let temp = tempdir().unwrap();
    let dst = temp.path().join("set");
    let run = shard(&["synthetic", path(&dst), "--classes", "4", "--train", "40", "--test", "0", "--size", "24"]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(!dst.join("test").exists());
    let set = ShardSet::open_split(&dst, "train").unwrap();
    assert_eq!((set.len(), set.classes().len()), (40, 4));
    let mut histogram = BTreeMap::new();
    for index in 0..set.len() {
        let info = set.info(index).unwrap();
        assert_eq!((info.size, info.codec, info.length), (Size::new(24, 24), Codec::Raw, 24 * 24 * 3));
        let class = &set.classes()[info.label as usize];
        assert!(set.name(index).unwrap().starts_with(&format!("{class}/")));
        *histogram.entry(info.label).or_insert(0) += 1;
    }
    assert_eq!(histogram, (0..4).map(|label| (label, 10)).collect());
}

/// Raw pixels must say little about the class, else the set shows nothing; more than chance, else it is noise.
#[test]
fn pixels_alone_tell_little() {
    let temp = tempdir().unwrap();
    let dst = temp.path().join("set");
    assert_eq!(shard(&["synthetic", path(&dst), "--train", "1000", "--test", "200"]).code, 0);
    let [train, test] = ["train", "test"].map(|split| samples(&dst, split));
    let distance =
        |a: &[u8], b: &[u8]| -> u64 { a.iter().zip(b).map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2)).sum() };
    let nearest = |pixels: &[u8]| train.iter().min_by_key(|sample| distance(&sample.2, pixels)).map(|sample| sample.1);
    let right = test.iter().filter(|(_, label, pixels)| nearest(pixels) == Some(*label)).count();
    assert!((28..100).contains(&right), "nearest pixels are right for {right} of 200");
}
