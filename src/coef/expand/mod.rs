//! Records to pixels: the [`Expander`].
//!
//! - `window`: which blocks and samples a region takes;
//! - `strip`: MCU row by MCU row through the stages, so that samples stay in the nearest caches;
//! - `kernels`: what the stages do; `scalar` is that as plain code, `avx2` the same bytes with vectors; `partial`: the first of them alone.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod kernels;
mod partial;
pub(super) mod scalar;
mod strip;
pub(super) mod window;

use partial::Partial;
pub use partial::Upto;
use scalar::Scalar;
use strip::Scratch;
use window::Window;

use super::layout::Record;
use super::{CoefError, ColourSpace};
use crate::image::{Planes, Rect, Size};

/// Which code expands. All give the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// The fastest that this processor runs.
    Fastest,
    /// Plain code: the oracle.
    Scalar,
}

/// Expands one record after another; its buffers grow to the largest and are kept.
pub struct Expander {
    /// The path, if it is this one.
    #[cfg(target_arch = "x86_64")]
    avx2: Option<avx2::Avx2>,
    scratch: Scratch,
}

impl Expander {
    /// An expander with empty buffers.
    pub fn new(path: Path) -> Self {
        Self {
            #[cfg(target_arch = "x86_64")]
            avx2: if path == Path::Fastest { avx2::Avx2::detect() } else { None },
            scratch: Scratch::default(),
        }
    }

    /// Makes `out` the part `region` of the picture in `record`: `out` gets the region's size, and is gray where the record is.
    ///
    /// The pixels are those of libjpeg-turbo's default decode: accurate integer inverse DCT, fancy upsampling, its colour conversion.
    /// `size` is the picture's, from the index. `verify` compares the checksums of the header and of the MCU rows that are read.
    ///
    /// # Errors
    /// Where `size` is not the record's, `region` is empty or not inside, or the record is damaged; then `out` holds anything.
    pub fn expand(
        &mut self,
        record: &[u8],
        size: Size,
        region: Rect,
        verify: bool,
        out: &mut Planes,
    ) -> Result<(), CoefError> {
        let (record, window) = opened(record, size, region, verify)?;
        out.reset(region.size(), window.space == ColourSpace::Gray);
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = self.avx2 {
            return self.scratch.expand(avx2, &record, &window, verify, out);
        }
        self.scratch.expand(Scalar, &record, &window, verify, out)
    }

    /// The stages up to `upto` of expanding a whole picture, for benches: `out` holds anything unless it is [`Upto::Pixels`].
    ///
    /// # Errors
    /// As [`expand`](Self::expand).
    #[doc(hidden)]
    pub fn expand_upto(&mut self, record: &[u8], size: Size, upto: Upto, out: &mut Planes) -> Result<(), CoefError> {
        let (record, window) = opened(record, size, size.rect(), false)?;
        out.reset(size, window.space == ColourSpace::Gray);
        #[cfg(target_arch = "x86_64")]
        if let Some(kernels) = self.avx2 {
            return self.scratch.expand(Partial { kernels, upto }, &record, &window, false, out);
        }
        self.scratch.expand(Partial { kernels: Scalar, upto }, &record, &window, false, out)
    }
}

/// The record, its header checked, and what of it makes `region`.
pub(super) fn opened(record: &[u8], size: Size, region: Rect, verify: bool) -> Result<(Record<'_>, Window), CoefError> {
    let record = Record::open(record, verify)?;
    let header = record.header;
    if header.size != size {
        return Err(CoefError::Size { expected: size, found: header.size });
    }
    if region.size().area() == 0 || !region.fits(size) {
        return Err(CoefError::Region { region, size });
    }
    let window = Window::new(&header, region);
    Ok((record, window))
}
