//! Record bytes to pixels: what the views need, once per sample.
//!
//! RGB, u8, planar, as Pillow's `Image.open(f).convert("RGB")` gives it; an EXIF orientation is ignored, as torchvision's loader does.
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

use crate::coef::{self, Expander, Path};
use crate::image::{PixelsRef, Planes, PlanesRef, Rect, Size};
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
    /// This rectangle, in full-size source pixels.
    pub region: Rect,
    /// Compare the checksums within the record of what is read, where it has some (coefficient records).
    pub verify: bool,
}

impl Want {
    /// The whole image of `size`, checksums compared.
    pub const fn all(size: Size) -> Self {
        Self { region: size.rect(), verify: true }
    }
}

/// Decoded pixels and where they lie in the full image.
#[derive(Clone, Copy)]
pub struct Region<'a> {
    /// The pixels.
    pub pixels: PlanesRef<'a>,
    /// Column of the full image that the first pixel stands in.
    pub x: u32,
    /// Row of the full image that the first pixel stands in.
    pub y: u32,
}

impl<'a> Region<'a> {
    /// A whole image.
    pub const fn whole(pixels: PlanesRef<'a>) -> Self {
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
    planes: Planes,
    scratch: Scratch,
    expander: Expander,
}

/// What the image libraries write into.
#[derive(Default)]
struct Scratch {
    /// RGB, HWC, or one byte a pixel.
    pixels: Vec<u8>,
    /// Samples before they become RGB (CMYK, alpha, 16 bits).
    samples: Vec<u8>,
}

/// What [`Scratch::pixels`] holds.
struct Decoded {
    /// This part of the image.
    held: Rect,
    /// One byte a pixel instead of three.
    gray: bool,
}

impl Decoder {
    /// A decoder with the best JPEG library of this build.
    pub fn new(limits: Limits) -> Self {
        Self::with_library(limits, JpegLibrary::default())
    }

    /// A decoder with a JPEG library of your choice.
    pub fn with_library(limits: Limits, library: JpegLibrary) -> Self {
        let expander = Expander::new(Path::Fastest);
        Self { limits, library, planes: Planes::default(), scratch: Scratch::default(), expander }
    }

    /// The pixels of a record, those of `want`. Damage in what need not be read for them may go unseen.
    ///
    /// `size` is the index's: it is checked against the limits before anything is allocated, and bytes that hold an image of
    /// another size are an error.
    pub fn decode(&mut self, codec: Codec, bytes: &[u8], size: Size, want: Want) -> Result<Region<'_>, DecodeError> {
        self.check(size, want.region)?;
        match actual(codec, bytes) {
            Codec::Raw => {
                let pixels = PixelsRef::new(bytes, size).ok_or(DecodeError::RawLength {
                    found: bytes.len() as u64,
                    expected: size.area() * 3,
                    size,
                })?;
                self.planes.copy_part(pixels, want.region);
            }
            Codec::Jpeg => {
                let decoded = self.library.decode(bytes, size, want.region, &mut self.scratch)?;
                self.keep(&decoded, want.region);
            }
            Codec::Png => {
                let decoded = png::decode(bytes, size, &mut self.scratch)?;
                self.keep(&decoded, want.region);
            }
            Codec::Coef => self.expander.expand(bytes, size, want.region, want.verify, &mut self.planes)?,
        }
        Ok(Region { pixels: self.planes.as_ref(), x: want.region.x, y: want.region.y })
    }

    /// Copies `region` out of what a library decoded.
    fn keep(&mut self, decoded: &Decoded, region: Rect) {
        let held = decoded.held;
        let part = Rect { x: region.x - held.x, y: region.y - held.y, ..region };
        let area = held.size().area() as usize;
        if decoded.gray {
            self.planes.copy_gray_part(&self.scratch.pixels[..area], held.width, part);
        } else {
            let pixels = &self.scratch.pixels[..3 * area];
            self.planes.copy_part(PixelsRef::new(pixels, held.size()).expect("cut to its length"), part);
        }
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

/// Whether decoding a part of a record takes time in proportion to the part. The entropy-coded data of a JPEG or PNG must be read
/// from its start whatever is wanted.
pub const fn reads_parts(codec: Codec) -> bool {
    matches!(codec, Codec::Raw | Codec::Coef)
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
