//! JPEG files of every kind that libjpeg-turbo writes.
#![allow(dead_code, unreachable_pub, reason = "shared by test files, each of which uses its part")]

use std::ffi::c_int;
use std::ptr;

use metacl::image::Size;
use turbojpeg_sys as tj;

/// One kind of file.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// How the pixels are given: RGB, or four bytes of CMYK as they are to be stored.
    pub format: tj::TJPF,
    /// Colour space in the file.
    pub space: tj::TJCS,
    /// Chroma subsampling.
    pub sampling: tj::TJSAMP,
    /// Many scans, each refining.
    pub progressive: bool,
    /// Arithmetic instead of Huffman coding.
    pub arithmetic: bool,
    /// MCU rows between restart markers, 0 for none.
    pub restart: c_int,
    /// 1 to 100.
    pub quality: c_int,
}

impl Kind {
    /// Whether a pixel has four samples.
    pub fn four(&self) -> bool {
        self.format == tj::TJPF_TJPF_CMYK
    }

    /// Bytes of the pixels of an image of `size`.
    pub fn bytes(&self, size: Size) -> usize {
        size.area() as usize * if self.four() { 4 } else { 3 }
    }
}

/// A plain 4:2:0 photo.
pub const PLAIN: Kind = Kind {
    format: tj::TJPF_TJPF_RGB,
    space: tj::TJCS_TJCS_YCbCr,
    sampling: tj::TJSAMP_TJSAMP_420,
    progressive: false,
    arithmetic: false,
    restart: 0,
    quality: 90,
};

/// Every kind the tests know, by name.
pub fn kinds() -> Vec<(&'static str, Kind)> {
    let sampled = |sampling| Kind { sampling, ..PLAIN };
    let four = Kind { format: tj::TJPF_TJPF_CMYK, sampling: tj::TJSAMP_TJSAMP_444, ..PLAIN };
    vec![
        ("4:4:4", sampled(tj::TJSAMP_TJSAMP_444)),
        ("4:2:2", sampled(tj::TJSAMP_TJSAMP_422)),
        ("4:2:0", PLAIN),
        ("4:4:0", sampled(tj::TJSAMP_TJSAMP_440)),
        ("4:1:1", sampled(tj::TJSAMP_TJSAMP_411)),
        ("gray", Kind { space: tj::TJCS_TJCS_GRAY, ..sampled(tj::TJSAMP_TJSAMP_GRAY) }),
        ("RGB", Kind { space: tj::TJCS_TJCS_RGB, ..sampled(tj::TJSAMP_TJSAMP_444) }),
        ("restarts", Kind { restart: 1, ..PLAIN }),
        ("progressive", Kind { progressive: true, ..PLAIN }),
        ("progressive 4:4:4", Kind { progressive: true, ..sampled(tj::TJSAMP_TJSAMP_444) }),
        ("CMYK", Kind { space: tj::TJCS_TJCS_CMYK, ..four }),
        ("YCCK", Kind { space: tj::TJCS_TJCS_YCCK, ..four }),
        ("YCCK progressive", Kind { space: tj::TJCS_TJCS_YCCK, progressive: true, ..four }),
        ("arithmetic", Kind { arithmetic: true, ..PLAIN }),
    ]
}

/// Writes `pixels` (3 or 4 bytes each, by the kind's format) of `size` as a JPEG of that kind.
pub fn encode(pixels: &[u8], size: Size, kind: Kind) -> Vec<u8> {
    assert_eq!(pixels.len(), kind.bytes(size));
    // SAFETY: the handle is made, used and destroyed here; the library reads `kind.bytes` = `pixels.len()` bytes,
    // allocates `out` itself and says its length; `out` is copied before it is freed.
    unsafe {
        let handle = tj::tj3Init(tj::TJINIT_TJINIT_COMPRESS as c_int);
        assert!(!handle.is_null());
        for (parameter, value) in [
            (tj::TJPARAM_TJPARAM_QUALITY, kind.quality),
            (tj::TJPARAM_TJPARAM_SUBSAMP, kind.sampling as c_int),
            (tj::TJPARAM_TJPARAM_COLORSPACE, kind.space as c_int),
            (tj::TJPARAM_TJPARAM_PROGRESSIVE, kind.progressive.into()),
            (tj::TJPARAM_TJPARAM_ARITHMETIC, kind.arithmetic.into()),
            (tj::TJPARAM_TJPARAM_RESTARTROWS, kind.restart),
        ] {
            assert_eq!(tj::tj3Set(handle, parameter as c_int, value), 0, "{kind:?}");
        }
        let (mut out, mut length) = (ptr::null_mut(), 0);
        let (width, height) = (size.width as c_int, size.height as c_int);
        let code =
            tj::tj3Compress8(handle, pixels.as_ptr(), width, 0, height, kind.format as c_int, &mut out, &mut length);
        assert_eq!(code, 0, "{kind:?}");
        let bytes = std::slice::from_raw_parts(out, length as usize).to_vec();
        tj::tj3Free(out.cast());
        tj::tj3Destroy(handle);
        bytes
    }
}
