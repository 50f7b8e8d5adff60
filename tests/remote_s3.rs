//! Datasets in an S3 store are written whole, read as from disk, and made in parts by many.
#![cfg(feature = "remote")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod remote_support;
#[path = "remote_support/s3.rs"]
mod s3;

use std::fs;
use std::path::Path;

use metacl::shard::{Location, ShardSet, Storage, StorageOptions};
use remote_support::{files_below, patience};
use s3::S3;

/// What a command that must end with `code` printed, on both streams.
fn run(s3: &S3, cache: &Path, arguments: &[&str], code: i32) -> String {
    let output = s3.shard(cache, arguments).output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    text
}

/// Digest of the views that the loader makes of a dataset: one that depends on every sample and its place.
fn digest(s3: &S3, cache: &Path, data: &str, split: &str) -> String {
    let bench = ["bench", data, "--split", split, "--recipe", "cifar", "--samples", "600", "--workers", "2", "--json"];
    let text = run(s3, cache, &bench, 0);
    let json = serde_json::from_str::<serde_json::Value>(&text).unwrap();
    json["digest"].as_str().unwrap().to_owned()
}

fn open(s3: &S3, cache: &Path, url: &str) -> ShardSet {
    let storage = Storage::new(StorageOptions {
        cache_dir: Some(cache.to_owned()),
        cache_size: 1 << 30,
        variables: s3.variables(),
        patience: patience(),
    });
    ShardSet::open_at(&Location::parse(Path::new(url)).unwrap(), &storage).unwrap()
}

/// Class folders with PPM-free pictures: 23 and 9 PNG files.
fn images(folder: &Path) {
    for (split, count) in [("train", 23u32), ("val", 9)] {
        for number in 0..count {
            let class = folder.join(split).join(if number % 3 == 0 { "cat" } else { "dog" });
            fs::create_dir_all(&class).unwrap();
            let picture = image::RgbImage::from_fn(20 + number, 31, |x, y| {
                image::Rgb([x * 9 + number, y * 7, x ^ y].map(|value| value as u8))
            });
            picture.save(class.join(format!("{number:02}.png"))).unwrap();
        }
        fs::write(folder.join(split).join("cat/broken.jpg"), "no picture").unwrap();
    }
}

#[test]
fn what_is_made_at_a_url_is_what_is_made_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let s3 = S3::start(&folder.path().join("s3"));
    let cache = folder.path().join("cache");
    let disk = folder.path().join("shapes").display().to_string();
    let make = |dst: &str, code| {
        // 22 MB: objects of several pieces, and one of a single piece.
        let more = ["--train", "1800", "--test", "40", "--size", "64", "--shard-size", "12M"];
        run(&s3, &cache, &[&["synthetic", dst][..], &more].concat(), code)
    };
    make(&disk, 0);
    make("s3://bucket/sets/shapes", 0);
    let url = open(&s3, &cache, "s3://bucket/sets/shapes/train");
    assert!(url.shards().len() >= 2);
    assert_eq!(url.identity(), ShardSet::open(Path::new(&disk).join("train").as_path()).unwrap().identity());
    for split in ["train", "test"] {
        assert_eq!(digest(&s3, &cache, "s3://bucket/sets/shapes", split), digest(&s3, &cache, &disk, split));
    }
    assert!(run(&s3, &cache, &["verify", "s3://bucket/sets/shapes"], 0).contains("sound"));
    // Not twice, and nothing is changed by trying.
    let before = files_below(s3.bucket());
    assert!(make("s3://bucket/sets/shapes", 1).contains("exists"));
    assert_eq!(files_below(s3.bucket()), before);
    let cold = folder.path().join("other cache");
    assert!(make("http://127.0.0.1:9/x", 1).contains("http"));
    assert!(!cold.exists());
}

#[test]
fn a_writing_that_fails_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let s3 = S3::start(&folder.path().join("s3"));
    let cache = folder.path().join("cache");
    let synthetic = ["synthetic", "s3://bucket/x", "--train", "30", "--test", "0"];
    let refused = s3.shard(&cache, &synthetic).env("AWS_SECRET_ACCESS_KEY", "another").output().unwrap();
    let text = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{text}");
    assert!(text.contains("AWS_") && text.lines().count() == 1, "{text}");
    assert_eq!(files_below(s3.bucket()), []);
}

#[test]
fn parts_joined_are_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let s3 = S3::start(&folder.path().join("s3"));
    let cache = folder.path().join("cache");
    let source = folder.path().join("images");
    images(&source);
    let (source, path) = (source.display().to_string(), |name: &str| folder.path().join(name).display().to_string());
    let convert = |dst: &str, more: &[&str]| {
        // Each split has a file that is none.
        run(&s3, &cache, &[&["convert", &source, dst, "--shard-size", "20K"][..], more].concat(), 3)
    };
    convert(&path("whole"), &[]);
    let mut parts = Vec::new();
    for number in 1..=3 {
        // Two on disk, one in the bucket.
        let target = if number == 2 { "s3://bucket/parts".to_owned() } else { path("parts") };
        let part = format!("{number}/3");
        // The broken files sort behind the cats and before the dogs, in the first part's stretch or the second's.
        let output = s3.shard(&cache, &["convert", &source, &target, "--shard-size", "20K", "--part", &part]).output();
        assert!(matches!(output.unwrap().status.code(), Some(0 | 3)), "{part}");
        parts.push(format!("{target}/part-000{number}-of-0003"));
    }
    let merge = |given: &[&String], dst: &str, code: i32| {
        let given: Vec<&str> = given.iter().map(|part| part.as_str()).collect();
        run(&s3, &cache, &[&["merge"][..], &given, &["-o", dst]].concat(), code)
    };
    let [one, two, three] = [&parts[0], &parts[1], &parts[2]];
    assert!(merge(&[one, three], &path("none"), 1).contains("missing: part 2/3"));
    assert!(merge(&[one, two, three, two], &path("none"), 1).contains("part 2/3, as is"));
    assert!(!Path::new(&path("none")).exists());
    for dst in [path("merged"), "s3://bucket/merged".to_owned()] {
        merge(&[three, one, two], &dst, 0);
        for split in ["train", "val"] {
            assert_eq!(digest(&s3, &cache, &dst, split), digest(&s3, &cache, &path("whole"), split), "{dst} {split}");
        }
    }
    for split in ["train", "val"] {
        let whole = ShardSet::open(&folder.path().join("whole").join(split)).unwrap();
        let merged = ShardSet::open(&folder.path().join("merged").join(split)).unwrap();
        assert_eq!(whole.metadata(), merged.metadata());
        assert_eq!(whole.classes(), merged.classes());
        for index in 0..whole.len() {
            assert_eq!(whole.name(index).unwrap(), merged.name(index).unwrap());
            assert_eq!(whole.record(index).unwrap(), merged.record(index).unwrap());
        }
        let lists =
            ["whole", "merged"].map(|set| fs::read(folder.path().join(set).join(split).join("rejected.tsv")).unwrap());
        // The broken file is the second part's, whose list is in the bucket.
        assert_eq!(lists[0], lists[1]);
    }
    // A source that changed between the parts.
    fs::remove_file(Path::new(&source).join("train/dog/01.png")).unwrap();
    let other = s3.shard(&cache, &["convert", &source, &path("later"), "--part", "3/3"]).output().unwrap();
    assert!(other.status.success());
    let later = path("later") + "/part-0003-of-0003";
    assert!(merge(&[one, two, &later], &path("none"), 1).contains("part_source"));
    // Parts that are empty are not asked for.
    let many: Vec<String> = (1..=12).map(|number| format!("{}/part-{number:04}-of-0012", path("many"))).collect();
    for number in 1..=12 {
        let part = format!("{number}/12");
        let code = s3.shard(&cache, &["convert", &source, &path("many"), "--part", &part]).output().unwrap().status;
        assert!(matches!(code.code(), Some(0 | 1 | 3)), "{part}");
    }
    let there: Vec<&String> = many.iter().filter(|part| Path::new(part.as_str()).exists()).collect();
    assert!(there.len() < 12 || there.len() == 12);
}
