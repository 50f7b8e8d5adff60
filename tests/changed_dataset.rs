//! A training run whose dataset is cut short under it ends with an error that says so, whatever is compared, and not by a signal; no
//! sample is taken for a corrupt one.
#![cfg(all(feature = "torch", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod train_support;

use std::fs::{self, OpenOptions};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use train_support::{SHORT, dataset};

#[test]
fn a_shard_cut_under_a_run_ends_it_with_the_error() {
    let cases: [&[&str]; 4] = [
        &["--verify", "always"],
        &["--verify", "first"],
        &["--verify", "never"],
        &["--nproc", "2", "--dist_timeout", "4"],
    ];
    for more in cases {
        let folder = tempfile::tempdir().unwrap();
        dataset(&folder.path().join("data"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_metacl-train"));
        command.args(SHORT).args(["--iters", "1000000", "--report", "false", "--tensorboard", "false"]).args(more);
        command.arg("--data_path").arg(folder.path().join("data"));
        command.env("EXMAN_PATH", folder.path().join("logs")).current_dir(folder.path());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (run, start) = (folder.path().join("logs/default/runs/a"), Instant::now());
        while fs::read_to_string(run.join("metrics.jsonl")).map_or(0, |text| text.lines().count()) < 5 {
            assert!(child.try_wait().unwrap().is_none(), "{more:?}: ended before it began");
            assert!(start.elapsed() < Duration::from_secs(120), "{more:?}: no line came");
            sleep(Duration::from_millis(5));
        }
        let shard = folder.path().join("data/train/00000.mcs");
        OpenOptions::new().write(true).open(&shard).unwrap().set_len(1 << 16).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{more:?}: {:?}: {text}", output.status);
        assert!(
            text.contains("00000.mcs: changed while it was open") && text.contains("65536 bytes"),
            "{more:?}: {text}"
        );
        assert!(!text.contains("panicked") && !run.join("quarantine.jsonl").exists(), "{more:?}: {text}");
    }
}
