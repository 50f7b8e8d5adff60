//! The checkpoints of a run's folder: their names, the newest that is whole, the ones to keep.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Checkpoint, CheckpointError, Result, read_meta};
use crate::atomic;

/// The rolling checkpoint of a run's folder.
pub fn rolling_path(folder: &Path) -> PathBuf {
    folder.join("checkpoint.safetensors")
}

/// The checkpoint of iteration `iter` in a run's folder.
pub fn numbered_path(folder: &Path, iter: u64) -> PathBuf {
    folder.join(format!("checkpoint-{iter}.safetensors"))
}

/// The rolling checkpoint before that one.
pub fn previous_path(folder: &Path) -> PathBuf {
    folder.join("checkpoint-previous.safetensors")
}

/// What a run goes on from.
#[derive(Debug, Default)]
pub struct Newest {
    /// The newest checkpoint that is whole; `None` where there is none at all.
    pub path: Option<PathBuf>,
    /// Its content, which was read to know.
    pub checkpoint: Option<Checkpoint>,
    /// Those that seem newer and are damaged: the file, and what is wrong.
    pub damaged: Vec<(PathBuf, CheckpointError)>,
}

impl Newest {
    /// Gives damaged files other names, `NAME.damaged`, so that the run takes none of them for a checkpoint again.
    ///
    /// # Errors
    /// Where a file cannot be renamed.
    pub fn set_damaged_aside(&self) -> Result<()> {
        for (path, _) in &self.damaged {
            let mut aside = path.clone().into_os_string();
            aside.push(".damaged");
            let failed = |reason| CheckpointError::Io { path: path.clone(), action: "set aside", reason };
            fs::rename(path, aside).map_err(failed)?;
        }
        Ok(())
    }
}

/// The whole checkpoint in `folder` with the most iterations: each is read and verified, from the newest on, until one is.
///
/// # Errors
/// Where the folder or a checkpoint in it cannot be read, and where all of them are damaged.
pub fn newest(folder: &Path) -> Result<Newest> {
    let mut damaged = Vec::new();
    for (_, path) in by_age(folder)? {
        match Checkpoint::read(&path) {
            Ok(checkpoint) => return Ok(Newest { path: Some(path), checkpoint: Some(checkpoint), damaged }),
            Err(error) if error.is_damage() => damaged.push((path, error)),
            Err(error) => return Err(error),
        }
    }
    if damaged.is_empty() { Ok(Newest::default()) } else { Err(damaged.swap_remove(0).1) }
}

/// All checkpoints of `folder`, the newest first; one that does not say its iteration counts by its name, the rolling ones as the newest.
fn by_age(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let rolling = [rolling_path(folder), previous_path(folder)].into_iter().filter(|path| path.exists());
    let mut found = rolling.map(|path| (u64::MAX, path)).chain(numbered(folder)?).collect::<Vec<_>>();
    for (iter, path) in &mut found {
        match read_meta(path) {
            Ok(meta) => *iter = meta.iter,
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
    }
    // The sort is stable: of two that are as old, the rolling one.
    found.sort_by_key(|(iter, _)| std::cmp::Reverse(*iter));
    Ok(found)
}

/// Gives the rolling checkpoint its second name, under which it stays when another takes its place.
pub(super) fn keep_previous(folder: &Path) -> io::Result<()> {
    let (rolling, previous) = (rolling_path(folder), previous_path(folder));
    if !rolling.exists() {
        return Ok(());
    }
    atomic::replace(&previous, |partial| {
        let _ = fs::remove_file(partial);
        // Not every file system has links.
        fs::hard_link(&rolling, partial).or_else(|_| fs::copy(&rolling, partial).map(drop))
    })
}

/// Deletes all numbered checkpoints in `folder` but the last `keep`.
///
/// # Errors
/// Where the folder cannot be read or a file cannot be deleted.
pub fn keep_last(folder: &Path, keep: usize) -> Result<()> {
    let mut old = numbered(folder)?;
    old.truncate(old.len().saturating_sub(keep));
    for (_, path) in old {
        fs::remove_file(&path).map_err(|reason| CheckpointError::Io { path, action: "delete", reason })?;
    }
    Ok(())
}

/// Numbered checkpoints of `folder`, by iteration.
fn numbered(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let failed = |reason| CheckpointError::Io { path: folder.to_owned(), action: "look for", reason };
    let mut found = Vec::new();
    for entry in folder.read_dir().map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let iter = name.strip_prefix("checkpoint-").and_then(|rest| rest.strip_suffix(".safetensors"));
        if let Some(iter) = iter.and_then(|iter| iter.parse().ok()) {
            found.push((iter, path));
        }
    }
    found.sort();
    Ok(found)
}
