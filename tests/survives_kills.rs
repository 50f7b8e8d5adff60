//! A run that is killed at any moment, its folder damaged besides, goes on when it is started again and ends as an unbroken one: the same
//! lines, events, weights and optimizer state, to the bit. `METACL_KILLS` sets how often each run is killed.

#![cfg(all(feature = "torch", unix))]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod train_support;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use metacl::rng::{Purpose, Stream};
use metacl::train::checkpoint::{Checkpoint, numbered_path, previous_path, rolling_path};
use tch::Tensor;
use train_support::events::{event_file, scalars};
use train_support::{SHORT, dataset, lines};

/// Heads, optimizers and schedules whose state differs: sums of half an update, a moving average, numbered checkpoints.
const RUNS: [&[&str]; 3] = [
    &["--head", "contrastive", "--opt", "lars"],
    &["--head", "PN", "--opt", "adam", "--accu_iter", "3", "--log_freq", "2", "--eval_freq", "16"],
    &["--problem", "byol", "--save_freq", "5", "--keep_checkpoints", "2"],
];
const ITERS: usize = 48;

fn command(folder: &Path, id: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metacl-train"));
    let iters = ITERS.to_string();
    command.args(SHORT).args(["--iters", &iters, "--report", "false", "--run_id", id]).args(more);
    command.arg("--data_path").arg(folder.join("data"));
    command.env("EXMAN_PATH", folder.join("logs")).current_dir(folder).stdin(Stdio::null());
    command
}

fn to_the_end(folder: &Path, id: &str, more: &[&str]) -> (PathBuf, String) {
    let output = command(folder, id, more).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{more:?}: {text}");
    (folder.join("logs/default/runs").join(id), text)
}

/// Starts the run and kills it once it has `after` more lines, `late` later. Whether it was still running.
fn kill(folder: &Path, id: &str, more: &[&str], after: usize, late: Duration) -> bool {
    let path = folder.join("logs/default/runs").join(id).join("metrics.jsonl");
    let count = || fs::read(&path).map_or(0, |text| text.iter().filter(|byte| **byte == b'\n').count());
    let mut child = command(folder, id, more).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // A resumed run begins by cutting its lines, so what counts is what comes after its folder is locked and its lines are kept.
    let (from, start) = (count(), Instant::now());
    while count() < from + after {
        assert!(start.elapsed() < Duration::from_secs(120), "{more:?}: no line came");
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        sleep(Duration::from_millis(1));
    }
    sleep(late);
    let running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    running
}

/// A new file of that name: the old one may have a second name, which keeps its content.
fn put(path: PathBuf, bytes: &[u8]) {
    let _ = fs::remove_file(&path);
    fs::write(path, bytes).unwrap();
}

/// What a crash of the machine or a bad disk may leave besides: the newest checkpoint torn, half a line, half an event, half a file.
fn damage(run: &Path, how: u32) {
    let cut = |path: PathBuf, part: usize| {
        if let Ok(bytes) = fs::read(&path) {
            put(path, &bytes[..bytes.len() / 4 * part]);
        }
    };
    match how % 6 {
        0 if previous_path(run).exists() => cut(rolling_path(run), 2),
        1 if previous_path(run).exists() => put(rolling_path(run), &[0; 4096]),
        2 => fs::write(run.join(".checkpoint.safetensors.partial"), b"half").unwrap(),
        3 => {
            let path = run.join("metrics.jsonl");
            let mut text = fs::read(&path).unwrap();
            text.extend_from_slice(b"{\"iter\": 4");
            fs::write(&path, text).unwrap();
        }
        4 => cut(run.join("metrics.csv"), 1),
        _ => {}
    }
}

#[test]
fn a_run_killed_over_and_over_ends_as_an_unbroken_one() {
    let folder = tempfile::tempdir().unwrap();
    dataset(&folder.path().join("data"));
    let kills: u32 = std::env::var("METACL_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(4);
    for (case, more) in (0..).zip(RUNS) {
        let (whole, _) = to_the_end(folder.path(), &format!("whole-{case}"), more);
        let id = format!("killed-{case}");
        let broken = folder.path().join("logs/default/runs").join(&id);
        let (mut killed, mut damaged) = (0, 0);
        for attempt in 0..kills {
            let draw = Stream::new(7, Purpose::Synthetic).draw([case, attempt, 0, 0]);
            let after = 1 + draw.integer(ITERS as u64 / 8) as usize;
            let late = Duration::from_micros(draw.integers(1, 30_000).1);
            if kill(folder.path(), &id, more, after, late) {
                killed += 1;
                damage(&broken, attempt);
                damaged += u32::from(attempt % 6 < 2 && previous_path(&broken).exists());
            }
        }
        assert!(killed > 0, "{more:?}: never killed");
        let (_, text) = to_the_end(folder.path(), &id, more);
        println!("{more:?}: killed {killed} times, {damaged} torn checkpoints\n{text}");
        assert_eq!(lines(&broken), lines(&whole), "{more:?}");
        assert_eq!(events(&broken), events(&whole), "{more:?}");
        let [ours, theirs] = [&broken, &whole].map(|run| Checkpoint::read(&rolling_path(run)).unwrap());
        assert_same(&ours.model, &theirs.model);
        assert_same(&ours.optimizer, &theirs.optimizer);
    }
}

/// The scalars that do not depend on the clock.
fn events(run: &Path) -> Vec<(u64, String, f32)> {
    let clock = |tag: &str| tag.contains("images_per_s") || tag.contains("data_wait_share");
    scalars(&event_file(run)).into_iter().filter(|(_, tag, _)| !clock(tag)).collect()
}

fn assert_same(ours: &HashMap<String, Tensor>, theirs: &HashMap<String, Tensor>) {
    assert_eq!(ours.len(), theirs.len());
    for (name, tensor) in ours {
        assert!(tensor.equal(&theirs[name]), "{name} differs");
    }
}

/// A torn checkpoint is named, and the one before it serves; where none is whole the run is refused, not started anew.
#[test]
fn a_torn_checkpoint_costs_one_interval() {
    let folder = tempfile::tempdir().unwrap();
    dataset(&folder.path().join("data"));
    let more = ["--head", "PN", "--log_freq", "4"];
    let (whole, _) = to_the_end(folder.path(), "whole", &more);
    let (torn, _) = to_the_end(folder.path(), "torn", &more);
    let newest = rolling_path(&torn);
    let bytes = fs::read(&newest).unwrap();
    put(newest, &bytes[..bytes.len() - 1]);
    fs::remove_file(numbered_path(&torn, ITERS as u64)).unwrap();
    let (_, text) = to_the_end(folder.path(), "torn", &more);
    assert!(text.contains("checkpoint.safetensors: cut short"), "{text}");
    assert!(text.contains(&format!("resumed at iteration {}", ITERS - 4)), "{text}");
    assert_eq!(lines(&torn), lines(&whole));

    for path in [rolling_path(&torn), previous_path(&torn), numbered_path(&torn, ITERS as u64)] {
        put(path, b"");
    }
    let output = command(folder.path(), "torn", &more).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("checkpoint.safetensors"), "{text}");
    assert_eq!(lines(&torn), lines(&whole), "nothing is lost");
}
