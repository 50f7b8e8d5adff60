//! Where a run computes is chosen, said and written down; the layout of memory is not part of a checkpoint.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod train_support;

use std::path::Path;
use std::process::Command;

use metacl::device::RouteError;
use metacl::train::TrainError;
use metacl::train::checkpoint::Checkpoint;
use train_support::{dataset, lines, loaded, run};

fn has_gpu() -> bool {
    metacl::gpu::devices().is_ok_and(|found| !found.is_empty())
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_gpu_that_is_not_there_is_refused_before_a_folder_is_made() {
    if has_gpu() {
        eprintln!("skipped: there is a GPU");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (data, logs) = (folder.path().join("data"), folder.path().join("logs"));
    dataset(&data);
    for more in
        [&["--augment", "cuda"][..], &["--augment", "cuda", "--dry_run"], &["--augment", "cuda", "--problem", "eval"]]
    {
        let refused = run(&loaded(&data, more), &logs, "");
        let error = refused.expect_err("there is no GPU");
        assert!(matches!(error, TrainError::Route(RouteError::NoGpu { .. })) && error.is_usage(), "{error}");
        assert!(!logs.exists());
    }
    let mut program = Command::new(env!("CARGO_BIN_EXE_metacl-train"));
    let output = program.args(["--augment", "cuda", "--iters", "1", "--data_path"]).arg(&data).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), error.lines().count()), (Some(2), 1), "{error}");
    assert!(error.contains("augment") && error.contains("--augment cpu"), "{error}");
}

#[test]
fn a_run_says_where_its_views_are_rendered() {
    let folder = tempfile::tempdir().unwrap();
    let (data, logs) = (folder.path().join("data"), folder.path().join("logs"));
    dataset(&data);
    let shown = run(&loaded(&data, &["--augment", "cpu"]), &logs, "").unwrap();
    assert!(shown.contains("views are rendered on the CPU (as asked)"), "{shown}");
    let of = |file: &str| json(&logs.join("default/runs/a").join(file));
    assert_eq!(of("environment.json")["views"], "views are rendered on the CPU (as asked)");
    let on_gpu = of("environment.json")["gpu"].is_string();
    assert_eq!(of("summary.json").get("peak_memory_bytes").is_some(), on_gpu, "only a GPU's memory is counted");
    assert_eq!(lines(&logs.join("default/runs/a"))[0].get("peak_memory_bytes").is_some(), on_gpu);
    if !has_gpu() {
        let shown = run(&loaded(&data, &["--run_id", "b"]), &logs, "").unwrap();
        assert!(shown.contains("views are rendered on the CPU (") && !shown.contains("as asked"), "{shown}");
    }
}

#[test]
fn a_checkpoint_goes_on_in_another_layout() {
    let folder = tempfile::tempdir().unwrap();
    let (data, logs) = (folder.path().join("data"), folder.path().join("logs"));
    dataset(&data);
    // Steps so small that another rounding stays one.
    let of = |more: &[&str], logs: &Path, stop_at: &str| {
        run(&loaded(&data, &[more, &["--lr", "1e-5"]].concat()), logs, stop_at).unwrap()
    };
    of(&["--channels_last", "false"], &logs.join("one"), "");
    of(&["--channels_last"], &logs.join("two"), "5/12");
    of(&["--channels_last", "false"], &logs.join("two"), "");
    let read = |logs: &str| {
        Checkpoint::read(&folder.path().join("logs").join(logs).join("default/runs/a/checkpoint.safetensors")).unwrap()
    };
    let (one, two) = (read("one"), read("two"));
    for (name, tensor) in &one.model {
        let other = &two.model[name];
        assert_eq!(tensor.size(), other.size(), "{name}");
        let off = (tensor - other).abs().max().double_value(&[]);
        assert!(off < 1e-3, "{name}: off by {off}");
    }
}
