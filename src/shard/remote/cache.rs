//! Fetched extents as files of a folder that processes share and that never holds more than its limit.
//!
//! ```text
//! DIR/total                                      bytes of all files, as the last writer counted; locked while counting
//! DIR/extents/XX/IDENTITY-START-END              an extent, whole: it was renamed to here
//! DIR/unfinished/...                             an extent being written, locked by who writes it
//! ```
//!
//! A name holds the identity of the shard, which covers its every byte, so that an extent is never taken for another's, whatever the
//! URL. Room is counted before a byte is written; where there is none, the files that were used longest ago go, until a sixteenth of
//! the limit is free. A process that is killed leaves at most its unfinished files, whose locks went with it: the next one to look
//! deletes them. Nothing is synced: what a power failure spoils, a checksum finds, and it is fetched again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, UNIX_EPOCH};

use tempfile::NamedTempFile;

use super::RemoteError;

/// Files are counted in the blocks that most file systems give.
const BLOCK: u64 = 4096;
/// The share of the limit that is freed at a time, so that the folder is seldom listed.
const SLACK: u64 = 16;
/// How far the time of a file's use may lag: keeping it exact would be a write for each read.
const LAG: Duration = Duration::from_secs(60);

/// The folder.
pub(super) struct Cache {
    folder: PathBuf,
    limit: u64,
    /// The file system's time of the last extent that this process wrote: the clock that uses are dated by.
    latest: Mutex<Duration>,
}

/// What an extent is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ExtentName {
    /// Of its shard.
    pub(super) identity: u128,
    /// Bytes of the shard.
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Cache {
    /// Opens or makes `folder`, clears what dead processes left and holds it to `limit` bytes.
    pub(super) fn open(folder: &Path, limit: u64) -> Result<Self, RemoteError> {
        let cache = Self { folder: folder.to_owned(), limit, latest: Mutex::default() };
        for part in ["extents", "unfinished"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).map_err(|error| failed(&part, "make the folder", &error))?;
        }
        let counted = cache.total().and_then(|total| cache.sweep(&total, 0).map(|_| ()));
        counted.map_err(|error| failed(folder, "look through the cache", &error))?;
        Ok(cache)
    }

    /// Where files without a name may lie.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether the extent is there.
    pub(super) fn holds(&self, name: &ExtentName) -> bool {
        self.path(name).exists()
    }

    /// Bytes `range` of an extent; `None` where it is not there. Their checksum is the caller's to compare.
    pub(super) fn read(&self, name: &ExtentName, range: Range<u64>) -> Option<Vec<u8>> {
        let mut file = File::open(self.path(name)).ok()?;
        let mut bytes = vec![0; (range.end - range.start) as usize];
        let read = file.seek(SeekFrom::Start(range.start)).and_then(|_| file.read_exact(&mut bytes));
        if read.is_err() {
            // Cut short, or a disk that fails.
            self.forget(name);
            return None;
        }
        self.mark_used(&file);
        Some(bytes)
    }

    /// Takes an extent out, whose bytes are not what they were.
    pub(super) fn forget(&self, name: &ExtentName) {
        // Another reader may have been first. The count is put right at the next sweep.
        let _ = fs::remove_file(self.path(name));
    }

    /// Puts an extent in, unless there is no room for it at all.
    pub(super) fn keep(&self, name: &ExtentName, bytes: &[u8]) -> Result<(), RemoteError> {
        let path = self.path(name);
        let io = |error: io::Error| failed(&path, "write to the cache", &error);
        if path.exists() {
            return Ok(());
        }
        let Some(mut file) = self.room(bytes.len() as u64).map_err(io)? else { return Ok(()) };
        file.write_all(bytes).map_err(io)?;
        let folder = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder).map_err(io)?;
        self.note_time(file.as_file());
        match file.persist(&path) {
            Ok(_) => Ok(()),
            // Somebody deleted it, or another process took the moment before it was locked for its death.
            Err(failure) if failure.error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(failure) => Err(io(failure.error)),
        }
    }

    /// An unfinished file that already takes the room that `bytes` will; `None` where the cache is too small.
    fn room(&self, bytes: u64) -> io::Result<Option<NamedTempFile>> {
        let total = self.total()?;
        let size = blocks(bytes);
        let mut counted = read_total(&total)?;
        if counted.is_none_or(|counted| counted + size > self.limit) {
            counted = Some(self.sweep(&total, size)?);
        }
        let now = counted.unwrap_or(u64::MAX).saturating_add(size);
        if now > self.limit {
            return Ok(None);
        }
        write_total(&total, now)?;
        let file = NamedTempFile::new_in(self.folder.join("unfinished"))?;
        file.as_file().lock()?;
        // Whoever counts now, counts it whole.
        file.as_file().set_len(bytes)?;
        Ok(Some(file))
    }

    /// The file with the count, locked until it is dropped.
    fn total(&self) -> io::Result<File> {
        let path = self.folder.join("total");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        file.lock()?;
        Ok(file)
    }

    /// Counts anew, without what the dead left; where `wanted` more do not fit, frees more than that. Returns the count.
    fn sweep(&self, total: &File, wanted: u64) -> io::Result<u64> {
        let mut sum = BLOCK; // of `total` itself
        for file in files(&self.folder.join("unfinished"))? {
            let dead = File::open(&file.path).is_ok_and(|held| held.try_lock().is_ok());
            if !(dead && fs::remove_file(&file.path).is_ok()) {
                sum += file.bytes;
            }
        }
        let mut extents = Vec::new();
        for folder in fs::read_dir(self.folder.join("extents"))? {
            extents.extend(files(&folder?.path())?);
        }
        sum += extents.iter().map(|file| file.bytes).sum::<u64>();
        if sum + wanted > self.limit {
            let target = (self.limit - self.limit / SLACK).saturating_sub(wanted);
            extents.sort_by_key(|file| file.used);
            for file in extents {
                if sum <= target {
                    break;
                }
                if fs::remove_file(&file.path).is_ok() {
                    sum -= file.bytes;
                }
            }
        }
        write_total(total, sum)?;
        Ok(sum)
    }

    fn path(&self, name: &ExtentName) -> PathBuf {
        let ExtentName { identity, start, end } = *name;
        let folder = (identity as u64 ^ (start >> 20)) as u8;
        self.folder.join(format!("extents/{folder:02x}/{identity:032x}-{start:x}-{end:x}"))
    }

    fn note_time(&self, file: &File) {
        let mut latest = self.latest.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *latest = latest.max(file.metadata().map_or(Duration::ZERO, |metadata| modified(&metadata)));
    }

    /// Dates the use of an extent: not before the last extent that was written, but for the lag.
    fn mark_used(&self, file: &File) {
        let latest = *self.latest.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if file.metadata().is_ok_and(|metadata| modified(&metadata) + LAG < latest) {
            // Where the file is somebody else's, it only goes earlier than it might.
            let _ = file.set_modified(UNIX_EPOCH + latest);
        }
    }
}

struct Counted {
    path: PathBuf,
    bytes: u64,
    used: Duration,
}

/// The files of a folder, without those that go meanwhile.
fn files(folder: &Path) -> io::Result<Vec<Counted>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if let Ok(metadata) = entry.metadata() {
            found.push(Counted { path: entry.path(), bytes: blocks(metadata.len()), used: modified(&metadata) });
        }
    }
    Ok(found)
}

fn modified(metadata: &fs::Metadata) -> Duration {
    metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default()
}

fn blocks(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK)
}

/// What is written in the file with the count; `None` where nothing is.
fn read_total(mut total: &File) -> io::Result<Option<u64>> {
    let mut text = [0; 8];
    total.seek(SeekFrom::Start(0))?;
    match total.read_exact(&mut text) {
        Ok(()) => Ok(Some(u64::from_le_bytes(text))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn write_total(mut total: &File, bytes: u64) -> io::Result<()> {
    total.seek(SeekFrom::Start(0))?;
    total.write_all(&bytes.to_le_bytes())
}

fn failed(path: &Path, doing: &'static str, error: &io::Error) -> RemoteError {
    RemoteError::Cache { path: path.to_owned(), doing, reason: error.to_string() }
}
