//! What a run leaves on disk is whole, says what it is, goes on where it stopped, and is refused where it does not fit.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "test code fails by panicking")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use metacl::config::{Arch, Config, Head};
use metacl::train::checkpoint::{self, Checkpoint, CheckpointError, Meta};
use metacl::train::log::{Accuracies, LogError, RunLog, Summary, TrainLine};
use metacl::train::run_dir::{RunDir, RunDirError};
use tch::{Kind, Tensor};

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn meta(iter: u64) -> Meta {
    Meta {
        iter,
        arch: "Conv4".into(),
        head: "PN".into(),
        config_digest: format!("{:032x}", Config::default().digest()),
        seed: u64::MAX,
        extra: serde_json::json!({ "loss_sum": 1.5, "steps": [1, 2] }),
    }
}

fn model() -> Vec<(String, Tensor)> {
    vec![
        ("convnet.conv1.weight".into(), Tensor::from_slice(&[1.0f32, -2.5, f32::NAN, 3e-39]).view([2, 1, 2, 1])),
        ("convnet.bn1.num_batches_tracked".into(), Tensor::from(7i64)),
        ("empty".into(), Tensor::zeros([0, 3], (Kind::Float, tch::Device::Cpu))),
        ("half".into(), Tensor::from_slice(&[0.5f32]).to_kind(Kind::Half)),
        ("turned".into(), Tensor::arange(6, (Kind::Double, tch::Device::Cpu)).view([2, 3]).tr()),
    ]
}

fn optimizer() -> Vec<(String, Tensor)> {
    vec![
        ("step".into(), Tensor::from(3i64)),
        ("momentum_buffer/convnet.conv1.weight".into(), Tensor::ones([4], (Kind::Float, tch::Device::Cpu))),
    ]
}

/// Equal in kind, shape and bits (NaN included).
fn assert_same(got: &HashMap<String, Tensor>, want: &[(String, Tensor)]) {
    assert_eq!(got.len(), want.len());
    for (name, want) in want {
        let got = &got[name];
        assert_eq!((got.kind(), got.size()), (want.kind(), want.size()), "{name}");
        let bytes = |tensor: &Tensor| {
            let tensor = tensor.contiguous();
            let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
            tensor.copy_data_u8(&mut bytes, tensor.numel());
            bytes
        };
        assert_eq!(bytes(got), bytes(want), "{name}");
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_checkpoint_reads_back_to_the_bit() {
    let folder = temporary();
    let path = checkpoint::numbered_path(folder.path(), 20);
    checkpoint::write(&path, &meta(20), &model(), &optimizer()).unwrap();
    let read = Checkpoint::read(&path).unwrap();
    assert_eq!((&read.meta, read.arch().unwrap()), (&meta(20), Arch::Conv4));
    assert_same(&read.model, &model());
    assert_same(&read.optimizer, &optimizer());
    assert_eq!(checkpoint::read_meta(&path).unwrap(), meta(20));
    assert_eq!(names(folder.path()), ["checkpoint-20.safetensors"], "nothing is left beside it");

    let bytes = fs::read(&path).unwrap();
    checkpoint::write(&path, &meta(20), &model(), &optimizer()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes, "the same content gives the same file");
}

#[test]
fn other_tools_find_torchvisions_names_and_plain_json() {
    let folder = temporary();
    let path = checkpoint::rolling_path(folder.path());
    checkpoint::write(&path, &meta(1), &model(), &optimizer()).unwrap();
    let bytes = fs::read(&path).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert!(header.info("convnet.conv1.weight").is_some() && header.info("optim.step").is_some());
    let entry: serde_json::Value = serde_json::from_str(&header.metadata().as_ref().unwrap()["metacl"]).unwrap();
    assert_eq!(
        (entry["version"].as_u64(), entry["iter"].as_u64(), entry["head"].as_str()),
        (Some(1), Some(1), Some("PN"))
    );
}

#[test]
fn every_cut_and_every_changed_byte_is_refused() {
    let folder = temporary();
    let path = checkpoint::rolling_path(folder.path());
    checkpoint::write(&path, &meta(5), &model(), &optimizer()).unwrap();
    let bytes = fs::read(&path).unwrap();
    for cut in 0..bytes.len() {
        fs::write(&path, &bytes[..cut]).unwrap();
        assert!(Checkpoint::read(&path).is_err(), "accepted a checkpoint cut to {cut} of {} bytes", bytes.len());
    }
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        fs::write(&path, &changed).unwrap();
        assert!(Checkpoint::read(&path).is_err(), "accepted a change of byte {at}, {:?}", bytes[at] as char);
        // The header alone may be taken, but must not panic.
        let _ = checkpoint::read_meta(&path);
    }
    println!("refused {0} cuts and {0} changes", bytes.len());
}

#[test]
fn refusals_say_which_file_and_why() {
    let folder = temporary();
    let path = folder.path().join("checkpoint.safetensors");
    assert!(matches!(Checkpoint::read(&path), Err(CheckpointError::Io { .. })));
    fs::write(&path, b"PK\x03\x04 this is a zip file, as torch.save makes").unwrap();
    assert!(matches!(Checkpoint::read(&path), Err(CheckpointError::NotSafetensors { .. })));
    let foreign = safetensors::serialize(Vec::<(String, safetensors::tensor::TensorView<'_>)>::new(), None).unwrap();
    fs::write(&path, foreign).unwrap();
    assert!(matches!(Checkpoint::read(&path), Err(CheckpointError::NotOurs { .. })));

    checkpoint::write(&path, &meta(5), &model(), &[]).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(Checkpoint::read(&path), Err(CheckpointError::Damaged { .. })));
    fs::write(&path, &bytes[..last]).unwrap();
    assert!(matches!(Checkpoint::read(&path), Err(CheckpointError::WrongLength { bytes, .. }) if bytes == last as u64));
    let at = bytes.windows(11).position(|window| window == br#"version\":1"#).unwrap();
    bytes[at + 10] = b'9';
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(Checkpoint::read(&path), Err(CheckpointError::Version { version: 9, .. })));

    let twice = [("a".to_owned(), Tensor::from(1)), ("a".to_owned(), Tensor::from(2))];
    assert!(matches!(checkpoint::write(&path, &meta(1), &twice, &[]), Err(CheckpointError::Twice { .. })));
    let complex = [("c".to_owned(), Tensor::zeros([1], (Kind::ComplexFloat, tch::Device::Cpu)))];
    assert!(matches!(checkpoint::write(&path, &meta(1), &complex, &[]), Err(CheckpointError::Kind { .. })));
    assert_eq!(fs::read(&path).unwrap(), bytes, "a refused write leaves the old file");

    checkpoint::write(&path, &Meta { arch: "ResNet18".into(), ..meta(1) }, &model(), &[]).unwrap();
    let read = Checkpoint::read(&path).unwrap();
    let other = read.expect_arch("Conv4");
    assert!(
        matches!(&other, Err(CheckpointError::OtherArch { saved, wanted, .. }) if saved == "ResNet18" && wanted == "Conv4")
    );
    assert!(read.expect_arch("ResNet18").is_ok());
    let unwritable = folder.path().join("none").join("checkpoint.safetensors");
    assert!(matches!(checkpoint::write(&unwritable, &meta(1), &model(), &[]), Err(CheckpointError::Io { .. })));
}

#[test]
fn the_newest_is_found_and_the_last_are_kept() {
    let folder = temporary();
    let write = |path: PathBuf, iter| checkpoint::write(&path, &meta(iter), &[], &[]).unwrap();
    let newest = || checkpoint::newest(folder.path()).unwrap().path.map(|path| path.file_name().unwrap().to_owned());
    assert_eq!(newest(), None);
    for iter in [5, 100, 20, 9] {
        write(checkpoint::numbered_path(folder.path(), iter), iter);
    }
    fs::write(folder.path().join("checkpoint-x.safetensors"), b"no number").unwrap();
    assert_eq!(newest().unwrap(), "checkpoint-100.safetensors");
    write(checkpoint::rolling_path(folder.path()), 99);
    assert_eq!(newest().unwrap(), "checkpoint-100.safetensors");
    write(checkpoint::rolling_path(folder.path()), 101);
    assert_eq!(newest().unwrap(), "checkpoint.safetensors");
    checkpoint::keep_last(folder.path(), 2).unwrap();
    let left = [
        "checkpoint-100.safetensors",
        "checkpoint-20.safetensors",
        "checkpoint-x.safetensors",
        "checkpoint.safetensors",
    ];
    assert_eq!(names(folder.path()), left);
}

fn line(iter: u64, train_loss: f64) -> TrainLine<'static> {
    TrainLine {
        iter,
        train_loss,
        lr: 0.1,
        images_per_s: 1500.0,
        data_wait_share: 0.25,
        terms: &[("head", 1.0 / 3.0)],
        others: &[("train_contrast_acc", 0.5)],
    }
}

fn json_lines(folder: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn lines_are_json_with_full_precision_and_the_table_joins_them() {
    let folder = temporary();
    let mut log = RunLog::open(folder.path(), None).unwrap();
    let loss = 5.123_456_789_012_345e-7;
    log.training(&line(10, loss)).unwrap();
    log.training(&line(20, f64::NAN)).unwrap();
    log.evaluation(20, &[("test_loss".into(), 2.0), ("knn_top1".into(), 0.5)]).unwrap();
    log.training(&line(30, 1e300)).unwrap();
    let lines = json_lines(folder.path());
    let text = fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
    let printed = text.lines().next().unwrap().split_once("\"train_loss\":").unwrap().1.split_once(',').unwrap().0;
    assert_eq!(printed.parse::<f64>().unwrap(), loss, "the text itself reads back: {printed}");
    assert_eq!((lines[0]["iter"].as_u64(), lines[0]["term_head"].as_f64()), (Some(10), Some(1.0 / 3.0)));
    assert!(lines[1]["train_loss"].is_null() && lines[1].as_object().unwrap().contains_key("train_loss"));
    assert!(lines[2].get("train_loss").is_none() && lines[2]["knn_top1"] == 0.5 && lines[2]["iter"] == 20);
    let table = fs::read_to_string(folder.path().join("metrics.csv")).unwrap();
    let want = format!(
        "iter,train_loss,lr,images_per_s,data_wait_share,knn_top1,term_head,test_loss,train_contrast_acc\n\
         10,{printed},0.1,1500.0,0.25,,{third},,0.5\n\
         20,nan,0.1,1500.0,0.25,0.5,{third},2.0,0.5\n\
         30,1e300,0.1,1500.0,0.25,,{third},,0.5\n",
        third = 1.0 / 3.0
    );
    assert_eq!(table, want);
}

#[test]
fn names_cannot_blur_training_and_evaluation() {
    let folder = temporary();
    let mut log = RunLog::open(folder.path(), None).unwrap();
    for name in ["train_loss", "iter", "", "test_a,b", "test_\"", "loss"] {
        let refused = log.evaluation(1, &[(name.to_owned(), 1.0)]);
        assert!(matches!(refused, Err(LogError::Name { kind: "evaluation", .. })), "{name}");
    }
    let refused = log.training(&TrainLine { others: &[("test_loss", 1.0)], ..line(1, 1.0) });
    assert!(matches!(refused, Err(LogError::Name { kind: "training", .. })));
    assert!(json_lines(folder.path()).is_empty());
}

#[test]
fn a_resumed_run_has_the_lines_of_an_unbroken_one() {
    let write = |log: &mut RunLog, iters: std::ops::RangeInclusive<u64>| {
        for iter in iters {
            log.training(&line(iter, 1.0 / iter as f64)).unwrap();
            if iter % 4 == 0 {
                log.evaluation(iter, &[("test_loss".into(), iter as f64)]).unwrap();
            }
        }
    };
    let unbroken = temporary();
    write(&mut RunLog::open(unbroken.path(), None).unwrap(), 1..=12);
    let both =
        |folder: &Path| ["metrics.jsonl", "metrics.csv"].map(|name| fs::read_to_string(folder.join(name)).unwrap());

    for stopped in 1..=12 {
        let broken = temporary();
        write(&mut RunLog::open(broken.path(), None).unwrap(), 1..=stopped);
        // Killed in the middle of a line.
        let lines = broken.path().join("metrics.jsonl");
        fs::write(&lines, fs::read_to_string(&lines).unwrap() + "{\"iter\":13,\"tr").unwrap();
        let resumed = stopped - stopped % 5;
        write(&mut RunLog::open(broken.path(), Some(resumed)).unwrap(), resumed + 1..=12);
        assert_eq!(both(broken.path()), both(unbroken.path()), "stopped at {stopped}, resumed from {resumed}");
    }
    RunLog::open(unbroken.path(), None).unwrap();
    assert_eq!(both(unbroken.path()), ["", ""], "a new run starts with empty records");
}

#[test]
fn a_changed_record_is_refused_not_repaired() {
    let folder = temporary();
    let path = folder.path().join("metrics.jsonl");
    fs::write(&path, "{\"iter\":1}\n{\"iter\":2,\"a\":\"b\"}\n").unwrap();
    assert!(matches!(RunLog::open(folder.path(), Some(5)), Err(LogError::Malformed { line: 2, .. })));
    let missing = folder.path().join("none");
    assert!(matches!(RunLog::open(&missing, None), Err(LogError::Io { .. })));
}

#[test]
fn the_summary_is_json_with_only_what_was_evaluated() {
    let folder = temporary();
    let accuracies = Accuracies { knn_top1: Some(0.5), ..Accuracies::default() };
    let summary = Summary { iter: 7, train_loss: Some(f64::NAN), train_seconds: 2.5, accuracies, ..Summary::default() };
    summary.write(folder.path()).unwrap();
    let read: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path().join("summary.json")).unwrap()).unwrap();
    assert_eq!(
        (read["iter"].as_u64(), read["knn_top1"].as_f64(), read["train_seconds"].as_f64()),
        (Some(7), Some(0.5), Some(2.5))
    );
    assert!(read["train_loss"].is_null() && read.get("linear_top1").is_none());
    assert_eq!(names(folder.path()), ["summary.json"]);
}

fn config(run_id: Option<&str>) -> Config {
    Config { run_id: run_id.map(str::to_owned), ..Config::default() }
}

#[test]
fn numbers_are_claimed_once_even_at_the_same_time() {
    let root = temporary();
    let first = RunDir::open(root.path(), "x", &mut config(None), 1).unwrap();
    assert!(first.path().ends_with("x/runs/000001") && first.newest_checkpoint().is_none());
    assert!(first.path().join("config.yaml").is_file());
    fs::create_dir(root.path().join("x/runs/000041")).unwrap();
    fs::create_dir(root.path().join("x/runs/word")).unwrap();
    let claim = || RunDir::open(root.path(), "x", &mut config(None), 1).unwrap().path().to_owned();
    let mut claimed: Vec<PathBuf> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(claim)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    claimed.sort();
    let want: Vec<PathBuf> = (42..50).map(|number| root.path().join(format!("x/runs/{number:06}"))).collect();
    assert_eq!(claimed, want);
    let temporary = RunDir::open(root.path(), "x", &mut Config { tmp: true, ..config(None) }, 1).unwrap();
    assert!(temporary.path().ends_with("x/tmp/000001"));
}

#[test]
fn a_run_with_a_checkpoint_goes_on_with_the_saved_seed() {
    let root = temporary();
    let open = |config: &mut Config, seed| RunDir::open(root.path(), "x", config, seed);
    let run = open(&mut config(Some("a")), 7).unwrap();
    assert!(matches!(open(&mut config(Some("a")), 8), Err(RunDirError::Busy { .. })), "one writer at a time");
    let path = run.path().to_owned();
    checkpoint::write(&checkpoint::numbered_path(&path, 3), &meta(3), &[], &[]).unwrap();
    drop(run);

    let mut again = Config { workers: Some(9), ..config(Some("a")) };
    let run = open(&mut again, 8).unwrap();
    assert_eq!(run.newest_checkpoint(), Some(checkpoint::numbered_path(&path, 3).as_path()));
    assert_eq!((again.seed, again.run_id.as_deref()), (Some(7), Some("a")));
    assert_eq!(Config::read_resolved(&path.join("config.yaml")).unwrap(), again);
    drop(run);

    let mut other = Config { lr: 0.5, head: Head::Pn, seed: Some(8), ..config(Some("a")) };
    let Err(RunDirError::OtherConfig { differences, .. }) = open(&mut other, 1) else {
        panic!("another config was taken")
    };
    let keys: Vec<_> = differences.iter().map(|d| (d.key, d.saved.as_str(), d.now.as_str())).collect();
    assert_eq!(keys, [("seed", "7", "8"), ("lr", "0.1", "0.5"), ("head", "contrastive", "PN")]);
    let fresh = open(&mut Config { fresh: true, ..config(Some("a")) }, 1);
    assert!(matches!(fresh, Err(RunDirError::NotFresh { .. })));
    assert!(checkpoint::numbered_path(&path, 3).exists(), "nothing is deleted");
    fs::remove_file(path.join("config.yaml")).unwrap();
    assert!(matches!(open(&mut config(Some("a")), 1), Err(RunDirError::NoConfig { .. })));
}

/// A run that ended before its first checkpoint trained nothing: its folder is free for any config, with `--fresh` or without.
#[test]
fn a_folder_without_a_checkpoint_takes_any_config() {
    let root = temporary();
    drop(RunDir::open(root.path(), "x", &mut config(Some("a")), 7).unwrap());
    for fresh in [false, true] {
        let mut other = Config { fresh, lr: 0.5, ..config(Some("a")) };
        drop(RunDir::open(root.path(), "x", &mut other, 1).unwrap());
        assert_eq!((other.seed, other.lr), (Some(1), 0.5));
        let path = root.path().join("x/runs/a/config.yaml");
        assert_eq!(Config::read_resolved(&path).unwrap(), other);
    }
}

#[test]
fn an_unwritable_place_is_an_error() {
    let root = temporary();
    let file = root.path().join("file");
    fs::write(&file, b"x").unwrap();
    assert!(matches!(RunDir::open(&file, "x", &mut config(None), 1), Err(RunDirError::Io { .. })));
}
