//! One JPEG decoder, whichever library does the work.

#[cfg(feature = "turbo")]
use super::turbo::Turbo;
use super::{DecodeError, zune};
use crate::image::Size;

/// Who decodes JPEG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JpegLibrary {
    /// libjpeg-turbo: the pixels of Pillow, OpenCV and torchvision.
    #[cfg(feature = "turbo")]
    Turbo,
    /// zune-jpeg: no C compiler needed; pixels a few levels off (its inverse DCT and upsampling round differently).
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

/// A library and what it keeps between images.
pub(super) enum Jpeg {
    /// The handle is made at the first image: sets of raw pixels never need it.
    #[cfg(feature = "turbo")]
    Turbo(Option<Turbo>),
    Zune,
}

impl Jpeg {
    pub(super) fn new(library: JpegLibrary) -> Self {
        match library {
            #[cfg(feature = "turbo")]
            JpegLibrary::Turbo => Jpeg::Turbo(None),
            JpegLibrary::Zune => Jpeg::Zune,
        }
    }

    /// Size from the header.
    pub(super) fn probe(&mut self, bytes: &[u8]) -> Result<Size, DecodeError> {
        match self {
            #[cfg(feature = "turbo")]
            Jpeg::Turbo(turbo) => Ok(ready(turbo)?.header(bytes)?.size),
            Jpeg::Zune => zune::probe(bytes),
        }
    }

    /// RGB into the front of `pixels`; `samples` is scratch.
    pub(super) fn decode(
        &mut self,
        bytes: &[u8],
        size: Size,
        pixels: &mut Vec<u8>,
        samples: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        match self {
            #[cfg(feature = "turbo")]
            Jpeg::Turbo(turbo) => ready(turbo)?.decode(bytes, size, pixels, samples),
            Jpeg::Zune => zune::decode(bytes, size, pixels, samples),
        }
    }
}

#[cfg(feature = "turbo")]
fn ready(turbo: &mut Option<Turbo>) -> Result<&mut Turbo, DecodeError> {
    match turbo {
        Some(turbo) => Ok(turbo),
        None => Ok(turbo.insert(Turbo::new()?)),
    }
}
