//! What can be wrong with a source as a whole ([`IngestError`]) and with one sample ([`Reason`]).

use std::io;
use std::path::PathBuf;

use crate::image::Size;

/// Why a source cannot be converted at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// The path does not exist.
    #[error("{path}: no such file or folder; give the dataset's folder or archive", path = .path.display())]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{path}: cannot be read ({source}); check its permissions", path = .path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Nothing that could be a sample.
    #[error("{path}: holds no sample of format {format}; {expected}", path = .path.display())]
    Empty {
        /// The path.
        path: PathBuf,
        /// The format it was read as.
        format: &'static str,
        /// What the format looks like.
        expected: &'static str,
    },
    /// The path is of the wrong kind for the format.
    #[error("{path}: is not what format {format} reads; {expected}", path = .path.display())]
    WrongKind {
        /// The path.
        path: PathBuf,
        /// The format it was to be read as.
        format: &'static str,
        /// What the format looks like.
        expected: &'static str,
    },
    /// A pipe, socket or device.
    #[error("{path}: not a regular file; give a folder or an archive on a disk", path = .path.display())]
    NotRegular {
        /// The path.
        path: PathBuf,
    },
    /// A tar's structure is broken.
    #[error("{path}: offset {offset}: not a tar header ({source}); fetch the archive again", path = .path.display())]
    Tar {
        /// The archive.
        path: PathBuf,
        /// Byte offset where the (nested) archive starts.
        offset: u64,
        /// The tar reader's error.
        source: io::Error,
    },
    /// A compressed archive where members must be read by offset.
    #[error("{path}: is compressed; decompress it first (gunzip)", path = .path.display())]
    Compressed {
        /// The archive.
        path: PathBuf,
    },
    /// Validation images have no labels of their own.
    #[error(
        "{path}: its labels are in another file; give --labels FILE (lines `NAME SYNSET`, or the devkit's \
         ILSVRC2012_validation_ground_truth.txt together with --synsets FILE)",
        path = .path.display()
    )]
    NeedsLabels {
        /// The archive.
        path: PathBuf,
    },
    /// A line of a label file cannot be read.
    #[error("{path}: line {line}: `{value}` is not {expected}", path = .path.display())]
    LabelLine {
        /// The label file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What stands there, shortened.
        value: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// A synset list in alphabetical order is a list by class rank, not by ILSVRC2012_ID.
    #[error(
        "{path}: is sorted, so its line numbers are no ILSVRC2012_IDs and would mislabel the images; give lines `ID SYNSET`",
        path = .path.display()
    )]
    SortedSynsets {
        /// The synset list.
        path: PathBuf,
    },
    /// A pickle holds something else than a CIFAR batch.
    #[error("{path}: offset {offset}: {what}; only CIFAR batches as published are read, and never executed", path = .path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
        /// Byte offset in the pickle.
        offset: usize,
        /// What is wrong.
        what: String,
    },
    /// A file is larger than anything published.
    #[error("{path}: {bytes} bytes, more than the {limit} this format can have", path = .path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
}

impl IngestError {
    /// Wraps a system error on `path`; a missing file gets its own variant.
    pub(crate) fn io(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        if source.kind() == io::ErrorKind::NotFound { Self::Missing { path } } else { Self::Io { path, source } }
    }
}

/// Why one file was left out. The list of these ends every conversion.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// Neither JPEG nor PNG.
    #[error("no image: neither JPEG nor PNG")]
    NotAnImage,
    /// No byte.
    #[error("empty: 0 bytes")]
    Empty,
    /// The data ends early.
    #[error("truncated: {0}")]
    Truncated(String),
    /// The codec refuses it.
    #[error("damaged: {0}")]
    Damaged(String),
    /// Width or height beyond the format's limit.
    #[error("too large: {size} pixels, the limit is {limit} a side")]
    TooLarge {
        /// Its size.
        size: Size,
        /// Largest side.
        limit: u32,
    },
    /// More pixels than the decoder was allowed.
    #[error("too large: {size} is {} pixels, the limit is {max_pixels}; raise it with --max-pixels", size.area())]
    TooManyPixels {
        /// Its size.
        size: Size,
        /// Most pixels.
        max_pixels: u64,
    },
    /// The file is too long to be held in memory.
    #[error("too large: {bytes} bytes, the limit is {}", super::MAX_FILE_BYTES)]
    TooManyBytes {
        /// Its length.
        bytes: u64,
    },
    /// The operating system refused.
    #[error("unreadable: {0}")]
    Unreadable(String),
    /// It was listed, and is not there any more: removed, or its file system went away. The source, not the file, is at fault.
    #[error("gone since the source was listed ({0})")]
    Gone(String),
    /// A file beside the class folders.
    #[error("lies in no class folder")]
    NoClass,
    /// A link back to a folder that was read already.
    #[error("a link to a folder that is read already")]
    Loop,
    /// A pipe, socket, device, or a link or sparse member of an archive.
    #[error("not a regular file")]
    NotRegular,
    /// Names are stored as UTF-8.
    #[error("name is not UTF-8")]
    NameNotUtf8,
    /// Nothing says what it shows.
    #[error("no label: {0}")]
    NoLabel(&'static str),
    /// The label cannot be used.
    #[error("bad label: {0}")]
    BadLabel(String),
    /// Another sample of this name came first.
    #[error("a second image of the same name")]
    Duplicate,
    /// The shard format cannot hold it.
    #[error("cannot be stored: {0}")]
    Unstorable(String),
    /// Belongs to no image.
    #[error("belongs to no image")]
    NoImage,
}
