//! What is refused about shard files, with file, offset and value.

use std::io;
use std::path::PathBuf;

/// A refusal; the message is one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)] // The fields are the values of the message above them.
pub enum ShardError {
    /// The system refused.
    #[error("{path}: cannot {doing}: {source}", path = path.display())]
    Io { path: PathBuf, doing: &'static str, source: io::Error },
    /// No shard file where one is needed.
    #[error("{path}: no .mcs files here; convert a dataset first: metacl-shard convert SRC DST", path = path.display())]
    NoShards { path: PathBuf },
    /// Too short, or the first or last bytes are not a shard's.
    #[error("{path}: no shard file: {what} at byte {offset}; it is cut short or of another kind, convert it again", path = path.display())]
    NotAShard { path: PathBuf, offset: u64, what: &'static str },
    /// Of a later version.
    #[error("{path}: shard version {found} at byte 8, this program reads version 1: use the program that wrote it", path = path.display())]
    Version { path: PathBuf, found: u32 },
    /// The file is not as long as it says.
    #[error("{path}: {found} bytes long, the header at byte 16 says {stated}: it is cut short or was changed, convert it again", path = path.display())]
    Length { path: PathBuf, found: u64, stated: u64 },
    /// A field that cannot be.
    #[error("{path}: {field} at byte {offset} is {value}: the file is damaged, convert it again", path = path.display())]
    Field { path: PathBuf, offset: u64, field: &'static str, value: u64 },
    /// Bytes that are not what was written.
    #[error("{path}: {what} at byte {offset} has checksum {found:#018x}, {stated:#018x} was written: the file is damaged, convert it again", path = path.display())]
    Checksum { path: PathBuf, offset: u64, what: &'static str, found: u64, stated: u64 },
    /// A record whose bytes are not what was written.
    #[error("{path}: sample {sample}: record of {length} bytes at byte {offset} has checksum {found:#018x}, {stated:#018x} was written: \
             it is damaged, `metacl-shard verify` lists all such records", path = path.display())]
    Record { path: PathBuf, sample: u64, offset: u64, length: u64, found: u64, stated: u64 },
    /// The parts of a split are not all there, or not of one split.
    #[error("{path}: {what}: expected {expected}, found {found}; copy the whole split again", path = path.display())]
    Parts { path: PathBuf, what: &'static str, expected: u64, found: u64 },
    /// No such sample.
    #[error("sample {index} of a set of {samples}")]
    OutOfRange { index: u64, samples: u64 },
    /// A final name is taken.
    #[error("{path} exists already: choose another target or remove it", path = path.display())]
    Exists { path: PathBuf },
    /// A sample that the format cannot hold.
    #[error("{name}: {what} is {value}, at most {limit} can be stored")]
    Unstorable { name: String, what: &'static str, value: u64, limit: u64 },
    /// Nothing was appended.
    #[error("{path}: no samples to write", path = path.display())]
    Empty { path: PathBuf },
}
