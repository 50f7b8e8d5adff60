//! Whether a file is still the one that was opened.

use std::fmt;
use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// What the system says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes.
    pub length: u64,
    /// When it was last written to, from the start of 1970 on, where the system keeps that.
    pub written: Option<Duration>,
    /// Device and inode, where there are such.
    pub inode: Option<(u64, u64)>,
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let inode = {
            use std::os::unix::fs::MetadataExt;
            Some((metadata.dev(), metadata.ino()))
        };
        #[cfg(not(unix))]
        let inode = None;
        let written = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Self { length: metadata.len(), written, inode }
    }

    /// Of whatever is at `path` now. By opening it: that is when a network file system asks its server.
    pub(super) fn at(path: &Path) -> Option<Self> {
        File::open(path).and_then(|file| file.metadata()).ok().map(|metadata| Self::of(&metadata))
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.length)?;
        match self.written {
            Some(time) => write!(f, " written at {}.{:09} (Unix time)", time.as_secs(), time.subsec_nanos()),
            None => Ok(()),
        }
    }
}

/// A file that is no longer what it was when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The file.
    pub path: PathBuf,
    /// When it was opened.
    pub was: Stamp,
    /// Now; `None` where there is none of that name.
    pub now: Option<Stamp>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: changed while it was open: {} at opening, ", self.path.display(), self.was)?;
        match self.now {
            Some(now) if now.inode == self.was.inode => write!(f, "{now} now")?,
            Some(now) => write!(f, "another file of {now} in its place now")?,
            None => f.write_str("gone now")?,
        }
        f.write_str("; stop what writes to it, look at it with `metacl-shard verify`, and start again")
    }
}
