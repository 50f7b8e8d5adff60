//! PNG through the image crate, as Pillow's `convert("RGB")` shows it: palettes and low depths expanded, gray copied to three
//! channels, alpha dropped (not blended), gamma and colour profiles ignored.
//!
//! 16-bit samples keep their high byte, which is Pillow's rule for all kinds but 16-bit gray: there Pillow 11 clips at 255, which
//! turns nearly every such picture white; here the high byte is kept too.

use std::io::Cursor;

use image::codecs::png::PngDecoder;
use image::{ColorType, ImageDecoder, ImageError, Limits};

use super::{DecodeError, Decoded, Scratch, grown, same_size};
use crate::image::Size;

/// For palettes, profiles and text beside the pixels.
const ANCILLARY_BYTES: u64 = 64 << 20;

pub(super) fn probe(bytes: &[u8]) -> Result<Size, DecodeError> {
    Ok(open(bytes, ANCILLARY_BYTES)?.1)
}

/// The whole image into the scratch. `size` has passed the limits.
pub(super) fn decode(bytes: &[u8], size: Size, scratch: &mut Scratch) -> Result<Decoded, DecodeError> {
    let (decoder, found) = open(bytes, size.area().saturating_mul(8) + ANCILLARY_BYTES)?;
    same_size(found, size)?;
    let area = size.area() as usize;
    let kind = decoder.color_type();
    let gray = matches!(kind, ColorType::L8 | ColorType::La8 | ColorType::L16 | ColorType::La16);
    let pixels = grown(&mut scratch.pixels, if gray { area } else { area * 3 });
    if matches!(kind, ColorType::L8 | ColorType::Rgb8) {
        decoder.read_image(pixels).map_err(refused)?;
        return Ok(Decoded { held: size.rect(), gray });
    }
    let stored = grown(&mut scratch.samples, area * usize::from(kind.bytes_per_pixel()));
    decoder.read_image(stored).map_err(refused)?;
    match kind {
        ColorType::La8 => convert::<2, 1>(stored, pixels, |p| [p[0]]),
        ColorType::Rgba8 => convert::<4, 3>(stored, pixels, |p| [p[0], p[1], p[2]]),
        ColorType::L16 => convert::<2, 1>(stored, pixels, |p| [high(p, 0)]),
        ColorType::La16 => convert::<4, 1>(stored, pixels, |p| [high(p, 0)]),
        ColorType::Rgb16 => convert::<6, 3>(stored, pixels, |p| [high(p, 0), high(p, 1), high(p, 2)]),
        ColorType::Rgba16 => convert::<8, 3>(stored, pixels, |p| [high(p, 0), high(p, 1), high(p, 2)]),
        other => return Err(DecodeError::Png { message: format!("colour type {other:?} is unknown") }),
    }
    Ok(Decoded { held: size.rect(), gray })
}

type Opened<'a> = PngDecoder<Cursor<&'a [u8]>>;

fn open(bytes: &[u8], max_bytes: u64) -> Result<(Opened<'_>, Size), DecodeError> {
    check_palette(bytes)?;
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(max_bytes);
    let decoder = PngDecoder::with_limits(Cursor::new(bytes), limits).map_err(refused)?;
    let (width, height) = decoder.dimensions();
    Ok((decoder, Size::new(width, height)))
}

/// Refuses a palette whose length is no multiple of 3: png 0.18.1 panics at it (image-png's pull request 682, in no release yet).
fn check_palette(bytes: &[u8]) -> Result<(), DecodeError> {
    let mut rest = bytes.get(8..).unwrap_or_default();
    while let Some((&[a, b, c, d, ref kind @ ..], data)) = rest.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([a, b, c, d]);
        match kind {
            b"PLTE" if length % 3 != 0 => {
                return Err(DecodeError::Png { message: format!("a palette of {length} bytes, no multiple of 3") });
            }
            b"IDAT" => break,
            _ => {}
        }
        // Behind the data comes a checksum of 4 bytes.
        rest = (length as usize).checked_add(4).and_then(|skip| data.get(skip..)).unwrap_or_default();
    }
    Ok(())
}

/// Pixels of `FROM` bytes to pixels of `TO` bytes.
fn convert<const FROM: usize, const TO: usize>(stored: &[u8], out: &mut [u8], pixel: impl Fn(&[u8]) -> [u8; TO]) {
    for (from, to) in stored.chunks_exact(FROM).zip(out.chunks_exact_mut(TO)) {
        to.copy_from_slice(&pixel(from));
    }
}

/// High byte of 16-bit sample `index`; the decoder writes them in the machine's order.
fn high(pixel: &[u8], index: usize) -> u8 {
    (u16::from_ne_bytes([pixel[2 * index], pixel[2 * index + 1]]) >> 8) as u8
}

fn refused(error: ImageError) -> DecodeError {
    DecodeError::Png { message: error.to_string().replace('\n', " ") }
}
