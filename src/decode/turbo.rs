//! libjpeg-turbo through its TurboJPEG 3 interface; the FFI of this module.
//!
//! The library's defaults are Pillow's: accurate integer inverse DCT (`JDCT_ISLOW`), fancy upsampling, block smoothing.
//! `TJPARAM_STOPONWARNING` makes every warning (premature end, corrupt data, extraneous bytes) an error, so a truncated photo is
//! refused, not filled with gray.
//!
//! A decompressor remembers quantisation and Huffman tables from one image to the next, and a damaged file that lacks its own
//! would be decoded with those of the file before: pixels would depend on history. So each image gets a new one; making and
//! destroying it costs 0.4 microseconds beside 3.5 milliseconds for a photo (2 slow cores, November 2026).

use std::ffi::{CStr, c_int, c_void};
use std::ptr::NonNull;

use turbojpeg_sys as tj;

use super::{DecodeError, JpegLibrary, cmyk, grown, same_size};
use crate::image::Size;

/// Scans of a progressive file; honest ones have about ten, a hostile one can have thousands and take minutes (libjpeg-turbo's
/// own advice and its `djpeg -maxscans` example).
pub(super) const MOST_SCANS: c_int = 500;

/// Size from the header.
pub(super) fn probe(bytes: &[u8]) -> Result<Size, DecodeError> {
    Ok(Turbo::new()?.header(bytes)?.size)
}

/// RGB into the front of `pixels`. `size` has passed the limits.
pub(super) fn decode(bytes: &[u8], size: Size, pixels: &mut Vec<u8>, samples: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut turbo = Turbo::new()?;
    let header = turbo.header(bytes)?;
    same_size(header.size, size)?;
    let area = size.area() as usize;
    if header.four {
        let four = grown(samples, area * 4);
        turbo.decompress(bytes, four, tj::TJPF_TJPF_CMYK as c_int)?;
        cmyk::inverted_to_rgb(four, grown(pixels, area * 3));
        return Ok(());
    }
    turbo.decompress(bytes, grown(pixels, area * 3), tj::TJPF_TJPF_RGB as c_int)
}

/// A TurboJPEG decompressor for one image.
struct Turbo {
    handle: NonNull<c_void>,
}

/// What a JPEG's header states.
struct Header {
    size: Size,
    /// Four components: CMYK or YCCK.
    four: bool,
}

impl Turbo {
    fn new() -> Result<Self, DecodeError> {
        // SAFETY: `tj3Init` has no precondition; null means that it failed.
        let handle = unsafe { tj::tj3Init(tj::TJINIT_TJINIT_DECOMPRESS as c_int) };
        let handle = NonNull::new(handle).ok_or_else(|| jpeg_error("no memory for a decompressor"))?;
        let mut turbo = Self { handle };
        turbo.set(tj::TJPARAM_TJPARAM_STOPONWARNING, 1)?;
        turbo.set(tj::TJPARAM_TJPARAM_SCANLIMIT, MOST_SCANS)?;
        // Colour profiles are not applied, so they need not be collected.
        turbo.set(tj::TJPARAM_TJPARAM_SAVEMARKERS, 0)?;
        Ok(turbo)
    }

    /// Size and kind, from the header alone.
    fn header(&mut self, bytes: &[u8]) -> Result<Header, DecodeError> {
        // SAFETY: the handle is live and ours alone; the pointer and length are those of `bytes`.
        let code = unsafe { tj::tj3DecompressHeader(self.handle.as_ptr(), bytes.as_ptr(), bytes.len() as tj::size_t) };
        self.check(code)?;
        // A file of tables alone is no error to the library; then its width is -1.
        let side = |value: c_int| u32::try_from(value).map_err(|_| jpeg_error("no image in the file"));
        let size =
            Size::new(side(self.get(tj::TJPARAM_TJPARAM_JPEGWIDTH))?, side(self.get(tj::TJPARAM_TJPARAM_JPEGHEIGHT))?);
        let space = self.get(tj::TJPARAM_TJPARAM_COLORSPACE) as tj::TJCS;
        Ok(Header { size, four: matches!(space, tj::TJCS_TJCS_CMYK | tj::TJCS_TJCS_YCCK) })
    }

    /// Decodes into `out`, whose length is the header's area times the format's bytes a pixel.
    fn decompress(&mut self, bytes: &[u8], out: &mut [u8], format: c_int) -> Result<(), DecodeError> {
        // SAFETY: the handle is live and ours alone; `bytes` is borrowed, so the library meets the same header that `out` was sized
        // by; pitch 0 means rows without gaps, so it writes width * height * (bytes a pixel) = `out.len()` bytes.
        let code = unsafe {
            tj::tj3Decompress8(
                self.handle.as_ptr(),
                bytes.as_ptr(),
                bytes.len() as tj::size_t,
                out.as_mut_ptr(),
                0,
                format,
            )
        };
        self.check(code)
    }

    fn set(&mut self, parameter: tj::TJPARAM, value: c_int) -> Result<(), DecodeError> {
        // SAFETY: the handle is live; unknown parameters and values are refused by the library.
        let code = unsafe { tj::tj3Set(self.handle.as_ptr(), parameter as c_int, value) };
        self.check(code)
    }

    fn get(&mut self, parameter: tj::TJPARAM) -> c_int {
        // SAFETY: the handle is live; an unknown parameter gives -1.
        unsafe { tj::tj3Get(self.handle.as_ptr(), parameter as c_int) }
    }

    fn check(&mut self, code: c_int) -> Result<(), DecodeError> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: the handle is live; the library returns a string of its own that ends in zero and lives until the next call.
        let message = unsafe { CStr::from_ptr(tj::tj3GetErrorStr(self.handle.as_ptr())) };
        Err(jpeg_error(&message.to_string_lossy().replace('\n', " ")))
    }
}

impl Drop for Turbo {
    fn drop(&mut self) {
        // SAFETY: the handle is live and is not used again.
        unsafe { tj::tj3Destroy(self.handle.as_ptr()) }
    }
}

pub(super) fn jpeg_error(message: &str) -> DecodeError {
    DecodeError::Jpeg { library: JpegLibrary::Turbo, message: message.to_owned() }
}
