//! zune-jpeg, for builds without a C compiler.
//!
//! Strict mode, which refuses damage inside the scan; a scan whose end is missing in its last row is refused by [`has_end`].

use std::io::Cursor;

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{DecodeError, Decoded, JpegLibrary, Scratch, cmyk, grown, same_size};
use crate::image::Size;

pub(super) fn probe(bytes: &[u8]) -> Result<Size, DecodeError> {
    Ok(open(bytes)?.1)
}

/// The whole image into the scratch. `size` has passed the limits.
pub(super) fn decode(bytes: &[u8], size: Size, scratch: &mut Scratch) -> Result<Decoded, DecodeError> {
    let (mut decoder, found) = open(bytes)?;
    same_size(found, size)?;
    if !has_end(bytes) {
        return Err(jpeg_error("premature end, no end marker"));
    }
    let area = size.area() as usize;
    let space = decoder.input_colorspace().ok_or_else(|| jpeg_error("unknown colour space"))?;
    let Scratch { pixels, samples } = scratch;
    match space {
        ColorSpace::Luma => {
            decoder.set_options(options(ColorSpace::Luma));
            decoder.decode_into(grown(pixels, area)).map_err(refused)?;
        }
        ColorSpace::YCbCr | ColorSpace::RGB => {
            decoder.set_options(options(ColorSpace::RGB));
            decoder.decode_into(grown(pixels, area * 3)).map_err(refused)?;
        }
        // Handed out as stored, so that the conversion is ours and Pillow's.
        ColorSpace::CMYK | ColorSpace::YCCK => {
            decoder.set_options(options(space));
            let four = grown(samples, area * 4);
            decoder.decode_into(four).map_err(refused)?;
            if space == ColorSpace::YCCK {
                cmyk::from_ycck(four);
            }
            cmyk::inverted_to_rgb(four, grown(pixels, area * 3));
        }
        other => return Err(jpeg_error(&format!("colour space {other:?} is not one of photos"))),
    }
    Ok(Decoded { held: size.rect(), gray: space == ColorSpace::Luma })
}

type Opened<'a> = JpegDecoder<Cursor<&'a [u8]>>;

fn open(bytes: &[u8]) -> Result<(Opened<'_>, Size), DecodeError> {
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(bytes), options(ColorSpace::RGB));
    decoder.decode_headers().map_err(refused)?;
    let info = decoder.info().ok_or_else(|| jpeg_error("no image in the file"))?;
    Ok((decoder, Size::new(info.width.into(), info.height.into())))
}

fn options(space: ColorSpace) -> DecoderOptions {
    // A JPEG's sides are 16 bits; zune's own limit of 2^14 would refuse large photos that `Limits` allows.
    DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(space)
}

/// Whether an end marker follows the first start of scan.
fn has_end(bytes: &[u8]) -> bool {
    // Nearly every file ends with it; otherwise look, for there may be garbage behind it. Thumbnails have one too, in a segment
    // before the scan: segments are stepped over.
    if bytes.ends_with(&[0xff, 0xd9]) {
        return true;
    }
    let mut at = 2;
    while let Some(&[0xff, marker, high, low]) = bytes.get(at..at + 4) {
        if marker == 0xda {
            return bytes[at..].windows(2).any(|pair| pair == [0xff, 0xd9]);
        }
        // A fill byte may precede a marker.
        at += if marker == 0xff { 1 } else { 2 + usize::from(u16::from_be_bytes([high, low])) };
    }
    false
}

fn refused(error: zune_jpeg::errors::DecodeErrors) -> DecodeError {
    jpeg_error(&format!("{error:?}").replace('\n', " "))
}

fn jpeg_error(message: &str) -> DecodeError {
    DecodeError::Jpeg { library: JpegLibrary::Zune, message: message.to_owned() }
}
