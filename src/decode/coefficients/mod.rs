//! JPEG files to their quantised coefficients and back, without loss.
//!
//! - `read`: [`jpeg_coefficients`], coefficients and pixels of one pass. `write`: [`write_jpeg`].
//! - `shim.c`: libjpeg's own interface, compiled against the libjpeg-turbo that turbojpeg-sys builds; `ffi`: its declarations.
//!   TurboJPEG's interface, which [`turbo`](super::turbo) uses, shows no coefficients.
//!
//! Not here: how coefficients are stored (`coef`).

mod ffi;
mod read;
mod write;

pub use read::{CoefficientsError, jpeg_coefficients};
pub use write::{WriteJpegError, write_jpeg};

/// Whether baseline Huffman codes reach every coefficient (ITU-T T.81, tables F.1 and F.2): DC in -1024..=1023, so that two differ
/// by less than 2^11, AC in -1023..=1023. Encoders of 8-bit samples make no others.
fn in_range(blocks: &[[i16; 64]]) -> bool {
    let largest_bits = |values: &[i16]| values.iter().fold(0, |all, value| all | value.unsigned_abs());
    // Whole blocks first: a loop of a fixed length becomes vector code.
    blocks.iter().all(|block| {
        largest_bits(block.as_slice()) < 1024 || (-1024..=1023).contains(&block[0]) && largest_bits(&block[1..]) < 1024
    })
}
