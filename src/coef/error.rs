//! Why a record cannot be read, and why a JPEG cannot become one.

use thiserror::Error;

use crate::image::{Rect, Size};

/// Why a record was not read. What is wrong is in the record, unless the variant says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CoefError {
    /// Made by another version.
    #[error("coefficient record of version {0}; this build reads version 1: convert the dataset again")]
    Version(u8),
    /// Fewer bytes than the header needs.
    #[error(
        "coefficient record of {length} bytes, its header takes {needed}: the dataset is damaged, convert it again"
    )]
    Short {
        /// Bytes there are.
        length: usize,
        /// Bytes needed.
        needed: usize,
    },
    /// A field of the header outside its range.
    #[error("coefficient record: {what} is {value}, which cannot be: the dataset is damaged, convert it again")]
    Header {
        /// Which field.
        what: &'static str,
        /// Its value.
        value: u64,
    },
    /// A checksum differs.
    #[error(
        "coefficient record: checksum of {part} is {found:08x}, stored {stored:08x}: the dataset is damaged, convert it again"
    )]
    Checksum {
        /// `header`, or which MCU row.
        part: String,
        /// Of the bytes.
        found: u32,
        /// In the record.
        stored: u32,
    },
    /// The blocks of an MCU row contradict themselves.
    #[error(
        "coefficient record, MCU row {row}: {what} is {value}, which cannot be: the dataset is damaged, convert it again"
    )]
    Blocks {
        /// Which MCU row.
        row: usize,
        /// Which field.
        what: &'static str,
        /// Its value.
        value: usize,
    },
    /// The caller's size is not the record's.
    #[error("the index says {expected}, the coefficient record {found}: the dataset is damaged, convert it again")]
    Size {
        /// The caller's.
        expected: Size,
        /// The record's.
        found: Size,
    },
    /// The caller's region is empty or not inside the picture.
    #[error("region {region:?} of a picture of {size}: it must lie inside and not be empty")]
    Region {
        /// The caller's.
        region: Rect,
        /// Of the picture.
        size: Size,
    },
}

/// Why a JPEG is not covered by coefficient records; it can be kept as it is.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotCovered {
    /// Wider or higher than 65535, or empty.
    #[error("size {0}, records hold 1x1 to 65535x65535")]
    Size(Size),
    /// Sampling factors other than 4:4:4, 4:2:2, 4:2:0 and gray.
    #[error("sampling factors {0:?}, records hold 4:4:4, 4:2:2, 4:2:0 and gray")]
    Sampling(Vec<(u8, u8)>),
    /// Components, columns, rows or blocks that do not fit together.
    #[error("component {0} has not the blocks that size and sampling ask for")]
    Shape(usize),
    /// An AC coefficient beyond what 15 bits hold.
    #[error("an AC coefficient of {0}, records hold -16384 to 16384")]
    Coefficient(i16),
    /// A block row too long for its table of ends.
    #[error("a block row of {0} bytes, records hold 131070")]
    RowTooLong(usize),
    /// More than 4 GiB.
    #[error("a record of more than 4 GiB")]
    TooLong,
}
