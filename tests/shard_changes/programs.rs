//! Programs that have a file open while it is cut: they end with an error, not by a signal.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use metacl::shard::Codec;

use super::Dataset;

/// Attempts to meet a program that is soon done at its work.
const ATTEMPTS: usize = 50;

fn start(dataset: &Dataset, command: &str, more: &[&str]) -> Child {
    let mut program = Command::new(env!("CARGO_BIN_EXE_metacl-shard"));
    program.arg(command).arg(dataset.folder.path()).args(more).stdin(Stdio::null());
    program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until `ready`, or the program's end.
fn wait(child: &mut Child, ready: impl Fn(u32) -> bool) {
    let start = Instant::now();
    while !ready(child.id()) && child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(120), "it never came to its work");
        sleep(Duration::from_micros(200));
    }
}

/// What the program said, and whether it failed; a signal is what never ends it.
fn end(child: Child) -> (String, bool) {
    let output = child.wait_with_output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.signal(), None, "{text}");
    (text, output.status.code() == Some(1))
}

/// Whether a thread of that name runs.
fn has_thread(id: u32, name: &str) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{id}/task")) else { return false };
    tasks.flatten().any(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name))
}

#[test]
fn a_bench_ends_with_the_error() {
    for verify in ["always", "first", "never"] {
        let dataset = Dataset::new(Codec::Coef, 4);
        let more = ["--recipe", "cifar", "--samples", "1000000000", "--verify", verify];
        let mut child = start(&dataset, "bench", &more);
        wait(&mut child, |id| has_thread(id, "metacl-worker-0"));
        dataset.cut();
        let (text, failed) = end(child);
        assert!(failed && text.contains("00000.mcs: changed while it was open"), "{verify}: {text}");
    }
}

#[test]
fn a_verification_ends_with_the_error() {
    // Megabytes, so that most attempts meet it reading.
    let dataset = Dataset::of(Codec::Raw, 1, 0, 8);
    let path = dataset.path.to_str().unwrap();
    for _ in 0..ATTEMPTS {
        fs::write(&dataset.path, &dataset.bytes).unwrap();
        let mut child = start(&dataset, "verify", &[]);
        wait(&mut child, |id| fs::read_to_string(format!("/proc/{id}/maps")).is_ok_and(|maps| maps.contains(path)));
        dataset.cut();
        let (text, failed) = end(child);
        if failed && text.contains("changed while it was open") {
            return;
        }
        // Too early, when it was being opened, or too late.
        assert!(failed || text.contains(": sound"), "{text}");
    }
    panic!("never met at its work");
}
