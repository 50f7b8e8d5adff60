//! Contact sheets: the views of some images as a batch holds them, on one picture, grouped by class, support and query marked.
//!
//! - [`Sheet`]: what is drawn. `font`: letters of 3x5 dots for its captions.
//!
//! Not here: how views are drawn and rendered (`augment`, `loader`), files and programs.

mod font;

use image::codecs::png::PngEncoder;
use image::imageops::{self, FilterType};
use image::{ExtendedColorType, ImageEncoder, ImageError, Rgb, RgbImage};

use crate::loader::Batch;

/// Frame of a support view.
pub const SUPPORT: [u8; 3] = [0x3b, 0x82, 0xf6];
/// Frame of a query view.
pub const QUERY: [u8; 3] = [0xf5, 0x9e, 0x0b];
/// Frame of a view whose head tells no roles apart.
pub const VIEW: [u8; 3] = [0x8a, 0x8f, 0x98];

const BACKGROUND: Rgb<u8> = Rgb([0x18, 0x1a, 0x1f]);
const TEXT: Rgb<u8> = Rgb([0xe6, 0xe8, 0xeb]);
/// Side of a view on the sheet, in pixels: small ones are magnified by whole factors, large ones shrunk.
const CELL: u32 = 96;
/// Pixels of a view's frame.
const FRAME: u32 = 3;
/// Pixels between the views of a class.
const GAP: u32 = 3;
/// Pixels between classes, and around them.
const MARGIN: u32 = 14;
/// Pixels to a dot of a letter.
const DOT: u32 = 2;
/// Height of a caption with the room below it.
const CAPTION: u32 = font::HEIGHT * DOT + 6;
/// About as wide as a sheet becomes.
const WIDTH: u32 = 1200;

/// What a view is to its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// One of the first `n_supp`.
    Support,
    /// One after them.
    Query,
    /// The head compares all with all.
    View,
}

impl Part {
    /// The part of view `view` where the first `n_supp` are the support; without a number there are no roles.
    pub fn of(view: usize, n_supp: Option<usize>) -> Self {
        match n_supp {
            None => Part::View,
            Some(n_supp) if view < n_supp => Part::Support,
            Some(_) => Part::Query,
        }
    }

    /// Colour of its frame.
    pub const fn colour(self) -> [u8; 3] {
        match self {
            Part::Support => SUPPORT,
            Part::Query => QUERY,
            Part::View => VIEW,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Part::Support => "SUPPORT",
            Part::Query => "QUERY",
            Part::View => "VIEW",
        }
    }
}

/// The views of some classes, ready to be drawn.
#[derive(Debug)]
pub struct Sheet {
    /// Side of a view as it is given.
    size: u32,
    /// Side of a view on the sheet.
    side: u32,
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    caption: String,
    views: Vec<(Part, RgbImage)>,
}

impl Sheet {
    /// An empty sheet of views of `size` pixels a side.
    pub fn new(size: u32) -> Self {
        let side = if size <= CELL { size * (CELL / size.max(1)) } else { CELL };
        Self { size, side, groups: Vec::new() }
    }

    /// Adds the first `most` classes of `batch`, whose values are u8, under the names of `classes` or else the sample's number.
    ///
    /// The first `n_supp` views of a class are its support; `None`: the head tells no roles apart.
    pub fn add(&mut self, batch: &Batch, most: usize, n_supp: Option<usize>, classes: &[String]) {
        let plan = batch.plan();
        let bytes = 3 * (self.size as usize).pow(2);
        for class in 0..plan.layout.classes.min(most) {
            let image = class % plan.images();
            let name = classes.get(plan.labels[image] as usize).cloned();
            let caption = name.unwrap_or_else(|| format!("#{}", plan.samples[image]));
            let row = |view| {
                let start = plan.layout.row(view, class) * bytes;
                Some((Part::of(view, n_supp), batch.bytes().get(start..start + bytes)?))
            };
            self.push(caption, (0..plan.layout.views).filter_map(row));
        }
    }

    /// Adds a class: its views, each of `3 * size * size` bytes, planar RGB, as a batch holds them. Views of another length are left out.
    fn push<'a>(&mut self, caption: String, views: impl Iterator<Item = (Part, &'a [u8])>) {
        let drawn = views.filter_map(|(part, bytes)| Some((part, thumbnail(self.size, self.side, bytes)?)));
        let views = drawn.collect();
        self.groups.push(Group { caption, views });
    }

    /// The picture as a PNG file.
    ///
    /// # Errors
    /// Where the encoder refuses, as for a picture of no pixels.
    pub fn png(&self) -> Result<Vec<u8>, ImageError> {
        let picture = self.draw();
        let mut file = Vec::new();
        let (width, height) = picture.dimensions();
        PngEncoder::new(&mut file).write_image(&picture, width, height, ExtendedColorType::Rgb8)?;
        Ok(file)
    }

    fn draw(&self) -> RgbImage {
        let views = self.groups.iter().map(|group| group.views.len() as u32).max().unwrap_or(0).max(1);
        let cell = self.side + 2 * FRAME;
        let (width, height) = (views * (cell + GAP) - GAP, CAPTION + cell);
        let count = self.groups.len().max(1) as u32;
        let columns = ((WIDTH - MARGIN) / (width + MARGIN)).clamp(1, count);
        let (left, top) = (MARGIN, MARGIN + CAPTION + MARGIN / 2);
        let sheet_width = (left + columns * (width + MARGIN)).max(2 * MARGIN + self.legend_width());
        let sheet_height = top + count.div_ceil(columns) * (height + MARGIN);
        let mut picture = RgbImage::from_pixel(sheet_width, sheet_height, BACKGROUND);
        self.legend(&mut picture);
        for (place, group) in (0..).zip(&self.groups) {
            let (x, y) = (left + place % columns * (width + MARGIN), top + place / columns * (height + MARGIN));
            font::write(&mut picture, (x, y), DOT, TEXT, font::cut(&group.caption, width, DOT));
            for (view, (part, image)) in (0..).zip(&group.views) {
                let x = x + view * (cell + GAP);
                frame(&mut picture, (x, y + CAPTION), cell, Rgb(part.colour()));
                imageops::replace(&mut picture, image, i64::from(x + FRAME), i64::from(y + CAPTION + FRAME));
            }
        }
        picture
    }

    /// The parts that occur.
    fn parts(&self) -> Vec<Part> {
        let occurs = |part: &Part| self.groups.iter().flat_map(|group| &group.views).any(|(other, _)| other == part);
        [Part::Support, Part::Query, Part::View].into_iter().filter(occurs).collect()
    }

    fn legend_width(&self) -> u32 {
        self.parts().iter().map(|part| legend_entry(*part)).sum()
    }

    fn legend(&self, picture: &mut RgbImage) {
        let mut x = MARGIN;
        for part in self.parts() {
            frame(picture, (x, MARGIN), font::HEIGHT * DOT, Rgb(part.colour()));
            font::write(picture, (x + font::HEIGHT * DOT + 6, MARGIN), DOT, TEXT, part.name());
            x += legend_entry(part);
        }
    }
}

/// Width of a square, its word and the room behind them.
fn legend_entry(part: Part) -> u32 {
    font::HEIGHT * DOT + 6 + font::width(part.name(), DOT) + MARGIN
}

fn frame(picture: &mut RgbImage, (x, y): (u32, u32), side: u32, colour: Rgb<u8>) {
    let square = RgbImage::from_pixel(side, side, colour);
    imageops::replace(picture, &square, i64::from(x), i64::from(y));
}

/// A view, magnified without smoothing or shrunk.
fn thumbnail(size: u32, side: u32, bytes: &[u8]) -> Option<RgbImage> {
    let plane = (size as usize).pow(2);
    if bytes.len() != 3 * plane || plane == 0 {
        return None;
    }
    let pixels: Vec<u8> = (0..plane).flat_map(|i| [bytes[i], bytes[plane + i], bytes[2 * plane + i]]).collect();
    let image = RgbImage::from_raw(size, size, pixels)?;
    Some(if size <= side {
        imageops::resize(&image, side, side, FilterType::Nearest)
    } else {
        imageops::thumbnail(&image, side, side)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn view(colour: [u8; 3], size: u32) -> Vec<u8> {
        colour.iter().flat_map(|value| vec![*value; (size * size) as usize]).collect()
    }

    #[test]
    fn views_stand_framed_under_their_class() {
        let mut sheet = Sheet::new(32);
        let (red, green) = (view([255, 0, 0], 32), view([0, 255, 0], 32));
        let views = [(Part::of(0, Some(1)), &red[..]), (Part::of(1, Some(1)), &green[..])];
        sheet.push("frog".to_owned(), views.into_iter());
        let picture = sheet.draw();
        let top = MARGIN + CAPTION + MARGIN / 2 + CAPTION;
        let cell = 96 + 2 * FRAME;
        let second = MARGIN + cell + GAP;
        assert_eq!(picture.get_pixel(MARGIN, top).0, SUPPORT);
        assert_eq!(picture.get_pixel(MARGIN + FRAME, top + FRAME).0, [255, 0, 0]);
        assert_eq!(picture.get_pixel(MARGIN + FRAME + 95, top + FRAME + 95).0, [255, 0, 0]);
        assert_eq!(picture.get_pixel(second, top).0, QUERY);
        assert_eq!(picture.get_pixel(second + cell / 2, top + cell / 2).0, [0, 255, 0]);
        assert!(picture.rows().take(top as usize).flatten().any(|pixel| *pixel == TEXT), "the caption is written");
        let decoded = image::load_from_memory(&sheet.png().unwrap()).unwrap().into_rgb8();
        assert_eq!(decoded, picture);
    }

    #[test]
    fn large_views_shrink_and_foreign_bytes_are_left_out() {
        let mut sheet = Sheet::new(224);
        let blue = view([0, 0, 255], 224);
        sheet.push(String::new(), [(Part::View, &blue[..]), (Part::View, &blue[1..])].into_iter());
        assert_eq!(sheet.groups[0].views.len(), 1);
        assert_eq!(sheet.groups[0].views[0].1.dimensions(), (CELL, CELL));
        assert_eq!(sheet.parts(), [Part::View]);
        assert!(Sheet::new(0).png().is_ok(), "an empty sheet is a picture too");
    }
}
