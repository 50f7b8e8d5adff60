//! Files that are there whole or not at all, whoever writes them: runs, shards, conversions.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Puts at `path` what `fill` writes to the path it is given: a temporary name beside it, synced, renamed, the folder synced.
///
/// The temporary name is fixed, so a kill leaves at most one such file, and the next write replaces it; the folder has one writer (those of runs and of
/// conversions are locked).
///
/// # Errors
/// What `fill` or the system refuses; `path` is as it was then.
pub fn replace<E: From<io::Error>>(path: &Path, fill: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    let partial = partial_name(path);
    fill(&partial).inspect_err(|_| drop(fs::remove_file(&partial)))?;
    // Opened to write, as some systems sync no other handle.
    File::options().write(true).open(&partial)?.sync_all()?;
    fs::rename(&partial, path)?;
    sync_folder(path.parent())?;
    Ok(())
}

/// Puts `text` at `path`.
///
/// # Errors
/// As [`replace`].
pub fn replace_text(path: &Path, text: &str) -> io::Result<()> {
    replace(path, |partial| fs::write(partial, text))
}

/// Makes a rename or a removal in `folder` last; `None`, and on Windows, which has no such call and needs none, does nothing.
///
/// # Errors
/// What the system refuses.
pub fn sync_folder(folder: Option<&Path>) -> io::Result<()> {
    match folder.filter(|_| cfg!(unix)) {
        Some(folder) if folder.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn partial_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.partial"))
}
