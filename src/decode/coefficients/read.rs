//! A JPEG file to coefficients and pixels.

use std::ffi::{CStr, c_int};
use std::ptr::{self, NonNull};

use super::{ffi, in_range};
use crate::coef::{Coefficients, ColourSpace, Component};
use crate::decode::turbo::{MOST_SCANS, jpeg_error};
use crate::decode::{DecodeError, Limits, grown};
use crate::image::Size;

/// Why a JPEG gives no coefficients.
#[derive(Debug, thiserror::Error)]
pub enum CoefficientsError {
    /// The file may be sound, but is of a kind whose coefficients are not taken; what kind.
    #[error("coefficients of {0} JPEGs are not taken; keep the file")]
    NotCovered(&'static str),
    /// The file is damaged, empty or too large.
    #[error(transparent)]
    Broken(#[from] DecodeError),
}

/// The coefficients of a JPEG file; with `pixels`, whose buffer only grows, also its RGB pixels (HWC, `height * width * 3` bytes at
/// the front) as [`Decoder`](crate::decode::Decoder) with libjpeg-turbo gives them. The entropy code is undone once for both.
///
/// Every kind of libjpeg-turbo with 8-bit samples and gray, YCbCr or RGB colours: baseline, progressive, arithmetic, any sampling.
///
/// # Errors
/// [`CoefficientsError::NotCovered`] for other kinds; it says nothing about damage. Otherwise as for decoding: damage, also such
/// that libjpeg only warns about, and a size beyond `limits`, before anything of that size is allocated.
pub fn jpeg_coefficients(
    bytes: &[u8],
    limits: Limits,
    pixels: Option<&mut Vec<u8>>,
) -> Result<Coefficients, CoefficientsError> {
    let mut reader = Reader::open(bytes)?;
    let size = Size::new(reader.header.width, reader.header.height);
    limits.check(size)?;
    let space = covered(&reader.header)?;
    let rgb = pixels.map(|pixels| grown(pixels, size.area() as usize * 3));
    reader.read(rgb)?;
    let components = (0..space.components()).map(|index| reader.component(index)).collect::<Result<_, _>>()?;
    let mut coefficients = Coefficients { size, space, components };
    if space == ColourSpace::Gray {
        // A single component is not interleaved: its factors mean nothing.
        coefficients.components[0].sampling = (1, 1);
    }
    Ok(coefficients)
}

fn covered(header: &ffi::Header) -> Result<ColourSpace, CoefficientsError> {
    let kind = match header {
        ffi::Header { lossless: 1.., .. } => "lossless",
        ffi::Header { precision: 9.., .. } => "12-bit",
        ffi::Header { components: 1, space: ffi::GRAY, .. } => return Ok(ColourSpace::Gray),
        ffi::Header { components: 3, space: ffi::YCBCR, .. } => return Ok(ColourSpace::YCbCr),
        ffi::Header { components: 3, space: ffi::RGB, .. } => return Ok(ColourSpace::Rgb),
        ffi::Header { components: 4, .. } => "CMYK",
        _ => "other-colour",
    };
    Err(CoefficientsError::NotCovered(kind))
}

/// A reader that has read the header of `bytes`, which libjpeg points into.
struct Reader<'a> {
    raw: NonNull<ffi::Reader>,
    header: ffi::Header,
    _bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        // SAFETY: no precondition; null means that it failed.
        let raw = unsafe { ffi::metacl_jpeg_new() };
        let raw = NonNull::new(raw).ok_or_else(|| jpeg_error("no memory for a decompressor"))?;
        let mut reader = Self { raw, header: ffi::Header::default(), _bytes: bytes };
        // SAFETY: the reader is live and fresh; pointer and length are those of `bytes`, which `'a` keeps alive; the header is ours.
        let code = unsafe { ffi::metacl_jpeg_open(raw.as_ptr(), bytes.as_ptr(), bytes.len(), &mut reader.header) };
        reader.check(code)?;
        Ok(reader)
    }

    /// Undoes the entropy code; `rgb`, where given, has the image's area times 3 bytes.
    fn read(&mut self, rgb: Option<&mut [u8]>) -> Result<(), DecodeError> {
        let area = u64::from(self.header.width) * u64::from(self.header.height);
        assert!(rgb.as_ref().is_none_or(|rgb| rgb.len() as u64 == 3 * area), "a buffer of another size");
        let rgb = rgb.map_or(ptr::null_mut(), <[u8]>::as_mut_ptr);
        // SAFETY: the reader is live and open, and called once; it writes `3 * area` bytes to `rgb`, checked above, unless null.
        let code = unsafe { ffi::metacl_jpeg_read(self.raw.as_ptr(), MOST_SCANS, rgb) };
        self.check(code)
    }

    /// Component `index`, below `header.components`; after `read` went well.
    fn component(&mut self, index: usize) -> Result<Component, CoefficientsError> {
        assert!((index as i32) < self.header.components, "component {index} of {}", self.header.components);
        let mut info = ffi::Component::EMPTY;
        // SAFETY: the reader is live and has read; `index` is one of its components.
        unsafe { ffi::metacl_jpeg_component(self.raw.as_ptr(), index as c_int, &mut info) };
        if info.has_table == 0 {
            return Err(CoefficientsError::NotCovered("incomplete"));
        }
        let (columns, rows) = (info.columns as usize, info.rows as usize);
        let mut blocks: Vec<[i16; 64]> = Vec::with_capacity(columns * rows);
        // SAFETY: as above; it writes `rows * columns` blocks, for which there is room.
        let code = unsafe { ffi::metacl_jpeg_blocks(self.raw.as_ptr(), index as c_int, blocks.as_mut_ptr()) };
        self.check(code)?;
        // SAFETY: all of them were written.
        unsafe { blocks.set_len(columns * rows) };
        if !in_range(&blocks) {
            return Err(CoefficientsError::NotCovered("overflowing"));
        }
        // libjpeg takes factors of 1 to 4.
        let sampling = (info.h as u8, info.v as u8);
        Ok(Component { sampling, quantisation: info.quantisation, columns, rows, blocks })
    }

    fn check(&self, code: c_int) -> Result<(), DecodeError> {
        if code != 0 {
            return Ok(());
        }
        // SAFETY: the reader is live; its message ends in zero and is not written during this borrow.
        let message = unsafe { CStr::from_ptr(ffi::metacl_jpeg_message(self.raw.as_ptr())) };
        Err(jpeg_error(&message.to_string_lossy().replace('\n', " ")))
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        // SAFETY: the reader is live and not used again.
        unsafe { ffi::metacl_jpeg_close(self.raw.as_ptr()) }
    }
}
