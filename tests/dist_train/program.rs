//! Runs of the program on the tiny dataset, in a folder of their own.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::train_support::{SHORT, dataset, lines};

/// A folder with a dataset, and the logs of runs.
pub(crate) struct Bench(TempDir);

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        dataset(&folder.path().join("data"));
        Self(folder)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    /// The program with the short run's flags and `more`, without a launcher's variables.
    pub(crate) fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_metacl-train"));
        command.args(SHORT).args(["--report", "false", "--tensorboard", "false"]);
        command.arg("--data_path").arg(self.0.path().join("data")).args(more);
        command.env("EXMAN_PATH", self.0.path().join("logs")).current_dir(self.0.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in ["RANK", "WORLD_SIZE", "SLURM_PROCID"] {
            command.env_remove(name);
        }
        command
    }

    /// Runs to the end.
    pub(crate) fn run(&self, name: &str, more: &[&str]) -> Run {
        let output = self.command(more).args(["--run_id", name]).output().unwrap();
        assert!(output.status.success(), "{more:?}: {}", text(&output));
        Run { folder: self.folder(name), said: text(&output) }
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.0.path().join("logs/default/runs").join(name)
    }
}

/// A run that came to its end.
pub(crate) struct Run {
    pub(crate) folder: PathBuf,
    pub(crate) said: String,
}

impl Run {
    pub(crate) fn lines(&self) -> Vec<Value> {
        lines(&self.folder)
    }

    /// Of training, line by line.
    pub(crate) fn losses(&self) -> Vec<f64> {
        self.all("train_loss")
    }

    /// The value of `key` in each line that has it.
    pub(crate) fn all(&self, key: &str) -> Vec<f64> {
        self.lines().iter().filter_map(|line| line[key].as_f64()).collect()
    }

    pub(crate) fn summary(&self) -> Value {
        serde_json::from_str(&fs::read_to_string(self.folder.join("summary.json")).unwrap()).unwrap()
    }
}

pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Holds `got` to `want`, value for value, relative.
pub(crate) fn close(what: &str, got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (index, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() <= tolerance * want.abs(), "{what}, {index}: {got} against {want}");
    }
}
