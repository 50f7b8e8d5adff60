//! The checkpoints of a run's folder: their names, the newest, the ones to keep.

use std::fs;
use std::path::{Path, PathBuf};

use super::{CheckpointError, Result, read_meta};

/// The rolling checkpoint of a run's folder.
pub fn rolling_path(folder: &Path) -> PathBuf {
    folder.join("checkpoint.safetensors")
}

/// The checkpoint of iteration `iter` in a run's folder.
pub fn numbered_path(folder: &Path, iter: u64) -> PathBuf {
    folder.join(format!("checkpoint-{iter}.safetensors"))
}

/// The checkpoint in `folder` with the most iterations, rolling or numbered.
///
/// # Errors
/// Where the folder or a checkpoint in it cannot be read.
pub fn newest(folder: &Path) -> Result<Option<PathBuf>> {
    let rolling = Some(rolling_path(folder)).filter(|path| path.exists());
    let numbered = numbered(folder)?.pop().map(|(_, path)| path);
    let (rolling, numbered) = match (rolling, numbered) {
        (Some(rolling), Some(numbered)) => (rolling, numbered),
        (one, other) => return Ok(one.or(other)),
    };
    let rolling_is_newer = read_meta(&rolling)?.iter >= read_meta(&numbered)?.iter;
    Ok(Some(if rolling_is_newer { rolling } else { numbered }))
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
