//! An item of a source to the record that is stored.

use clap::ValueEnum;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use metacl::decode::{self, Decoder, Limits, Want};
use metacl::image::Size;
use metacl::shard::ingest::{Item, Payload, Reason};
use metacl::shard::{Codec, MAX_SIDE};

#[cfg(feature = "turbo")]
use super::recode::{Recoded, Recoder};

/// Of images that `--max-side` shrank.
const JPEG_QUALITY: u8 = 95;

/// How images are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Store {
    /// JPEGs as coefficients, checked pixel by pixel: decodes several times faster, about a quarter larger, lossless
    #[cfg(feature = "turbo")]
    Coef,
    /// JPEG and PNG files as they are
    Jpeg,
    /// RGB pixels: no decoding, about ten times larger
    Raw,
}

impl Default for Store {
    /// Coefficients where libjpeg-turbo, which reads them, is built in.
    fn default() -> Self {
        #[cfg(feature = "turbo")]
        return Self::Coef;
        #[cfg(not(feature = "turbo"))]
        return Self::Jpeg;
    }
}

/// What happens to an image on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) store: Store,
    /// Images with a longer side are shrunk to it.
    pub(super) max_side: Option<u32>,
    /// Decode every image once, so that damage is found now.
    pub(super) check: bool,
}

/// A record that can be stored.
pub(super) struct Prepared {
    pub(super) bytes: Vec<u8>,
    pub(super) codec: Codec,
    pub(super) size: Size,
    /// Bytes the source holds for it.
    pub(super) source_bytes: u64,
    pub(super) shrunk: bool,
    /// The kind of a JPEG that was to become coefficients and could not.
    pub(super) kept: Option<&'static str>,
}

/// A worker's decoder, resizer and recoder.
pub(super) struct Worker {
    limits: Limits,
    decoder: Decoder,
    resizer: Resizer,
    #[cfg(feature = "turbo")]
    recoder: Recoder,
}

impl Worker {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            decoder: Decoder::new(limits),
            resizer: Resizer::new(),
            #[cfg(feature = "turbo")]
            recoder: Recoder::new(limits),
        }
    }

    /// Loads `item`, judges it, shrinks and recodes it where the rules say so.
    pub(super) fn prepare(&mut self, item: &Item, rules: Rules) -> Result<Prepared, Reason> {
        let (mut bytes, mut codec, mut size) = match item.load()? {
            Payload::Raw { pixels, size } => (pixels, Codec::Raw, size),
            Payload::Encoded(bytes) => {
                let codec = decode::sniff(&bytes).ok_or(Reason::NotAnImage)?;
                let size = decode::probe(codec, &bytes).map_err(damaged)?;
                (bytes, codec, size)
            }
        };
        if size.width.max(size.height) > MAX_SIDE {
            return Err(Reason::TooLarge { size, limit: MAX_SIDE });
        }
        if size.area() > self.limits.max_pixels {
            return Err(Reason::TooManyPixels { size, max_pixels: self.limits.max_pixels });
        }
        let source_bytes = bytes.len() as u64;
        let smaller = rules.max_side.and_then(|longest| shrunk_size(size, longest));
        if let Some(smaller) = smaller {
            let pixels = self.shrink(codec, &bytes, size, smaller)?;
            (bytes, codec) = match codec {
                Codec::Jpeg | Codec::Png if rules.store != Store::Raw => (jpeg(&pixels, smaller)?, Codec::Jpeg),
                _ => (pixels, Codec::Raw),
            };
            size = smaller;
        }
        let prepared = Prepared { bytes, codec, size, source_bytes, shrunk: smaller.is_some(), kept: None };
        self.store(prepared, rules)
    }

    /// Recodes as the rules say; what stays as it came is checked.
    fn store(&mut self, mut prepared: Prepared, rules: Rules) -> Result<Prepared, Reason> {
        let Prepared { bytes, codec, size, .. } = &mut prepared;
        match rules.store {
            #[cfg(feature = "turbo")]
            Store::Coef if *codec == Codec::Jpeg => match self.recoder.recode(bytes)? {
                Recoded::Record(record) => {
                    (*bytes, *codec) = (record, Codec::Coef);
                    return Ok(prepared);
                }
                Recoded::Kept(kind) => prepared.kept = Some(kind),
            },
            Store::Raw if *codec != Codec::Raw => {
                let image = self.decoder.decode(*codec, bytes, *size, Want::all(*size)).map_err(damaged)?;
                (*bytes, *codec) = (image.pixels.interleaved(), Codec::Raw);
                return Ok(prepared);
            }
            _ => {}
        }
        if rules.check && !prepared.shrunk {
            let Prepared { bytes, codec, size, .. } = &prepared;
            self.decoder.decode(*codec, bytes, *size, Want::all(*size)).map_err(damaged)?;
        }
        Ok(prepared)
    }

    /// RGB pixels of `smaller`, antialiased Lanczos.
    fn shrink(&mut self, codec: Codec, bytes: &[u8], size: Size, smaller: Size) -> Result<Vec<u8>, Reason> {
        let image = self.decoder.decode(codec, bytes, size, Want::all(size)).map_err(damaged)?;
        let interleaved = image.pixels.interleaved();
        // One pixel type by name: the untyped call would build the kernels of all sixteen, minutes of compilation.
        let source = TypedImageRef::<U8x3>::from_buffer(size.width, size.height, &interleaved).map_err(damaged)?;
        let mut pixels = vec![0; smaller.area() as usize * 3];
        let mut target =
            TypedImage::<U8x3>::from_buffer(smaller.width, smaller.height, &mut pixels).map_err(damaged)?;
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
        self.resizer.resize_typed(&source, &mut target, &options).map_err(damaged)?;
        Ok(pixels)
    }
}

fn jpeg(pixels: &[u8], size: Size) -> Result<Vec<u8>, Reason> {
    let mut out = Vec::new();
    JpegEncoder::new_with_quality(&mut out, JPEG_QUALITY)
        .encode(pixels, size.width, size.height, ExtendedColorType::Rgb8)
        .map_err(damaged)?;
    Ok(out)
}

fn damaged(error: impl std::error::Error) -> Reason {
    Reason::Damaged(error.to_string())
}

/// `size` scaled so that its longer side is `longest`; `None` where it already fits.
fn shrunk_size(size: Size, longest: u32) -> Option<Size> {
    let longer = size.width.max(size.height);
    let scale =
        |side: u32| ((u64::from(side) * u64::from(longest) + u64::from(longer) / 2) / u64::from(longer)).max(1) as u32;
    (longer > longest).then(|| Size::new(scale(size.width), scale(size.height)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_side_becomes_the_limit() {
        assert_eq!(shrunk_size(Size::new(500, 375), 256), Some(Size::new(256, 192)));
        assert_eq!(shrunk_size(Size::new(3, 30_000), 100), Some(Size::new(1, 100)));
        assert_eq!(shrunk_size(Size::new(256, 10), 256), None);
    }
}
