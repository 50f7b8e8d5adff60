//! libjpeg-turbo through its TurboJPEG 3 interface; the FFI of this module.
//!
//! The library's defaults are Pillow's: accurate integer inverse DCT (`JDCT_ISLOW`), fancy upsampling, block smoothing.
//! `TJPARAM_STOPONWARNING` makes every warning (premature end, corrupt data, extraneous bytes) an error, so a truncated photo is
//! refused, not filled with gray.
//!
//! Where only a part is wanted, rows below it are not read, rows above and columns beside it only parsed; so damage below it goes
//! unseen. The part is grown to whole MCUs and by one more on every side: fancy upsampling treats a cut like an edge of the image.
//!
//! A decompressor remembers quantisation and Huffman tables from one image to the next, and a damaged file that lacks its own
//! would be decoded with those of the file before: pixels would depend on history. So each image gets a new one; making and
//! destroying it costs 0.4 microseconds beside 3.5 milliseconds for a photo (2 slow cores, November 2026).

use std::ffi::{CStr, c_int, c_void};
use std::ptr::NonNull;

use turbojpeg_sys as tj;

use super::{DecodeError, Decoded, JpegLibrary, Scratch, cmyk, grown, same_size};
use crate::image::{Rect, Size};

/// Scans of a progressive file; honest ones have about ten, a hostile one can have thousands and take minutes (libjpeg-turbo's
/// own advice and its `djpeg -maxscans` example).
pub(super) const MOST_SCANS: c_int = 500;

/// Size from the header.
pub(super) fn probe(bytes: &[u8]) -> Result<Size, DecodeError> {
    Ok(Turbo::new()?.header(bytes)?.size)
}

/// At least the pixels of `region` into the scratch. `size` has passed the limits, `region` is inside.
pub(super) fn decode(bytes: &[u8], size: Size, region: Rect, scratch: &mut Scratch) -> Result<Decoded, DecodeError> {
    let mut turbo = Turbo::new()?;
    let header = turbo.header(bytes)?;
    same_size(header.size, size)?;
    if let Some(part) = header.mcu.and_then(|mcu| grown_part(region, mcu, size)) {
        // Sampling factors that the library's names do not tell apart make it refuse the cut; then, and where the file is damaged,
        // the whole image decides.
        if let Ok(decoded) = turbo.crop(part).and_then(|()| turbo.decode(bytes, &header, part, scratch)) {
            return Ok(decoded);
        }
        turbo = Turbo::new()?;
        turbo.header(bytes)?;
    }
    turbo.decode(bytes, &header, size.rect(), scratch)
}

/// `region` grown to multiples of `mcu` and by one `mcu` on every side; `None` where that is the whole image.
fn grown_part(region: Rect, mcu: Size, image: Size) -> Option<Rect> {
    let span = |start: u32, length: u32, step: u32, full: u32| {
        let first = (start / step).saturating_sub(1) * step;
        let end = ((start + length).div_ceil(step) + 1).saturating_mul(step).min(full);
        (first, end - first)
    };
    let (x, width) = span(region.x, region.width, mcu.width, image.width);
    let (y, height) = span(region.y, region.height, mcu.height, image.height);
    let part = Rect { x, y, width, height };
    (part != image.rect()).then_some(part)
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
    /// One component.
    gray: bool,
    /// A multiple of the MCU's size in pixels, where the file can be decoded in part.
    mcu: Option<Size>,
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
        Ok(Header {
            size,
            four: matches!(space, tj::TJCS_TJCS_CMYK | tj::TJCS_TJCS_YCCK),
            gray: space == tj::TJCS_TJCS_GRAY,
            mcu: self.mcu(),
        })
    }

    /// A multiple of the MCU's size by the header's sampling; `None` for rare samplings and for lossless files.
    fn mcu(&mut self) -> Option<Size> {
        if self.get(tj::TJPARAM_TJPARAM_LOSSLESS) != 0 {
            return None;
        }
        // Some encoders write 4:4:4 and 4:4:0 with larger factors than needed, hence larger MCUs.
        match self.get(tj::TJPARAM_TJPARAM_SUBSAMP) {
            tj::TJSAMP_TJSAMP_GRAY
            | tj::TJSAMP_TJSAMP_444
            | tj::TJSAMP_TJSAMP_422
            | tj::TJSAMP_TJSAMP_420
            | tj::TJSAMP_TJSAMP_440 => Some(Size::new(16, 16)),
            tj::TJSAMP_TJSAMP_411 => Some(Size::new(32, 16)),
            _ => None,
        }
    }

    /// Makes the next decompression give only `part`, which starts at a whole MCU.
    fn crop(&mut self, part: Rect) -> Result<(), DecodeError> {
        let side = |value: u32| c_int::try_from(value).map_err(|_| jpeg_error("a side of more than 2^31"));
        let region = tj::tjregion { x: side(part.x)?, y: side(part.y)?, w: side(part.width)?, h: side(part.height)? };
        // SAFETY: the handle is live; a region that does not fit the header is refused by the library.
        let code = unsafe { tj::tj3SetCroppingRegion(self.handle.as_ptr(), region) };
        self.check(code)
    }

    /// Decodes `part`, set by [`crop`](Self::crop) or the whole image, into the scratch.
    fn decode(
        &mut self,
        bytes: &[u8],
        header: &Header,
        part: Rect,
        Scratch { pixels, samples }: &mut Scratch,
    ) -> Result<Decoded, DecodeError> {
        let area = part.size().area() as usize;
        if header.four {
            let four = grown(samples, area * 4);
            self.decompress(bytes, four, tj::TJPF_TJPF_CMYK as c_int)?;
            cmyk::inverted_to_rgb(four, grown(pixels, area * 3));
        } else if header.gray {
            self.decompress(bytes, grown(pixels, area), tj::TJPF_TJPF_GRAY as c_int)?;
        } else {
            self.decompress(bytes, grown(pixels, area * 3), tj::TJPF_TJPF_RGB as c_int)?;
        }
        Ok(Decoded { held: part, gray: header.gray })
    }

    /// Decodes into `out`, whose length is the area of the header's size or of the cut times the format's bytes a pixel.
    fn decompress(&mut self, bytes: &[u8], out: &mut [u8], format: c_int) -> Result<(), DecodeError> {
        // SAFETY: the handle is live and ours alone; `bytes` is borrowed, so the library meets the same header that `out` was sized
        // by; pitch 0 means rows without gaps of the image or of the cut, whose size the library keeps or refuses; so it writes
        // width * height * (bytes a pixel) = `out.len()` bytes.
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
