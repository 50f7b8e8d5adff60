//! Steps can be timed with the loader's batches and without: the same steps as those of a run.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod train_support;

use std::process::Command;

use metacl::shard::Storage;
use metacl::train::TrainError;
use metacl::train::setup::{StepBench, step_bench};
use train_support::{dataset, lines, loaded, run};

#[test]
fn timed_steps_are_those_of_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    dataset(&data);
    for more in [&["--head", "PN", "--lr_schedule", "const"][..], &["--problem", "byol", "--lr_schedule", "const"]] {
        let loaded = loaded(&data, &[more, &["--run_id", more[1]]].concat());
        let logs = folder.path().join("logs");
        run(&loaded, &logs, "").unwrap();
        let logged = lines(&logs.join("default/runs").join(more[1]));
        let bench = StepBench { warmup: 2, blocks: 2, steps: 2, synthetic: false };
        let figures = step_bench(&loaded.config, &Storage::default(), &bench).unwrap();
        // The sixth step's loss is on the log's sixth line.
        assert_eq!(serde_json::json!(figures.loss), logged[5]["train_loss"], "{more:?}");
        assert_eq!((figures.steps, figures.rows, figures.batch_size), (4, 16, 8));
        assert!(figures.step_ms_range[0] <= figures.step_ms && figures.step_ms <= figures.step_ms_range[1]);
        assert!((0.0..=1.0).contains(&figures.data_wait_share), "{figures:?}");
        let synthetic =
            step_bench(&loaded.config, &Storage::default(), &StepBench { synthetic: true, ..bench }).unwrap();
        assert!(synthetic.loss.is_finite() && synthetic.data_wait_share == 0.0 && synthetic.views.is_none());
    }
}

#[test]
fn an_evaluation_has_no_steps_to_time() {
    let folder = tempfile::tempdir().unwrap();
    let loaded = loaded(folder.path(), &["--problem", "eval"]);
    let bench = StepBench { warmup: 0, blocks: 1, steps: 1, synthetic: true };
    assert!(matches!(step_bench(&loaded.config, &Storage::default(), &bench), Err(TrainError::Config(_))));
}

#[test]
fn the_command_prints_one_object_and_needs_no_data_for_noise() {
    let program = || {
        let mut program = Command::new(env!("CARGO_BIN_EXE_metacl-train"));
        program.env_remove("DATA_ROOT").arg("step-bench");
        program
    };
    let small = ["--arch", "Conv4", "--batch_size", "4", "--image_size", "16", "--threads", "1"];
    let timed = ["--synthetic", "--steps", "1", "--blocks", "3", "--warmup", "1", "--json", "--"];
    let output = program().args(timed).args(small).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&figures["arch"], &figures["batches"]), (&"Conv4".into(), &"synthetic".into()), "{figures}");
    assert_eq!((figures["rows"].as_u64(), figures["steps"].as_u64()), (Some(8), Some(3)));
    assert!(figures["step_ms"].as_f64().unwrap() > 0.0);

    let output = program().arg("--").args(small).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "no dataset was named");
}
