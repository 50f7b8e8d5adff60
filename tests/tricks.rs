//! Every trick and objective trains on a tiny dataset, logs its terms, resumes exactly, and gives an encoder that evaluates.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod train_support;

use std::path::{Path, PathBuf};

use metacl::config;
use metacl::train::TrainError;
use metacl::train::checkpoint::Checkpoint;
use serde_json::Value;
use train_support::{SHORT, dataset, lines, loaded, run};

/// Every trick, not one weight or divisor at its default.
const ALL: &[&str] = &[
    "--qcm",
    "true",
    "--mix_reg",
    "0.5",
    "--ori_reg",
    "0.8",
    "--rottlr",
    "0.4",
    "--rot_div",
    "2",
    "--adpt",
    "true",
    "--rottlr_p",
    "0.5",
    "--clip_grad_norm",
    "1",
];
const BYOL: &[&str] = &["--problem", "byol", "--byol_hidden", "32", "--byol_width", "16", "--byol_momentum", "0.9"];
const SIMSIAM: &[&str] = &["--problem", "simsiam", "--byol_hidden", "32", "--byol_width", "16"];

/// Trains with `flags` on the dataset below `folder`; the run's folder and its training lines.
fn trained(folder: &Path, logs: &str, flags: &[&[&str]]) -> (PathBuf, Vec<Value>) {
    let logs = folder.join(logs);
    run(&loaded(&folder.join("data"), &flags.concat()), &logs, "").unwrap();
    let run = logs.join("default/runs/a");
    let lines = lines(&run).into_iter().filter(|line| line.get("train_loss").is_some()).collect();
    (run, lines)
}

fn number(line: &Value, key: &str) -> f64 {
    line[key].as_f64().unwrap_or_else(|| panic!("{key} in {line}"))
}

#[test]
fn each_combination_is_the_weighted_sum_of_its_terms() {
    let folder = tempfile::tempdir().unwrap();
    dataset(&folder.path().join("data"));
    let short: &[&str] = &["--iters", "2"];
    let objectives: [&[&str]; 8] = [
        &["--head", "contrastive"],
        &["--head", "contrastive", "--multiplier", "3"],
        &["--head", "PN", "--n_supp", "2", "--n_query", "2"],
        &["--head", "R2D2", "--n_query", "2"],
        &["--head", "SVM", "--svm_tasks", "2"],
        BYOL,
        &["--problem", "byol", "--byol_hidden", "32", "--multiplier", "3"],
        SIMSIAM,
    ];
    type Weights = &'static [(&'static str, f64)];
    let tricks: [(&[&str], Weights); 5] = [
        (&[], &[("term_head", 1.0)]),
        (&["--qcm", "--mix_reg", "0.5", "--ori_reg", "0.8"], &[("term_head", 0.8), ("term_mix", 0.5)]),
        (&["--rottlr", "0.4", "--rot_div", "3"], &[("term_head", 1.0), ("term_rot", 0.4)]),
        (&["--qcm", "--rottlr", "2"], &[("term_head", 1.0), ("term_mix", 1.0), ("term_rot", 2.0)]),
        (
            &["--qcm", "--rottlr", "2", "--task_rot", "expand"],
            &[("term_head", 1.0), ("term_mix", 1.0), ("term_rot", 2.0)],
        ),
    ];
    for (n, objective) in objectives.iter().enumerate() {
        for (k, (flags, weights)) in tricks.iter().enumerate() {
            let (_, lines) = trained(folder.path(), &format!("{n}-{k}"), &[short, objective, flags]);
            assert_eq!(lines.len(), 2);
            for line in &lines {
                let sum: f64 = weights.iter().map(|(term, weight)| weight * number(line, term)).sum();
                assert!((number(line, "train_loss") - sum).abs() <= 1e-4 * sum.abs().max(1.0), "{objective:?} {line}");
                let terms = line.as_object().unwrap().keys().filter(|key| key.starts_with("term_")).count();
                assert_eq!(terms, weights.len(), "{line}");
                assert!(number(line, "feature_std") > 0.0, "{line}");
            }
        }
    }
}

#[test]
fn with_every_trick_a_resumed_run_equals_an_unbroken_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    dataset(&data);
    for (n, objective) in [&["--head", "SVM"], BYOL, SIMSIAM].into_iter().enumerate() {
        let (whole, expected) = trained(folder.path(), &format!("whole{n}"), &[objective, ALL]);
        let logs = folder.path().join(format!("broken{n}"));
        let broken = loaded(&data, &[objective, ALL].concat());
        run(&broken, &logs, "5/12").unwrap();
        let run_folder = logs.join("default/runs/a");
        assert!(lines(&run_folder).len() < expected.len(), "it stopped");
        run(&broken, &logs, "").unwrap();
        assert_eq!(lines(&run_folder), lines(&whole));
        let last = |run: &Path| Checkpoint::read(&run.join("checkpoint.safetensors")).unwrap();
        let (resumed, unbroken) = (last(&run_folder), last(&whole));
        assert_eq!(resumed.model.len(), unbroken.model.len());
        for (name, tensor) in &unbroken.model {
            assert_eq!(&resumed.model[name], tensor, "{name}");
        }
    }
}

#[test]
fn worker_threads_do_not_change_a_trick() {
    let folder = tempfile::tempdir().unwrap();
    dataset(&folder.path().join("data"));
    let of = |workers: &str| trained(folder.path(), workers, &[BYOL, ALL, &["--workers", workers]]).1;
    assert_eq!(of("1"), of("5"));
}

/// The loss falls, the target lags behind, and the encoder evaluates like any other.
#[test]
fn byol_trains_and_its_encoder_evaluates() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    dataset(&data);
    let (run_folder, lines) =
        trained(folder.path(), "byol", &[BYOL, &["--iters", "100", "--log_freq", "10", "--lr", "0.2"]]);
    let mean = |line: &Value| number(line, "train_loss_mean");
    let (early, late) = (mean(&lines[0]), mean(&lines[9]));
    println!("{early} to {late}: {:?}", lines.iter().map(|l| (mean(l), number(l, "feature_std"))).collect::<Vec<_>>());
    assert!(late < 0.8 * early, "{early} to {late}");

    let path = run_folder.join("checkpoint.safetensors");
    let saved = Checkpoint::read(&path).unwrap();
    assert_eq!(saved.meta.head, "byol");
    for name in ["convnet.conv1.weight", "projection.fc2.weight", "predictor.fc1.weight", "predictor.bn1.running_mean"]
    {
        assert!(saved.model.contains_key(name), "{name}");
    }
    let online = &saved.model["convnet.conv1.weight"];
    assert_ne!(&saved.model["target.convnet.conv1.weight"], online);
    assert_eq!(saved.model["projection.fc2.weight"].size(), [16, 32]);

    let path = path.display().to_string();
    let evaluation: &[&str] = &["--problem", "eval", "--arch", "linear", "--encoder_ckpt", &path, "--run_id", "b"];
    let logs = folder.path().join("eval");
    run(&loaded(&data, &[evaluation, &["--iters", "3"]].concat()), &logs, "").unwrap();
    assert!(logs.join("default/runs/b/summary.json").is_file());
    // Another width is another network.
    let wider = loaded(&data, &[BYOL, &["--byol_width", "32", "--ckpt", &path]].concat());
    assert!(matches!(run(&wider, &folder.path().join("wider"), ""), Err(TrainError::Weights { .. })));
}

#[test]
fn bf16_is_near_f32_and_its_losses_are_f32() {
    let folder = tempfile::tempdir().unwrap();
    dataset(&folder.path().join("data"));
    for (n, objective) in [&["--head", "contrastive"], BYOL].into_iter().enumerate() {
        let of = |precision: &str| {
            let flags: &[&str] = &["--iters", "2", "--precision", precision];
            trained(folder.path(), &format!("{n}{precision}"), &[objective, ALL, flags]).1
        };
        let (exact, reduced) = (of("f32"), of("bf16"));
        for term in ["term_head", "term_mix", "term_rot"] {
            let (exact, reduced) = (number(&exact[0], term), number(&reduced[0], term));
            assert!((exact - reduced).abs() < 0.05 * exact.abs() && exact != reduced, "{term}: {exact}, {reduced}");
            // A bfloat16 has 8 bits.
            assert_ne!(reduced as f32, f32::from_bits((reduced as f32).to_bits() & 0xffff_0000), "{term}");
        }
    }
}

#[test]
fn f16_without_a_gpu_is_refused_in_a_line() {
    if tch::Cuda::is_available() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    dataset(&data);
    let error = run(&loaded(&data, &["--precision", "f16"]), &folder.path().join("logs"), "").unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("bf16"), "{error}");
    assert!(!folder.path().join("logs").exists());
}

#[test]
fn what_cannot_be_combined_is_refused() {
    let rows: [(&[&str], &str); 8] = [
        (&["--problem", "byol", "--head", "PN"], "head"),
        (&["--problem", "byol", "--multiplier", "1"], "multiplier"),
        (&["--problem", "byol", "--byol_momentum", "1.5"], "byol_momentum"),
        (&["--problem", "simsiam", "--byol_width", "1"], "byol_width"),
        (&["--rottlr", "1", "--rot_div", "0"], "rot_div"),
        (&["--rottlr", "1", "--rot_div", "9"], "rot_div"),
        (&["--clip_grad_norm", "0"], "clip_grad_norm"),
        (&["--precision", "f8"], "precision"),
    ];
    for (flags, key) in rows {
        let arguments: Vec<String> = SHORT.iter().chain(flags).map(|&text| text.to_owned()).collect();
        let error = config::load(&arguments, &|_| None).unwrap_err().to_string();
        assert!(error.contains(key), "{flags:?}: {error}");
    }
}
