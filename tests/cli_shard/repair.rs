//! `repair`: exactly the intact samples, with labels and names, in a dataset that is sound; the rest kept aside and listed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use metacl::shard::ShardSet;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::make::*;

/// Name, label and bytes.
type Sample = (String, u32, Vec<u8>);

/// A dataset of two splits in several files, and its samples.
struct Set {
    temp: TempDir,
    data: PathBuf,
    samples: BTreeMap<&'static str, Vec<Sample>>,
}

impl Set {
    fn new(more: &[&str]) -> Self {
        let temp = tempdir().unwrap();
        let (src, data) = (source(temp.path()), temp.path().join("data"));
        convert(&src, &data, &[&["--store", "raw"], more].concat(), 3);
        let samples = ["train", "val"].map(|split| (split, samples(&data, split))).into();
        Self { temp, data, samples }
    }

    fn file(&self, split: &str, part: usize) -> PathBuf {
        self.data.join(split).join(format!("{part:05}.mcs"))
    }

    /// The samples of file `part` of a split.
    fn of_file(&self, split: &str, part: usize) -> std::ops::Range<usize> {
        let set = ShardSet::open(&self.data.join(split)).unwrap();
        let file = &set.shards()[part];
        file.first() as usize..(file.first() + file.samples()) as usize
    }

    /// First byte of the record of `sample` in its file.
    fn offset(&self, split: &str, sample: usize) -> usize {
        ShardSet::open(&self.data.join(split)).unwrap().info(sample as u64).unwrap().offset as usize
    }

    fn change(&self, split: &str, part: usize, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.file(split, part)).unwrap();
        change(&mut bytes);
        fs::write(self.file(split, part), bytes).unwrap();
    }

    /// Repairs into `dst`, which must be sound, leave the data as it is, and hold all samples of `split` but `lost`. What is listed.
    fn repair(&self, split: &str, dst: &Path, lost: &[usize], code: i32) -> Vec<Value> {
        let before = files(&self.data);
        let run = shard(&["repair", path(&self.data), "-o", path(dst)]);
        assert_eq!(run.code, code, "{}{}", run.out, run.err);
        assert_eq!(files(&self.data), before);
        assert_eq!(shard(&["verify", path(dst)]).code, 0);
        let expected = self.samples[split].iter().enumerate().filter(|(at, _)| !lost.contains(at));
        assert!(samples(dst, split) == expected.map(|(_, sample)| sample.clone()).collect::<Vec<_>>());
        let lines = fs::read_to_string(dst.join("quarantine/quarantine.jsonl")).unwrap_or_default();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

const SMALL_FILES: [&str; 2] = ["--shard-size", "100000"];

#[test]
fn of_every_kind_of_damage_what_is_intact_is_kept() {
    let set = Set::new(&SMALL_FILES);
    let [cut, whole] = [2, 4].map(|part| set.of_file("train", part));
    let (damaged, gone) = (set.of_file("train", 1).start + 3, set.of_file("train", 6));
    let record = set.offset("train", damaged);
    let page = set.offset("train", whole.end - 1) + set.samples["train"][whole.end - 1].2.len();
    set.change("train", 0, |bytes| bytes[..64].fill(0)); // header: costs nothing
    set.change("train", 1, |bytes| bytes[record + 100] ^= 1);
    set.change("train", 2, |bytes| bytes.truncate(bytes.len() / 2)); // with its only index page
    set.change("train", 3, |bytes| {
        let end = bytes.len() - 80;
        bytes[end..].fill(7); // footer: costs nothing
    });
    set.change("train", 4, |bytes| bytes[page.next_multiple_of(8) + 16] ^= 1); // a label in the index
    fs::remove_file(set.file("train", 6)).unwrap();

    let lost: Vec<usize> = [damaged].into_iter().chain(cut).chain(whole).chain(gone).collect();
    let dst = set.temp.path().join("repaired");
    let lines = set.repair("train", &dst, &lost, 3);
    assert!(samples(&dst, "val") == set.samples["val"]);
    let of =
        |part: usize| lines.iter().filter(|line| line["file"] == path(&set.file("train", part))).collect::<Vec<_>>();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!(
        (&of(1)[0]["name"], &of(1)[0]["offset"]),
        (&set.samples["train"][damaged].0.as_str().into(), &record.into())
    );
    assert!(of(1)[0]["reason"].as_str().unwrap().contains("checksum"));
    assert!(of(2)[0]["reason"].as_str().unwrap().contains("index page"));
    assert!(of(6)[0]["reason"].as_str().unwrap().contains("missing"));
    // The bytes are kept as they are.
    let kept = fs::read(dst.join("quarantine").join(of(1)[0]["bytes"].as_str().unwrap())).unwrap();
    let mut expected = set.samples["train"][damaged].2.clone();
    expected[100] ^= 1;
    assert!(kept == expected);
    // What is repaired may be repaired and trained on, but no part or byte count of the source is claimed.
    let metadata = ShardSet::open_split(&dst, "train").unwrap().metadata().clone();
    assert!(metadata.contains_key("repaired") && !metadata.contains_key("source_bytes"), "{metadata:?}");
    assert_eq!(classes(&dst, "train"), ["a", "b"]);
    assert!(dst.join("train/rejected.tsv").exists());
}

#[test]
fn damage_that_costs_nothing_is_exit_code_0() {
    let set = Set::new(&[]);
    let dst = set.temp.path().join("none");
    let run = shard(&["repair", path(&set.data), "-o", path(&dst)]);
    assert!(run.code == 0 && run.out.contains("nothing to repair") && !dst.exists(), "{}{}", run.out, run.err);
    set.change("train", 0, |bytes| bytes[3] ^= 1);
    assert!(set.repair("train", &dst, &[], 0).is_empty());
    assert!(!dst.join("quarantine").exists());
}

/// A split of one file, cut behind its only index page: the classes come from elsewhere.
#[test]
fn classes_that_are_cut_off_come_from_another_split_or_are_numbers() {
    let set = Set::new(&[]);
    let last = set.samples["train"].len() - 1;
    let entries: usize = set.samples["train"].iter().map(|(name, ..)| 40 + name.len()).sum();
    let end = set.offset("train", last) + set.samples["train"][last].2.len();
    set.change("train", 0, |bytes| bytes.truncate(end.next_multiple_of(8) + entries));
    let dst = set.temp.path().join("repaired");
    set.repair("train", &dst, &[], 0);
    assert_eq!(classes(&dst, "train"), ["a", "b"]);

    // One split, one file, by the name that is the default.
    for (target, made) in [("train", "train.repaired"), ("train/00000.mcs", "train/00000.mcs.repaired")] {
        let run = shard(&["repair", path(&set.data.join(target))]);
        assert_eq!(run.code, 0, "{}{}", run.out, run.err);
        assert!(run.err.contains("names of the classes are lost") && run.err.contains("nothing proves"), "{}", run.err);
        let made = set.data.join(made);
        assert_eq!(classes(&made, "train"), ["0", "1"]);
        assert!(samples(&made, "train") == set.samples["train"]);
    }
    // They are in nobody's way.
    assert!(shard(&["inspect", path(&set.data.join("val"))]).code == 0);
}

#[test]
fn what_cannot_be_repaired_is_one_line() {
    let set = Set::new(&[]);
    let dst = set.temp.path().join("repaired");
    let run = shard(&["repair", "s3://bucket/set"]);
    assert_eq!(run.code, 2);
    assert_one_line(&run, "copy it");
    set.change("train", 0, |bytes| bytes.truncate(100));
    fs::remove_dir_all(set.data.join("val")).unwrap();
    let run = shard(&["repair", path(&set.data), "-o", path(&dst)]);
    assert_eq!(run.code, 1);
    assert_one_line(&run, "no sample is intact");
    assert!(!dst.exists());
    let run = shard(&["repair", path(&set.data), "-o", path(&set.data)]);
    assert_one_line(&run, "exists");
    assert_one_line(&shard(&["repair", path(&set.temp.path().join("nowhere"))]), "nowhere");
}
