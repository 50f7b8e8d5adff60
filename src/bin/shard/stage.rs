//! The hidden folder within the target where a dataset is made, held by one process at a time.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use metacl::atomic;

use super::Failure;
use super::journal;
use super::output::unwritable;

/// Its name; a dot hides it from readers.
const STAGE: &str = ".unfinished";
/// In it; the system gives it back when the process ends, however it ends.
const LOCK: &str = "lock";
/// Others may make and remove the folder while we take it.
const TRIES: usize = 100;

/// The folder, held.
pub(super) struct Stage {
    path: PathBuf,
    _lock: File,
}

impl Stage {
    /// Takes the folder in `root`, made where it is missing.
    ///
    /// Refuses where a living process holds it.
    pub(super) fn take(root: &Path) -> Result<Self, Failure> {
        let path = root.join(STAGE);
        for _ in 0..TRIES {
            if let Some(lock) = lock(root, &path)? {
                return Ok(Self { path, _lock: lock });
            }
        }
        Err(Failure::Failed(format!(
            "{}: other processes make and remove it all the time; choose another folder",
            path.display()
        )))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes all that lies in the folder but the lock; whether there was anything. The journal goes last: as long as anything else is
    /// there, it says what that is.
    pub(super) fn clear(&self) -> io::Result<bool> {
        let paths = fs::read_dir(&self.path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        let (journal, mut paths): (Vec<_>, Vec<_>) =
            paths.into_iter().filter(|path| !path.ends_with(LOCK)).partition(|path| path.ends_with(journal::NAME));
        paths.extend(journal);
        for path in &paths {
            if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
        }
        Ok(!paths.is_empty())
    }

    /// Removes the folder. The lock goes last and is held until then: whoever comes meanwhile makes a new one, and the folder stays.
    pub(super) fn remove(&self) -> io::Result<()> {
        self.clear()?;
        fs::remove_file(self.path.join(LOCK))?;
        fs::remove_dir(&self.path)
    }
}

/// Makes the folder and locks it; `None` where the lock was removed before we had it, so that it locks nothing.
fn lock(root: &Path, path: &Path) -> Result<Option<File>, Failure> {
    fs::create_dir_all(path).map_err(|error| unwritable(root, &error))?;
    let name = path.join(LOCK);
    let file = match File::create(&name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|error| unwritable(root, &error))?,
    };
    match file.try_lock() {
        Ok(()) => Ok(is_there(&file, &name).then_some(file)),
        Err(TryLockError::WouldBlock) => {
            let message = "another process is making a dataset here; wait for it, or choose another folder";
            Err(Failure::Failed(format!("{}: {message}", root.display())))
        }
        Err(TryLockError::Error(error)) => {
            let message = format!("cannot be locked ({error}); choose a folder on another file system");
            Err(Failure::Failed(format!("{}: {message}", name.display())))
        }
    }
}

/// Whether `name` is still the name of `file`.
#[cfg(unix)]
fn is_there(file: &File, name: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
    matches!((file.metadata(), name.metadata()), (Ok(held), Ok(there)) if id(&held) == id(&there))
}

/// Elsewhere an open file cannot be removed.
#[cfg(not(unix))]
fn is_there(_: &File, _: &Path) -> bool {
    true
}

/// Replaces the file `path` by `bytes`, on the disk, whole or not at all.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    atomic::replace(path, |partial| fs::write(partial, bytes)).map_err(|error| unwritable(path, &error))
}

/// Makes the names in `folder` last.
pub(super) fn sync(folder: &Path) -> Result<(), Failure> {
    atomic::sync_folder(Some(folder)).map_err(|error| unwritable(folder, &error))
}
