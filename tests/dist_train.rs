//! Training by several processes is training by one: the same losses, resumed by any number, and a lost rank ends the others.
#![cfg(all(feature = "torch", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod train_support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use train_support::{SHORT, dataset, lines};

/// A run of the program with the short run's flags, over `more`.
fn command(folder: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metacl-train"));
    command.args(SHORT).args(["--report", "false", "--tensorboard", "false"]);
    command.arg("--data_path").arg(folder.join("data")).args(more);
    command.env("EXMAN_PATH", folder.join("logs")).current_dir(folder).stdin(Stdio::null());
    for name in ["RANK", "WORLD_SIZE", "SLURM_PROCID"] {
        command.env_remove(name);
    }
    command
}

fn run(folder: &Path, more: &[&str]) -> PathBuf {
    let output = command(folder, more).output().unwrap();
    assert!(output.status.success(), "{more:?}: {}", text(&output));
    folder.join("logs/default/runs").join(id(more))
}

fn id<'a>(more: &[&'a str]) -> &'a str {
    more[more.iter().position(|flag| *flag == "--run_id").unwrap() + 1]
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn losses(run: &Path) -> Vec<f64> {
    lines(run).iter().filter_map(|line| line["train_loss"].as_f64()).collect()
}

#[test]
fn any_number_of_processes_gives_the_losses_of_one() {
    let folder = tempfile::tempdir().unwrap();
    dataset(&folder.path().join("data"));
    for head in ["contrastive", "PN", "R2D2"] {
        let runs: Vec<Vec<f64>> = ["1", "2", "4"]
            .into_iter()
            .map(|count| {
                let name = format!("{head}-{count}");
                losses(&run(folder.path(), &["--head", head, "--lr", "1e-5", "--nproc", count, "--run_id", &name]))
            })
            .collect();
        assert_eq!(runs[0].len(), 12);
        for (several, count) in runs[1..].iter().zip([2, 4]) {
            assert_eq!(several.len(), 12, "only rank 0 writes lines");
            for (step, (one, other)) in runs[0].iter().zip(several).enumerate() {
                // f32 sums in another order; with larger steps these few stripes make chaos of it.
                assert!(
                    (one - other).abs() < 2e-3 * one.abs(),
                    "{head}, {count} processes, step {step}: {one} {other}"
                );
            }
        }
    }
}

/// The child of `launcher` that is rank `rank`.
fn rank(launcher: u32, rank: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{launcher}/task/{launcher}/children")).ok()?;
    let mut children = children.split_whitespace().filter_map(|id| id.parse().ok());
    let wanted = format!("RANK={rank}").into_bytes();
    children.find(|id: &u32| {
        let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted)
    })
}

fn wait_until(what: &str, child: &mut Child, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(120), "{what} never came");
        assert!(child.try_wait().unwrap().is_none(), "the run ended before {what}");
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_killed_rank_ends_the_run_which_another_number_of_processes_resumes() {
    let folder = tempfile::tempdir().unwrap();
    dataset(&folder.path().join("data"));
    let long = |count: &'static str, name: &'static str| {
        ["--head", "PN", "--iters", "300", "--log_freq", "10", "--lr", "1e-6", "--nproc", count, "--run_id", name]
    };
    let whole = losses(&run(folder.path(), &long("1", "whole")));

    let mut launcher = command(folder.path(), &long("2", "broken")).stderr(Stdio::piped()).spawn().unwrap();
    let broken = folder.path().join("logs/default/runs/broken");
    wait_until("a checkpoint", &mut launcher, || broken.join("checkpoint.safetensors").exists());
    let victim = rank(launcher.id(), 1).expect("rank 1 runs");
    let survivor = rank(launcher.id(), 0).expect("rank 0 runs");
    assert!(Command::new("kill").args(["-9", &victim.to_string()]).status().unwrap().success());
    let output = launcher.wait_with_output().unwrap();
    assert!(!output.status.success());
    assert!(text(&output).contains("rank 1"), "{}", text(&output));
    assert!(!Path::new(&format!("/proc/{survivor}")).exists(), "rank 0 still runs");

    let until = losses(&broken).len();
    assert!(until < whole.len(), "killed before the end");
    let resumed = losses(&run(folder.path(), &long("1", "broken")));
    assert_eq!(resumed.len(), whole.len());
    for (step, (one, other)) in whole.iter().zip(&resumed).enumerate() {
        assert!((one - other).abs() < 0.05 * one.abs().max(0.1), "line {step}: {one} {other}");
    }
}

#[test]
fn what_one_process_does_is_refused_by_several() {
    let folder = tempfile::tempdir().unwrap();
    dataset(&folder.path().join("data"));
    for more in [&["--qcm", "true"][..], &["--rottlr", "1"], &["--problem", "eval"]] {
        let output = command(folder.path(), more).args(["--nproc", "2"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{more:?}: {}", text(&output));
    }
    let told =
        [("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "0"), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "1")];
    let launched = command(folder.path(), &["--qcm", "true"]).envs(told).output().unwrap();
    assert!(!launched.status.success() && text(&launched).contains("qcm"), "{}", text(&launched));
    let lonely =
        command(folder.path(), &[]).env("RANK", "1").env("WORLD_SIZE", "2").env("LOCAL_RANK", "1").output().unwrap();
    assert!(!lonely.status.success() && text(&lonely).contains("MASTER_ADDR"), "{}", text(&lonely));
}
