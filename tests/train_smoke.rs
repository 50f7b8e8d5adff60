//! The programs' whole way on a tiny dataset: train, stop, resume, evaluate; and one-line refusals with their exit codes.

#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod train_support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use train_support::{SHORT, damage, dataset, dataset_of, lines, loaded, quarantined, run};

#[test]
fn a_stopped_and_resumed_run_equals_an_unbroken_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    dataset(&data);
    // The last one stops within an interval of the log, whose mean loss spans the stop.
    let cases: [(&[&str], &str, usize); 3] = [
        (&["--head", "contrastive"], "5/12", 13),
        (&["--head", "PN", "--accu_iter", "2", "--run_id", "b"], "6/12", 13),
        (&["--head", "PN", "--log_freq", "5", "--run_id", "c"], "5/12", 4),
    ];
    for (more, stop_at, count) in cases {
        let loaded = loaded(&data, more);
        let runs =
            |logs: &str| folder.path().join(logs).join("default/runs").join(loaded.config.run_id.as_ref().unwrap());
        run(&loaded, &folder.path().join("whole"), "").unwrap();
        let whole = lines(&runs("whole"));
        assert_eq!(whole.len(), count, "training lines and one of the test pass");

        run(&loaded, &folder.path().join("broken"), stop_at).unwrap();
        let until = lines(&runs("broken")).len();
        assert!(until > 0 && until < count, "stopped after {until} lines");
        run(&loaded, &folder.path().join("broken"), "").unwrap();
        assert_eq!(lines(&runs("broken")), whole);
    }
}

#[test]
fn worker_threads_do_not_change_a_number() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    dataset(&data);
    let of = |workers: &str| {
        let logs = folder.path().join(workers);
        run(&loaded(&data, &["--workers", workers]), &logs, "").unwrap();
        lines(&logs.join("default/runs/a"))
    };
    let one = of("1");
    assert_eq!(of("2"), one);
    assert_eq!(of("8"), one);
}

#[test]
fn a_finished_run_is_judged_and_its_encoder_evaluates() {
    let folder = tempfile::tempdir().unwrap();
    let (data, logs) = (folder.path().join("data"), folder.path().join("logs"));
    dataset(&data);
    run(&loaded(&data, &["--final_eval", "true", "--save_freq", "6"]), &logs, "").unwrap();
    let run_folder = logs.join("default/runs/a");
    let summary = |path: &Path| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(path.join("summary.json")).unwrap()).unwrap()
    };
    for key in ["iter", "train_loss", "images_per_s", "data_wait_share", "train_seconds"] {
        assert!(summary(&run_folder)[key].is_number(), "{key}");
    }
    for kind in ["knn_top1", "linear_top1"] {
        for of in ["", "_untrained", "_pixels"] {
            let share = summary(&run_folder)[format!("{kind}{of}")].as_f64().unwrap();
            assert!((0.0..=1.0).contains(&share));
        }
    }
    for file in [
        "config.yaml",
        "metrics.csv",
        "checkpoint-6.safetensors",
        "checkpoint-12.safetensors",
        "checkpoint.safetensors",
    ] {
        assert!(run_folder.join(file).is_file(), "{file}");
    }

    // The same command again has nothing to do, and says the same.
    let before = summary(&run_folder);
    run(&loaded(&data, &["--save_freq", "6"]), &logs, "").unwrap();
    for key in ["iter", "train_loss", "train_seconds"] {
        assert_eq!(summary(&run_folder)[key], before[key], "{key}");
    }

    // Its encoder alone: kNN and linear probe of a checkpoint.
    let numbered = run_folder.join("checkpoint-12.safetensors").display().to_string();
    run(&loaded(&data, &["--run_id", "c", "--ckpt", &numbered, "--eval_only", "--final_eval"]), &logs, "").unwrap();
    assert_eq!(summary(&logs.join("default/runs/c"))["knn_top1"], before["knn_top1"]);

    // A linear layer on these features tells stripes from stripes, trained on augmented views.
    let checkpoint = run_folder.join("checkpoint.safetensors").display().to_string();
    let evaluation =
        ["--problem", "eval", "--arch", "linear", "--encoder_ckpt", &checkpoint, "--run_id", "b", "--lr", "1"];
    run(&loaded(&data, &[&evaluation[..], &["--iters", "60", "--lr_schedule", "linear"]].concat()), &logs, "").unwrap();
    let accuracy = summary(&logs.join("default/runs/b"))["linear_top1"].as_f64().unwrap();
    assert!(accuracy > 0.9, "{accuracy}");
}

#[test]
fn a_damaged_record_ends_the_run_with_its_name_where_the_run_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    dataset(&data);
    damage(&data, "train", &[5]);
    let error = run(&loaded(&data, &["--corrupt", "error"]), &folder.path().join("logs"), "").unwrap_err();
    assert!(error.to_string().contains("00000.mcs: sample 5, byte"), "{error}");
}

#[test]
fn damaged_records_give_way_to_others_and_are_listed_up_to_a_share() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    dataset(&data);
    damage(&data, "train", &[5, 17]);
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    let loaded = loaded(&data, &["--max_corrupt", "0.05", "--iters", "10"]);
    let text = run(&loaded, &whole, "").unwrap();
    assert!(text.contains("quarantine.jsonl"), "{text}");
    run(&loaded, &broken, "5/10").unwrap();
    run(&loaded, &broken, "").unwrap();
    for logs in [&whole, &broken] {
        let mut listed = quarantined(&logs.join("default/runs/a"));
        listed.sort_by_key(|one| one["sample"].as_u64());
        let samples: Vec<_> =
            listed.iter().map(|one| (one["sample"].as_u64().unwrap(), one["offset"].as_u64().unwrap())).collect();
        assert_eq!(samples, [(5, 64 + 3072 * 5), (17, 64 + 3072 * 17)], "each once");
        assert!(listed[0]["file"].as_str().unwrap().ends_with("train/00000.mcs") && listed[0]["name"] == "05");
        let summary = std::fs::read_to_string(logs.join("default/runs/a/summary.json")).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&summary).unwrap()["corrupt_samples"], 2);
    }
    assert_eq!(lines(&broken.join("default/runs/a")), lines(&whole.join("default/runs/a")));

    damage(&data, "train", &[30]);
    let error = run(&loaded, &folder.path().join("third"), "").unwrap_err();
    assert!(error.to_string().contains("3 of 40 samples are corrupt"), "{error}");
    assert_eq!(quarantined(&folder.path().join("third/default/runs/a")).len(), 3);
}

/// One in a hundred, in two passes over the data, on any number of threads.
#[test]
fn a_dataset_with_one_percent_damaged_trains_to_the_end_and_names_exactly_those() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    dataset_of(&data, 1000);
    let damaged: Vec<usize> = (0..10).map(|nth| (nth * nth * 37 + 11) % 1000).collect();
    damage(&data, "train", &damaged);
    let run_of = |workers: &str| {
        let loaded = loaded(&data, &["--batch_size", "50", "--iters", "40", "--workers", workers]);
        run(&loaded, &folder.path().join(workers), "").unwrap();
        folder.path().join(workers).join("default/runs/a")
    };
    let (one, three) = (run_of("1"), run_of("3"));
    let listed = |run: &Path| -> BTreeSet<usize> {
        let list = quarantined(run);
        assert_eq!(list.len(), damaged.len(), "each once");
        list.iter().map(|one| one["sample"].as_u64().unwrap() as usize).collect()
    };
    assert_eq!(listed(&one), damaged.iter().copied().collect());
    assert_eq!(listed(&three), listed(&one));
    assert_eq!(lines(&three), lines(&one));
}

fn program(folder: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metacl-train"));
    command.current_dir(folder).args(SHORT).args(more).env_remove("DATA_ROOT").env_remove("EXMAN_PATH");
    command.output().unwrap()
}

#[test]
fn refusals_are_one_line_with_their_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    dataset(&data);
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    std::fs::write(folder.path().join("cut.safetensors"), b"1234").unwrap();
    let logs = folder.path().join("other");
    run(&loaded(&data, &["--iters", "1"]), &logs, "").unwrap();
    let conv4 = logs.join("default/runs/a/checkpoint.safetensors").display().to_string();
    let here = ["--data_path", "data"];
    let rows: &[(&[&str], i32, &str)] = &[
        (&["--data_path", "nowhere"], 2, "nowhere"),
        (&["--data_path", "empty"], 1, "empty"),
        (&[], 2, "data_path"),
        (&[here[0], here[1], "--batch_size", "41"], 2, "41"),
        (&[here[0], here[1], "--multiplier", "1"], 2, "multiplier"),
        (&[here[0], here[1], "--batch_sise", "4"], 2, "batch_size"),
        (&[here[0], here[1], "--lr", "fast"], 2, "fast"),
        (&[here[0], here[1], "--head", "SVM", "--svm_tasks", "7"], 2, "svm_tasks"),
        (&[here[0], here[1], "--image_size", "8"], 2, "8"),
        (&[here[0], here[1], "--arch", "ResNet18", "--ckpt", &conv4], 1, "Conv4"),
        (&[here[0], here[1], "--test_bs", "0"], 2, "test_bs"),
        (&[here[0], here[1], "--workers", "4000000000"], 2, "workers"),
        (&[here[0], here[1], "--problem", "eval", "--encoder_ckpt", "cut.safetensors"], 1, "cut.safetensors"),
        (&[here[0], here[1], "--problem", "eval", "--encoder_ckpt", "none.safetensors"], 1, "none.safetensors"),
    ];
    for (arguments, code, named) in rows {
        let output = program(folder.path(), arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(*code), "{arguments:?}: {error}");
        assert!(error.lines().count() == 1 && error.contains(named), "{arguments:?}: {error}");
        assert!(!folder.path().join("logs").exists(), "{arguments:?} left a run folder");
    }
}
