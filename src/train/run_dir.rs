//! The folder of a run: `ROOT/<config name>/runs/<run_id>/`, or `tmp/` in place of `runs/` with `--tmp`.
//!
//! Lives here: the folder's name, who may write in it, whether its run goes on. Not here: its files' content (`log`, `checkpoint`).
//!
//! A run that has a checkpoint is resumed, if the config is the saved one (but for
//! [`MAY_CHANGE`](crate::config::MAY_CHANGE)). `--fresh` never deletes a checkpoint: where one lies it is an error.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::checkpoint::{self, Checkpoint, CheckpointError, Newest};
use crate::atomic;
use crate::config::{Config, ConfigError, Difference};

/// The resolved config.
const CONFIG: &str = "config.yaml";
/// Held while a process writes in the folder.
const LOCK: &str = ".lock";

/// Why a run cannot have its folder.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RunDirError {
    #[error("{}: cannot {action}: {reason}", path.display())]
    Io { path: PathBuf, action: &'static str, reason: io::Error },
    /// Another process writes there.
    #[error("{}: another process is running this run: wait for it, or choose another --run_id", path.display())]
    Busy { path: PathBuf },
    /// `--fresh`, and something that could be resumed.
    #[error("{}: --fresh does not resume, and this checkpoint lies there: choose another --run_id, or delete the folder", checkpoint.display())]
    NotFresh { checkpoint: PathBuf },
    /// A checkpoint without the config it belongs to.
    #[error("{}: checkpoints, but no {CONFIG}: this is no run's folder; choose another --run_id", path.display())]
    NoConfig { path: PathBuf },
    /// The run was started with other values.
    #[error("{}: this run was started with {}: give the same, or another --run_id", path.display(), list(differences))]
    OtherConfig { path: PathBuf, differences: Vec<Difference> },
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// A run's folder, held by this process until it is dropped.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    newest: Newest,
    _lock: File,
}

impl RunDir {
    /// Takes the folder for `config` under `root`, makes it where it is missing, and writes the config there.
    ///
    /// Sets what was left open: `run_id` to the next free number, `seed` to the saved one or else to `seed`.
    ///
    /// # Errors
    /// See [`RunDirError`]; nothing was written then but folders.
    pub fn open(root: &Path, name: &str, config: &mut Config, seed: u64) -> Result<RunDir, RunDirError> {
        let runs = root.join(name).join(if config.tmp { "tmp" } else { "runs" });
        fs::create_dir_all(&runs).map_err(|reason| failed(&runs, "make the folder", reason))?;
        let id = match config.run_id.take() {
            Some(id) => id,
            None => claim_number(&runs)?,
        };
        let path = runs.join(&id);
        fs::create_dir_all(&path).map_err(|reason| failed(&path, "make the folder", reason))?;
        let lock = lock(&path)?;

        let saved_path = path.join(CONFIG);
        let saved = saved_path.exists().then(|| Config::read_resolved(&saved_path)).transpose()?;
        let newest = checkpoint::newest(&path)?;
        config.run_id = Some(id);
        match (&newest.path, &saved) {
            (Some(newest), _) if config.fresh => return Err(RunDirError::NotFresh { checkpoint: newest.clone() }),
            (Some(_), None) => return Err(RunDirError::NoConfig { path }),
            (Some(_), Some(saved)) => {
                config.seed = config.seed.or(saved.seed);
                let differences = config.differences(saved);
                if !differences.is_empty() {
                    return Err(RunDirError::OtherConfig { path, differences });
                }
            }
            // The runs of several seeds have their checkpoints in folders of their own.
            (None, Some(saved)) if config.seeds > 1 => config.seed = config.seed.or(saved.seed),
            _ => {}
        }
        newest.set_damaged_aside()?;
        config.seed.get_or_insert(seed);
        atomic::replace_text(&saved_path, &config.to_yaml()).map_err(|reason| failed(&saved_path, "write", reason))?;
        Ok(RunDir { path, newest, _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The checkpoint that the run goes on from; `None` where it is new.
    pub fn newest_checkpoint(&self) -> Option<&Path> {
        self.newest.path.as_deref()
    }

    /// Its content, once: it takes the memory of a network and its optimizer.
    pub fn take_newest_checkpoint(&mut self) -> Option<Checkpoint> {
        self.newest.checkpoint.take()
    }

    /// What is wrong with the checkpoints that seem newer than that one; they were set aside.
    pub fn damaged_checkpoints(&self) -> impl Iterator<Item = &CheckpointError> {
        self.newest.damaged.iter().map(|(_, error)| error)
    }
}

/// Makes the folder of the next number, six digits, under `runs`; making is what claims it, so two processes get two numbers.
fn claim_number(runs: &Path) -> Result<String, RunDirError> {
    let unreadable = |reason| failed(runs, "read the folder", reason);
    let mut next = 1;
    for entry in runs.read_dir().map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        if let Some(number) = name.to_str().and_then(|name| name.parse::<u64>().ok()) {
            next = next.max(number.saturating_add(1));
        }
    }
    loop {
        let id = format!("{next:06}");
        match fs::create_dir(runs.join(&id)) {
            Ok(()) => return Ok(id),
            Err(reason) if reason.kind() == io::ErrorKind::AlreadyExists && next < u64::MAX => next += 1,
            Err(reason) => return Err(failed(&runs.join(id), "make the folder", reason)),
        }
    }
}

/// The system gives the lock back when the process ends, however it ends.
fn lock(path: &Path) -> Result<File, RunDirError> {
    let file = path.join(LOCK);
    let lock = File::create(&file).map_err(|reason| failed(&file, "write", reason))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(RunDirError::Busy { path: path.to_owned() }),
        Err(TryLockError::Error(reason)) => Err(failed(&file, "lock", reason)),
    }
}

fn failed(path: &Path, action: &'static str, reason: io::Error) -> RunDirError {
    RunDirError::Io { path: path.to_owned(), action, reason }
}

/// `lr 0.1 (now 0.2), head PN (now contrastive)`.
fn list(differences: &[Difference]) -> String {
    let one = |d: &Difference| format!("{} {} (now {})", d.key, d.saved, d.now);
    differences.iter().map(one).collect::<Vec<_>>().join(", ")
}
