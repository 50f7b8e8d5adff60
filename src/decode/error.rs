//! What can be wrong with a record's bytes.

use super::JpegLibrary;
use crate::coef::CoefError;
use crate::image::{Rect, Size};
use crate::shard::Codec;

/// Why a record gives no pixels. The caller knows the file and the sample and adds them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A side of the image is zero.
    #[error("the image is {size}: it has no pixels; leave it out of the dataset")]
    Empty {
        /// Size of the image.
        size: Size,
    },
    /// The image has more pixels than [`Limits::max_pixels`](super::Limits::max_pixels).
    #[error("the image is {size}, more than the {max_pixels} pixels allowed; shrink it or raise max_pixels")]
    TooLarge {
        /// Size of the image.
        size: Size,
        /// The limit.
        max_pixels: u64,
    },
    /// The bytes hold an image of another size than the index says.
    #[error("the bytes hold a {found} image, the index says {expected}; convert the dataset again")]
    SizeMismatch {
        /// Size in the bytes.
        found: Size,
        /// Size in the index.
        expected: Size,
    },
    /// The wanted region is empty or leaves the image.
    #[error("region {}x{}+{}+{} is not inside the {size} image", region.width, region.height, region.x, region.y)]
    RegionOutside {
        /// What was wanted.
        region: Rect,
        /// Size of the image.
        size: Size,
    },
    /// The coefficient record is damaged.
    #[error(transparent)]
    Coef(Box<CoefError>),
    /// A raw record has another length than its size needs.
    #[error("the raw record holds {found} bytes, a {size} image needs {expected}; convert the dataset again")]
    RawLength {
        /// Length in bytes.
        found: u64,
        /// `3 * width * height`.
        expected: u64,
        /// Size in the index.
        size: Size,
    },
    /// A size was asked of bytes that do not state one.
    #[error("{codec:?} records do not state their size; take it from the index")]
    NoHeader {
        /// Kind of the record.
        codec: Codec,
    },
    /// The JPEG library refuses the bytes or warns about them.
    #[error("broken or unknown JPEG, {library:?} says: {message}; replace the file or leave it out")]
    Jpeg {
        /// Who says so.
        library: JpegLibrary,
        /// Its words.
        message: String,
    },
    /// The PNG decoder refuses the bytes.
    #[error("broken PNG: {message}; replace the file or leave it out")]
    Png {
        /// The decoder's words.
        message: String,
    },
}

impl From<CoefError> for DecodeError {
    fn from(error: CoefError) -> Self {
        Self::Coef(Box::new(error))
    }
}
