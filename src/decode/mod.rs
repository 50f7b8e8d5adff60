//! Record bytes to pixels: what the views need, once per sample.
//!
//! RGB, u8, HWC, as Pillow's `Image.open(f).convert("RGB")` gives it; an EXIF orientation is ignored, as torchvision's loader does.
//! Strict: bytes that a JPEG library only warns about (premature end, bad Huffman code, garbage between markers) are an error.
//! Garbage behind a complete image is not looked at.
//!
//! - `error`: [`DecodeError`].
//! - `jpeg`: [`JpegLibrary`]. `turbo`: libjpeg-turbo, pixels equal to Pillow's; the FFI of this module. `zune`: pure Rust.
//! - `coefficients`: JPEG files to coefficients and back (feature `turbo`).
//! - `cmyk`: Adobe's inverted CMYK and YCCK to RGB, Pillow's formulas.
//! - `png`: through the image crate, also where a file or record says JPEG (ImageNet holds such files).
//!
//! Not here: files, checksums, augmentation.

mod cmyk;
#[cfg(feature = "turbo")]
mod coefficients;
mod error;
mod jpeg;
mod png;
#[cfg(feature = "turbo")]
mod turbo;
mod zune;

#[cfg(feature = "turbo")]
pub use coefficients::{CoefficientsError, WriteJpegError, jpeg_coefficients, write_jpeg};
pub use error::DecodeError;
pub use jpeg::JpegLibrary;

use crate::coef;
use crate::image::{PixelsRef, Rect, Size};
use crate::shard::Codec;

/// What a decoder refuses before it allocates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest `width * height`.
    pub max_pixels: u64,
}

impl Default for Limits {
    /// The size at which Pillow refuses an image as a decompression bomb: 178,956,970 pixels, half a gigabyte of RGB.
    fn default() -> Self {
        Self { max_pixels: 178_956_970 }
    }
}

impl Limits {
    fn check(self, size: Size) -> Result<(), DecodeError> {
        let max_pixels = self.max_pixels.min(MOST_PIXELS);
        if size.area() == 0 {
            return Err(DecodeError::Empty { size });
        }
        if size.area() > max_pixels {
            return Err(DecodeError::TooLarge { size, max_pixels });
        }
        Ok(())
    }
}

/// What the caller will read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// At least this rectangle, in full-size source pixels.
    pub region: Rect,
}

impl Want {
    /// The whole image of `size`.
    pub const fn all(size: Size) -> Self {
        Self { region: size.rect() }
    }
}

/// Decoded pixels and where they lie in the full image. Today's codecs give the whole image, at `x = y = 0`.
#[derive(Clone, Copy)]
pub struct Region<'a> {
    /// The pixels.
    pub pixels: PixelsRef<'a>,
    /// Column of the full image that the first pixel stands in.
    pub x: u32,
    /// Row of the full image that the first pixel stands in.
    pub y: u32,
}

impl<'a> Region<'a> {
    /// A whole image.
    pub const fn whole(pixels: PixelsRef<'a>) -> Self {
        Self { pixels, x: 0, y: 0 }
    }

    /// The rectangle of the full image that is here.
    pub fn rect(&self) -> Rect {
        let Size { width, height } = self.pixels.size();
        Rect { x: self.x, y: self.y, width, height }
    }
}

/// Decodes records; one per thread. Its buffers grow to the largest image met and are reused.
pub struct Decoder {
    limits: Limits,
    library: JpegLibrary,
    /// RGB, HWC, of the record decoded last; as long as the largest so far.
    pixels: Vec<u8>,
    /// Samples before they become RGB (CMYK, gray, alpha, 16 bits).
    samples: Vec<u8>,
}

impl Decoder {
    /// A decoder with the best JPEG library of this build.
    pub fn new(limits: Limits) -> Self {
        Self::with_library(limits, JpegLibrary::default())
    }

    /// A decoder with a JPEG library of your choice.
    pub fn with_library(limits: Limits, library: JpegLibrary) -> Self {
        Self { limits, library, pixels: Vec::new(), samples: Vec::new() }
    }

    /// The pixels of a record, at least those of `want`. Raw records are borrowed, not copied.
    ///
    /// `size` is the index's: it is checked against the limits before anything is allocated, and bytes that hold an image of
    /// another size are an error.
    pub fn decode<'a>(
        &'a mut self,
        codec: Codec,
        bytes: &'a [u8],
        size: Size,
        want: Want,
    ) -> Result<Region<'a>, DecodeError> {
        self.check(size, want.region)?;
        let length = size.area() as usize * 3;
        let data = match actual(codec, bytes) {
            Codec::Raw if bytes.len() == length => bytes,
            Codec::Raw => {
                return Err(DecodeError::RawLength { found: bytes.len() as u64, expected: length as u64, size });
            }
            Codec::Jpeg => {
                self.library.decode(bytes, size, &mut self.pixels, &mut self.samples)?;
                &self.pixels[..length]
            }
            Codec::Png => {
                png::decode(bytes, size, &mut self.pixels, &mut self.samples)?;
                &self.pixels[..length]
            }
            codec @ Codec::Coef => return Err(DecodeError::Unsupported { codec }),
        };
        let pixels = PixelsRef::new(data, size).expect("`data` was cut to `length`");
        Ok(Region::whole(pixels))
    }

    fn check(&self, size: Size, region: Rect) -> Result<(), DecodeError> {
        self.limits.check(size)?;
        if region.size().area() == 0 || !region.fits(size) {
            return Err(DecodeError::RegionOutside { region, size });
        }
        Ok(())
    }
}

/// Above any limit: 8 bytes a pixel (16-bit RGBA) still count in an `isize`.
const MOST_PIXELS: u64 = (isize::MAX as u64) / 8;

/// The size that the bytes' own header states; nothing else is decoded.
pub fn probe(codec: Codec, bytes: &[u8]) -> Result<Size, DecodeError> {
    let size = match actual(codec, bytes) {
        Codec::Jpeg => JpegLibrary::default().probe(bytes)?,
        Codec::Png => png::probe(bytes)?,
        codec @ Codec::Raw => return Err(DecodeError::NoHeader { codec }),
        Codec::Coef => coef::header(bytes)?.size,
    };
    if size.area() == 0 { Err(DecodeError::Empty { size }) } else { Ok(size) }
}

/// The kind of image file that `bytes` begin like; `None` for anything but JPEG and PNG.
pub fn sniff(bytes: &[u8]) -> Option<Codec> {
    match bytes {
        [0xff, 0xd8, 0xff, ..] => Some(Codec::Jpeg),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Codec::Png),
        _ => None,
    }
}

/// Between JPEG and PNG the bytes decide: ImageNet's names do not tell.
fn actual(codec: Codec, bytes: &[u8]) -> Codec {
    match codec {
        Codec::Jpeg | Codec::Png => sniff(bytes).unwrap_or(codec),
        Codec::Raw | Codec::Coef => codec,
    }
}

fn same_size(found: Size, expected: Size) -> Result<(), DecodeError> {
    if found == expected { Ok(()) } else { Err(DecodeError::SizeMismatch { found, expected }) }
}

/// The first `length` bytes of a buffer that only grows.
fn grown(buffer: &mut Vec<u8>, length: usize) -> &mut [u8] {
    if buffer.len() < length {
        buffer.resize(length, 0);
    }
    &mut buffer[..length]
}
