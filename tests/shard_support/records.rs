//! Records that decode, of every codec.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageFormat};
use metacl::coef;
use metacl::image::Size;
use metacl::shard::Codec;

use crate::image_support::{Dice, Picture, picture};
use crate::pictures;

/// A picture of `size`, another one for each `seed`, stored by `codec`.
pub(crate) fn record(codec: Codec, size: Size, seed: u64) -> Vec<u8> {
    let Size { width, height } = size;
    let pixels = picture(Picture::Noise, size, &mut Dice::new(seed)).into_data();
    let mut file = Cursor::new(Vec::new());
    match codec {
        Codec::Raw => return pixels,
        Codec::Coef => {
            let kind = pictures::KINDS[1 + seed as usize % 6];
            return coef::encode(&pictures::picture(seed, kind, size, 255)).unwrap();
        }
        Codec::Jpeg => {
            let mut encoder = JpegEncoder::new_with_quality(&mut file, 50);
            encoder.encode(&pixels, width, height, ExtendedColorType::Rgb8).unwrap();
        }
        Codec::Png => {
            let color = ExtendedColorType::Rgb8;
            image::write_buffer_with_format(&mut file, &pixels, width, height, color, ImageFormat::Png).unwrap();
        }
    }
    file.into_inner()
}
