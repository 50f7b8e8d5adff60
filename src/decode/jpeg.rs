//! Which library decodes JPEG.

#[cfg(feature = "turbo")]
use super::turbo;
use super::{DecodeError, Decoded, Scratch, zune};
use crate::image::{Rect, Size};

/// Who decodes JPEG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JpegLibrary {
    /// libjpeg-turbo: the pixels of Pillow, OpenCV and torchvision.
    #[cfg(feature = "turbo")]
    Turbo,
    /// zune-jpeg: no C compiler needed; pixels up to 7 levels off, 0.4 on average (250 photos).
    /// Arithmetic coding is unknown to it.
    Zune,
}

impl Default for JpegLibrary {
    /// libjpeg-turbo where it is built in.
    fn default() -> Self {
        #[cfg(feature = "turbo")]
        return JpegLibrary::Turbo;
        #[cfg(not(feature = "turbo"))]
        return JpegLibrary::Zune;
    }
}

impl JpegLibrary {
    /// Size from the header.
    pub(super) fn probe(self, bytes: &[u8]) -> Result<Size, DecodeError> {
        match self {
            #[cfg(feature = "turbo")]
            JpegLibrary::Turbo => turbo::probe(bytes),
            JpegLibrary::Zune => zune::probe(bytes),
        }
    }

    /// At least the pixels of `region` into the scratch. `size` has passed the limits, `region` is inside.
    pub(super) fn decode(
        self,
        bytes: &[u8],
        size: Size,
        region: Rect,
        scratch: &mut Scratch,
    ) -> Result<Decoded, DecodeError> {
        debug_assert!(region.fits(size), "{region:?} of {size}");
        match self {
            #[cfg(feature = "turbo")]
            JpegLibrary::Turbo => turbo::decode(bytes, size, region, scratch),
            JpegLibrary::Zune => zune::decode(bytes, size, scratch),
        }
    }
}
