//! What can go wrong: with a call or a folder ([`ShardError`]), with the bytes of one file ([`Fault`], [`Refusal`]).

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::change::Change;
use super::{MAX_SAMPLES, MAX_SIDE, NO_LABEL, format};
use crate::image::Size;

/// Why a set was not opened, read or written; the message is one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)] // The fields are the values of the message above them.
pub enum ShardError {
    /// The system refused.
    #[error("{path}: cannot {doing}: {source}{}", advice(source), path = path.display())]
    Io { path: PathBuf, doing: &'static str, source: io::Error },
    /// A URL that names no kind of object storage.
    #[error("{scheme}://: no known scheme; give a path, file://, s3://, gs://, az://, http:// or https://")]
    Scheme { scheme: String },
    /// A URL, in a build that reads disks only.
    #[error(
        "{url}: this program was built without the feature `remote`, which reads object storage; copy the dataset to a disk"
    )]
    NotBuilt { url: String },
    /// Object storage.
    #[cfg(feature = "remote")]
    #[error("{0}")]
    Remote(Box<super::remote::RemoteError>),
    /// No shard file where one is needed.
    #[error("{path}: no .mcs files here; convert a dataset first: metacl-shard convert SRC DST", path = path.display())]
    NoShards { path: PathBuf },
    /// A file is not what the format asks for.
    #[error("{0}")]
    Refused(Box<Fault>),
    /// Somebody wrote to a file that is open.
    #[error("{0}")]
    Changed(Box<Change>),
    /// A split lacks a part.
    #[error("{folder}: part {part} of {parts} (counted from 0) is missing; copy the whole split again", folder = folder.display())]
    MissingPart { folder: PathBuf, part: u32, parts: u32 },
    /// Two files are the same part.
    #[error("{path}: part {part}, as is {earlier}; remove one of them", path = path.display(), earlier = earlier.display())]
    DuplicatePart { path: PathBuf, part: u32, earlier: PathBuf },
    /// The names of the files are not in the order of the parts.
    #[error("{path}: part {part}, where part {expected} belongs; name each file by its part, as {part:05}.mcs", path = path.display())]
    PartOrder { path: PathBuf, part: u32, expected: u32 },
    /// Two files of a folder are of different splits.
    #[error("{path}: of another split than {other}; keep one split to a folder", path = path.display(), other = other.display())]
    ForeignPart { path: PathBuf, other: PathBuf },
    /// A file's labels number other classes than those of the split that it is to be a part of.
    #[error("{path}: its classes are others than those of the files before it; give parts of one conversion", path = path.display())]
    OtherClasses { path: PathBuf },
    /// The numbers of samples do not add up: those before this part or, of the last part, those up to its end.
    #[error("{path}: states {stated} samples up to here, the parts hold {found}; convert the dataset again", path = path.display())]
    SampleCount { path: PathBuf, stated: u64, found: u64 },
    /// No such sample.
    #[error("sample {index} of a set of {samples}, counted from 0")]
    OutOfRange { index: u64, samples: u64 },
    /// The folder holds shards already, or got some while the split was written.
    #[error("{path} exists already: choose another target or remove it", path = path.display())]
    Exists { path: PathBuf },
    /// A sample, or options, that the format cannot hold.
    #[error("{name}: cannot be stored: {refusal}")]
    Unstorable { name: String, refusal: Refusal },
    /// More files than five digits number.
    #[error("{folder}: more than {} files would be needed: give a larger shard size", format::MAX_PARTS, folder = folder.display())]
    TooManyParts { folder: PathBuf },
    /// Nothing was appended.
    #[error("{path}: no samples to write", path = path.display())]
    Empty { path: PathBuf },
    /// A call on a writer that has failed before.
    #[error("{folder}: an earlier write failed: begin the split again", folder = folder.display())]
    Broken { folder: PathBuf },
}

/// What to do about an error of the system, where that can be told.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room, or choose another disk",
        io::ErrorKind::FileTooLarge => "; raise the limit of a file (ulimit -f), or give a smaller --shard-size",
        io::ErrorKind::ReadOnlyFilesystem => "; choose a folder that can be written",
        _ => "",
    }
}

impl From<Fault> for ShardError {
    fn from(fault: Fault) -> Self {
        Self::Refused(Box::new(fault))
    }
}

impl From<Change> for ShardError {
    fn from(change: Change) -> Self {
        Self::Changed(Box::new(change))
    }
}

#[cfg(feature = "remote")]
impl From<super::remote::RemoteError> for ShardError {
    fn from(error: super::remote::RemoteError) -> Self {
        Self::Remote(Box::new(error))
    }
}

/// Something wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub path: PathBuf,
    /// Index, within the split, of the sample that it is about.
    pub sample: Option<u64>,
    /// First byte of the field or section at fault, from the file's start.
    pub offset: u64,
    /// What is wrong.
    pub refusal: Refusal,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        if let Some(sample) = self.sample {
            write!(f, "sample {sample}, ")?;
        }
        write!(f, "byte {}: {}", self.offset, self.refusal)?;
        f.write_str(match self.refusal {
            Refusal::Magic { .. } => "; give a file that metacl-shard wrote",
            Refusal::Version { .. } => "; use the program that wrote it, or convert the dataset again",
            Refusal::Checksum { section: Section::Record, .. } => {
                "; convert again, or keep the rest: `metacl-shard verify` lists all such records, `metacl-shard repair` leaves them out"
            }
            Refusal::Unreadable => "; look at the disk (dmesg), copy the file to a sound one",
            _ => "; the file is cut short or damaged, copy or convert it again, or keep what is intact of it: `metacl-shard repair`",
        })
    }
}

/// A section that a checksum covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)] // Named as in `format.md`.
pub enum Section {
    Footer,
    Metadata,
    PageTable,
    IndexPage,
    Record,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Footer => "footer",
            Self::Metadata => "classes and metadata",
            Self::PageTable => "page table",
            Self::IndexPage => "index page",
            Self::Record => "record",
        })
    }
}

/// A rule of the format, broken by bytes that were read or by a sample that was to be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)] // The messages say what the fields are.
pub enum Refusal {
    #[error("the file has {length} bytes, a shard at least {least}")]
    TooShort { length: u64, least: u64 },
    #[error("{found:02x?} is not a shard's magic")]
    Magic { found: [u8; 8] },
    #[error("version {found} of the format, this program reads version {}", format::VERSION)]
    Version { found: u32 },
    #[error("the file has {found} bytes, stated are {stated}")]
    Length { stated: u64, found: u64 },
    #[error("{section} has checksum {found:#018x}, {stated:#018x} was written")]
    Checksum { section: Section, stated: u64, found: u64 },
    #[error("header and footer have identity {found:#034x}, {stated:#034x} was written")]
    Identity { stated: u128, found: u128 },
    #[error("{found} samples a page, allowed are 1..={}", format::PAGE_ENTRIES)]
    PageEntries { found: u32 },
    #[error("no samples")]
    NoSamples,
    #[error("{found} samples, a split has at most {MAX_SAMPLES}")]
    TooManySamples { found: u64 },
    #[error("{samples} samples from {first} on, of {total}")]
    SampleRange { first: u64, samples: u64, total: u64 },
    #[error("part {part} of {parts}, counted from 0")]
    Part { part: u32, parts: u32 },
    #[error("page table of {length} bytes at {offset}; {needed} bytes that end at {end} are needed")]
    TablePlace { offset: u64, length: u64, needed: u64, end: u64 },
    #[error("classes and metadata of {length} bytes at {offset} do not end at {end}, where the page table starts")]
    MetadataPlace { offset: u64, length: u64, end: u64 },
    #[error("classes and metadata of {length} bytes, a text and a count have at most 2^32 - 1")]
    MetadataLength { length: u64 },
    #[error("metadata needs {needed} bytes here, {left} are left")]
    MetadataEnd { needed: u64, left: u64 },
    #[error("{left} bytes behind the metadata")]
    MetadataRest { left: u64 },
    #[error("metadata key {key:?} is not above the one before it")]
    MetadataOrder { key: String },
    #[error("classes and metadata are not those of the split's first file")]
    MetadataDiffers,
    #[error("index page {page} of {length} bytes at {offset}; at least {least} bytes within {from}..{to} are needed")]
    PagePlace { page: u64, offset: u64, length: u64, least: u64, from: u64, to: u64 },
    #[error("index pages end at {end}, classes and metadata start at {expected}")]
    PagesEnd { end: u64, expected: u64 },
    #[error("record starts at {offset}, inside the one before it, which ends at {end}")]
    Overlap { offset: u64, end: u64 },
    #[error("record starts at {offset}, it belongs at {expected}")]
    Gap { offset: u64, expected: u64 },
    #[error("record of {length} bytes at {offset} reaches past {limit}, where its index page starts")]
    RecordEnd { offset: u64, length: u64, limit: u64 },
    #[error("records of the page end at {end}, the page starts at {expected}")]
    RecordsEnd { end: u64, expected: u64 },
    #[error("record of {length} bytes, allowed are 1..2^32")]
    RecordLength { length: u64 },
    #[error("raw record of {length} bytes, its size {size} asks for {needed}")]
    RawLength { length: u64, size: Size, needed: u64 },
    #[error("image of {size}, allowed are 1..={MAX_SIDE} pixels a side")]
    ImageSize { size: Size },
    #[error("label {label} of {classes} classes, counted from 0 (no label is {NO_LABEL})")]
    Label { label: u32, classes: u64 },
    #[error("codec tag {found} is unknown")]
    Codec { found: u8 },
    #[error("name ends at {end}, outside {start}..={limit}")]
    NameEnd { start: u64, end: u64, limit: u64 },
    #[error("names end at {end}, their page at {expected}")]
    NamesEnd { end: u64, expected: u64 },
    #[error("name of {length} bytes, at most {} are allowed", format::MAX_NAME)]
    NameLength { length: u64 },
    #[error("text is not UTF-8")]
    Utf8,
    #[error("byte {found:#04x} where zero is due")]
    NotZero { found: u8 },
    #[error("the system could not read this part of the file")]
    Unreadable,
}
