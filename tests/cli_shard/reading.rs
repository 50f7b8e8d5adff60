//! `inspect`, `stats`, `verify`, `extract`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::make::*;

/// A dataset of two splits: train with a JPEG of class `a` and a PNG of class `b`, test with a JPEG of class `b`.
fn dataset() -> (TempDir, PathBuf) {
    let temp = tempdir().unwrap();
    let (src, dst) = (temp.path().join("src"), temp.path().join("out"));
    write(src.join("train/a/1.jpg"), jpeg(1, 30, 20));
    write(src.join("train/b/2.png"), png(2, 10, 40));
    write(src.join("test/b/3.jpg"), jpeg(3, 16, 16));
    convert(&src, &dst, &["--store", "jpeg"], 0);
    (temp, dst)
}

fn json(args: &[&str]) -> Value {
    let run = shard(args);
    assert_eq!(run.code, 0, "{}", run.err);
    serde_json::from_str(&run.out).unwrap()
}

#[test]
fn inspect_counts_samples_bytes_and_codecs() {
    let (_temp, dst) = dataset();
    let bytes = [jpeg(1, 30, 20), png(2, 10, 40), jpeg(3, 16, 16)].map(|bytes| bytes.len());
    let whole = json(&["inspect", path(&dst), "--json"]);
    assert_eq!(whole["samples"], 3);
    assert_eq!(whole["source_bytes"], bytes.iter().sum::<usize>());
    assert_eq!(whole["stored_bytes"], whole["source_bytes"]);
    assert_eq!(whole["codecs"], serde_json::json!({ "coef": 0, "jpeg": 2, "raw": 0, "png": 1 }));
    assert_eq!(whole["splits"]["test"]["samples"], 1);
    assert_eq!(whole["splits"]["train"]["classes"], serde_json::json!(["a", "b"]));
    assert_eq!(whole["splits"]["train"]["metadata"]["format"], "folder");

    // One split and one file say the same of themselves.
    for part in ["train", "train/00000.mcs"] {
        let part = json(&["inspect", path(&dst.join(part)), "--json"]);
        assert_eq!((&part["samples"], &part["source_bytes"]), (&Value::from(2), &Value::from(bytes[0] + bytes[1])));
    }
    let text = shard(&["inspect", path(&dst)]).out;
    assert!(["train", "test", "2 classes", "jpeg"].iter().all(|word| text.contains(word)), "{text}");
}

#[test]
fn metadata_holds_no_absolute_path() {
    let (temp, dst) = dataset();
    let text = shard(&["inspect", path(&dst), "--json"]).out;
    let metadata = &serde_json::from_str::<Value>(&text).unwrap()["splits"]["train"]["metadata"];
    assert_eq!(metadata["source"], "src");
    assert!(!metadata.to_string().contains(path(temp.path())));
}

#[test]
fn stats_describe_sizes_and_labels() {
    let (_temp, dst) = dataset();
    let stats = json(&["stats", path(&dst), "--json"]);
    let train = &stats["splits"]["train"];
    assert_eq!((&train["width"]["min"], &train["width"]["max"]), (&Value::from(10), &Value::from(30)));
    assert_eq!(train["height"]["mean"], 30.0);
    assert_eq!(train["megapixels"], 0.001);
    let bytes = jpeg(1, 30, 20).len();
    let codec = serde_json::json!({ "samples": 1, "stored_bytes": bytes, "bytes_per_pixel": bytes as f64 / 600.0 });
    assert_eq!((&train["codecs"]["jpeg"], &train["codecs"]["raw"]), (&codec, &Value::Null));
    assert_eq!(train["labels"], serde_json::json!({ "a": 1, "b": 1 }));
    assert_eq!(stats["splits"]["test"]["labels"], serde_json::json!({ "a": 0, "b": 1 }));
    assert_eq!(shard(&["stats", path(&dst)]).code, 0);
}

#[test]
fn verify_lists_every_fault_and_fails() {
    let (_temp, dst) = dataset();
    let sound = json(&["verify", path(&dst), "--json"]);
    assert_eq!((&sound["samples"], &sound["faults"]), (&Value::from(3), &serde_json::json!([])));

    let mut names = Vec::new();
    for (split, bytes) in [("train", png(2, 10, 40)), ("test", jpeg(3, 16, 16))] {
        let file = dst.join(split).join("00000.mcs");
        let mut shard = fs::read(&file).unwrap();
        let at = shard.windows(bytes.len()).position(|window| window == bytes).unwrap();
        shard[at + bytes.len() / 2] ^= 1;
        fs::write(&file, shard).unwrap();
        names.push(format!("{split}/00000.mcs"));
    }
    let run = shard(&["verify", path(&dst)]);
    assert_eq!(run.code, 1);
    assert!(names.iter().all(|name| run.out.contains(name)), "{}{}", run.out, run.err);
    let faulty: Value = serde_json::from_str(&shard(&["verify", path(&dst), "--json"]).out).unwrap();
    assert_eq!(faulty["faults"].as_array().unwrap().len(), 2, "{faulty}");

    // A shard that does not even open is a fault like any other, and does not hide the others.
    fs::write(dst.join("test/00000.mcs"), "short").unwrap();
    let run = shard(&["verify", path(&dst)]);
    assert!(run.code == 1 && names.iter().all(|name| run.out.contains(name)), "{}{}", run.out, run.err);
}

#[test]
fn extract_gives_the_source_file_back() {
    let (temp, dst) = dataset();
    let file = |name: &str| temp.path().join(name);
    let cases = [("0", "train", jpeg(1, 30, 20)), ("1", "train", png(2, 10, 40)), ("0", "test", jpeg(3, 16, 16))];
    for (at, (index, split, bytes)) in cases.into_iter().enumerate() {
        let out = file(&format!("{at}.img"));
        let run = shard(&["extract", path(&dst), "--split", split, "--index", index, "--out", path(&out)]);
        assert_eq!((run.code, fs::read(&out).unwrap()), (0, bytes), "{}", run.err);
    }
    let again = shard(&["extract", path(&dst), "--index", "0", "--out", path(&file("0.img"))]);
    assert_eq!(again.code, 1);
    assert_one_line(&again, "0.img");
    let beyond = shard(&["extract", path(&dst), "--index", "2", "--out", path(&file("no.img"))]);
    assert_one_line(&beyond, "2");
    assert!(!file("no.img").exists());
}

#[test]
fn decoded_pixels_are_the_decoders() {
    let (temp, dst) = dataset();
    let out = temp.path().join("1.ppm");
    let run = shard(&["extract", path(&dst), "--index", "1", "--decode", "--out", path(&out)]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert_eq!(fs::read(&out).unwrap(), [b"P6\n10 40\n255\n", pixels(2, 10, 40).as_raw().as_slice()].concat());
    let bad = shard(&["extract", path(&dst), "--index", "1", "--decode", "--out", path(&temp.path().join("1.jpg"))]);
    assert_eq!(bad.code, 2, "{}", bad.err);
}

#[test]
fn raw_images_become_ppm_or_png() {
    let temp = tempdir().unwrap();
    let (src, dst) = (temp.path().join("src"), temp.path().join("out"));
    write(src.join("data_batch_1.bin"), cifar_binary(&[(&[2], 9)]));
    convert(&src, &dst, &[], 0);
    let extract = |name: &str| {
        let out = temp.path().join(name);
        let run = shard(&["extract", path(&dst), "--index", "0", "--out", path(&out)]);
        (run.code, fs::read(&out).unwrap_or_default())
    };
    assert_eq!(extract("a.ppm"), (0, [b"P6\n32 32\n255\n", cifar_image(9).1.as_slice()].concat()));
    let (code, png) = extract("a.png");
    assert_eq!((code, image::load_from_memory(&png).unwrap().into_rgb8()), (0, pixels(9, 32, 32)));
    assert_eq!(extract("a.jpg").0, 2);
}

#[test]
fn what_is_no_dataset_is_one_line() {
    let temp = tempdir().unwrap();
    fs::create_dir(temp.path().join("empty")).unwrap();
    write(temp.path().join("short.mcs"), "short");
    for command in ["inspect", "stats", "verify", "extract"] {
        for name in ["missing", "empty"] {
            let target = temp.path().join(name);
            let extra: &[&str] = if command == "extract" { &["--index", "0", "--out", "x.ppm"] } else { &[] };
            let run = shard(&[&[command, path(&target)], extra].concat());
            assert_eq!(run.code, 1);
            assert_one_line(&run, name);
        }
    }
    assert_one_line(&shard(&["inspect", path(&temp.path().join("short.mcs"))]), "short.mcs");
    assert!(!Path::new("x.ppm").exists());
}
