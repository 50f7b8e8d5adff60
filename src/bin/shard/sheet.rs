//! Contact sheets: thumbnails of samples in rows, on one picture.

use image::imageops;
use image::{Rgb, RgbImage};
use metacl::coef;
use metacl::decode::{Decoder, Limits, Want};
use metacl::image::{Planes, Size};
use metacl::shard::{Codec, ShardSet};

use super::Failure;

/// Most samples of a sheet: 64 rows of as many.
pub(super) const MOST: u32 = 64 * 64;

/// Width and height that a thumbnail may have, in pixels: an eighth of usual photos.
const CELL: u32 = 64;
/// Pixels between two cells, and around them.
const GAP: u32 = 2;
const BACKGROUND: Rgb<u8> = Rgb([32, 32, 32]);

/// Thumbnails of at most `samples` samples, none larger than `limits`, spread evenly over `set`: RGB pixels, HWC, their size, and how many are shown.
pub(super) fn draw(set: &ShardSet, samples: u32, limits: Limits) -> Result<(Vec<u8>, Size, u64), Failure> {
    let shown = set.len().min(samples.into());
    let columns = shown.isqrt() + u64::from(shown.isqrt().pow(2) < shown);
    let size = Size::new(start(columns), start(shown.div_ceil(columns)));
    let mut sheet = RgbImage::from_pixel(size.width, size.height, BACKGROUND);
    let mut painter = Painter { decoder: Decoder::new(limits), planes: Planes::default() };
    for place in 0..shown {
        let thumbnail = painter.thumbnail(set, place * set.len() / shown)?;
        let middle = |cell: u64, side: u32| i64::from(start(cell) + (CELL - side) / 2);
        let (x, y) = (middle(place % columns, thumbnail.width()), middle(place / columns, thumbnail.height()));
        imageops::replace(&mut sheet, &thumbnail, x, y);
    }
    Ok((sheet.into_raw(), size, shown))
}

/// First column (or row) of a cell.
fn start(cell: u64) -> u32 {
    GAP + cell as u32 * (CELL + GAP)
}

struct Painter {
    decoder: Decoder,
    planes: Planes,
}

impl Painter {
    fn thumbnail(&mut self, set: &ShardSet, index: u64) -> Result<RgbImage, Failure> {
        let (info, record) = (set.info(index)?, set.record(index)?);
        let (pixels, size) = match info.codec {
            Codec::Coef => {
                coef::preview(&record, &mut self.planes)?;
                (self.planes.as_ref().interleaved(), self.planes.size())
            }
            codec => {
                let region = self.decoder.decode(codec, &record, info.size, Want::all(info.size))?;
                (region.pixels.interleaved(), info.size)
            }
        };
        set.examine(index, false)?;
        let image = RgbImage::from_raw(size.width, size.height, pixels)
            .ok_or_else(|| Failure::Failed(format!("internal error at sample {index}; please report it")))?;
        let longest = size.width.max(size.height);
        if longest <= CELL {
            return Ok(image);
        }
        let shrunk = |side: u32| (u64::from(side) * u64::from(CELL) / u64::from(longest)).max(1) as u32;
        Ok(imageops::thumbnail(&image, shrunk(size.width), shrunk(size.height)))
    }
}
