//! The dataset file: many memory-mapped files as one index space `0..n`.
//!
//! The format is described in [`format.md`](self#the-format), included below.
//!
//! - `set`: [`ShardSet`], the only public face for reading. `parts`: which files make a split. `file`: one file, its index checked
//!   page by page at first touch. `change`: what the system says of a file, to tell whether it is still the one that was opened.
//! - `check`: bytes to a trusted index; the only place that refuses. `format`: the bytes, field by field. `map`: mapping; the `unsafe`.
//! - [`location`]: paths and URLs. `storage`: [`Storage`], what it takes to read the latter. [`remote`]: how they are read.
//! - `write`: [`SplitWriter`]. `verify`: every fault of some files.
//! - [`salvage`]: what of a damaged file is intact.
//! - [`ingest`]: sources of datasets for `metacl-shard`.
//!
//! Not here: decoding, randomness.
//!
//! On Linux the first file that is opened gives the process a handler of SIGBUS, which stays: a mapped page that cannot be read becomes an
//! error instead of the end of the process. Faults elsewhere go on to the handler that was there before.
//!
//! # The format
#![doc = include_str!("format.md")]

mod bits;
mod change;
mod check;
mod error;
mod file;
mod format;
pub mod ingest;
pub mod location;
mod map;
mod parts;
#[cfg(feature = "remote")]
pub mod remote;
pub mod salvage;
mod set;
mod storage;
#[cfg(test)]
mod tests;
mod verify;
mod write;

pub use change::{Change, Stamp};
pub use error::{Fault, Refusal, Section, ShardError};
pub use file::ShardFile;
pub use location::Location;
pub use parts::shard_files;
pub use set::ShardSet;
pub use storage::{CACHE_SIZE, Patience, Storage, StorageOptions, VARIABLES};
pub use verify::{verify_files, verify_set};
pub use write::{FinishedPart, NewSample, SplitWriter, WriteOptions, WriteSummary, part_name};

use std::borrow::Cow;

use crate::image::Size;

/// Most pixels of a side: crops of plans are `i16`.
pub const MAX_SIDE: u32 = i16::MAX as u32;
/// Most samples of a set: plans and draws name samples by 32 bits.
pub const MAX_SAMPLES: u64 = 1 << 32;
/// Label of a sample without a class.
pub const NO_LABEL: u32 = u32::MAX;
/// Ending of shard files.
pub const EXTENSION: &str = "mcs";

/// What a record's bytes are; the number is its tag on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Codec {
    /// A JPEG file as it was.
    Jpeg = 1,
    /// RGB pixels, u8, HWC.
    Raw = 2,
    /// A PNG file as it was.
    Png = 3,
    /// The coefficients of a JPEG file, recoded without loss (`coef`).
    Coef = 4,
}

impl Codec {
    /// All codecs.
    pub const ALL: [Codec; 4] = [Codec::Coef, Codec::Jpeg, Codec::Raw, Codec::Png];

    /// The codec of a tag on disk.
    pub const fn from_tag(tag: u8) -> Option<Self> {
        match tag {
            1 => Some(Codec::Jpeg),
            2 => Some(Codec::Raw),
            3 => Some(Codec::Png),
            4 => Some(Codec::Coef),
            _ => None,
        }
    }

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Codec::Jpeg => "jpeg",
            Codec::Raw => "raw",
            Codec::Png => "png",
            Codec::Coef => "coef",
        }
    }
}

/// What the index says of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleInfo {
    /// First byte of the record in its file.
    pub offset: u64,
    /// Bytes of the record.
    pub length: u64,
    /// Width and height in pixels.
    pub size: Size,
    /// What the bytes are.
    pub codec: Codec,
    /// Class, an index into [`ShardSet::classes`], or [`NO_LABEL`].
    pub label: u32,
}

/// A sample's index entry and bytes.
#[derive(Clone, Debug)]
pub struct Stored<'a> {
    /// What the index says.
    pub info: SampleInfo,
    /// The record: a part of the mapped file, or read from the cache of object storage.
    pub bytes: Cow<'a, [u8]>,
    /// The checksum of the whole record was not compared, because the record has checksums of its parts and the decoder is to
    /// compare those of the parts it reads: coefficient records under [`Verify::Always`].
    pub check_parts: bool,
}

/// When a record's checksum is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// At every read; of coefficient records, those parts that are read.
    #[default]
    Always,
    /// At the first read of each record.
    First,
    /// Not at all.
    Never,
}
