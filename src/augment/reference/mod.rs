//! The slow oracle: the [definition](super#definition), pixel by pixel, never optimised.
//!
//! Shares no code with what it judges: it computes its own resample weights, its own reflection, its own colours. `resample`,
//! `colour` and [`blur`] hold one step each; crop, mirror and turns are here.

pub mod blur;
mod colour;
mod resample;

use super::{ViewPlan, ViewSpec};
use crate::image::PixelsRef;

/// An image as a table of colours.
struct Grid {
    width: usize,
    height: usize,
    pixels: Vec<[u8; 3]>,
}

impl Grid {
    fn new(width: usize, height: usize, mut colour: impl FnMut(usize, usize) -> [u8; 3]) -> Self {
        let mut pixels = Vec::new();
        for y in 0..height {
            for x in 0..width {
                pixels.push(colour(x, y));
            }
        }
        Self { width, height, pixels }
    }

    fn at(&self, x: usize, y: usize) -> [u8; 3] {
        assert!(x < self.width && y < self.height, "({x}, {y}) of {}x{}", self.width, self.height);
        self.pixels[y * self.width + x]
    }

    fn map(&self, mut change: impl FnMut([u8; 3]) -> [u8; 3]) -> Self {
        Self::new(self.width, self.height, |x, y| change(self.at(x, y)))
    }
}

/// Renders `plan` from the whole `image`: `3 * size * size` bytes, planar R, G, B.
///
/// # Panics
/// Where the plan fails [`ViewPlan::check`].
pub fn render(image: PixelsRef<'_>, plan: &ViewPlan, spec: ViewSpec) -> Vec<u8> {
    let side = spec.size as usize;
    let mut view = resample::resize(&crop(image, plan), side, side, spec.filter);
    if plan.mirror() {
        view = Grid::new(side, side, |x, y| view.at(side - 1 - x, y));
    }
    view = coloured(view, plan);
    if plan.blur_sigma > 0.0 {
        view = blur::apply(&view, f64::from(plan.blur_sigma));
    }
    for _ in 0..plan.quarter_turns() {
        // Counter-clockwise: the right column becomes the top row.
        view = Grid::new(side, side, |x, y| view.at(side - 1 - y, x));
    }
    planar(&view)
}

/// Steps 4 and 5 alone, colour operations and gray, on an image of any shape: planar R, G, B.
pub fn colour(image: PixelsRef<'_>, plan: &ViewPlan) -> Vec<u8> {
    let (width, height) = (image.size().width as usize, image.size().height as usize);
    let pixel = |x: usize, y: usize| std::array::from_fn(|channel| image.data()[3 * (y * width + x) + channel]);
    planar(&coloured(Grid::new(width, height, pixel), plan))
}

fn coloured(mut view: Grid, plan: &ViewPlan) -> Grid {
    for op in plan.colour_ops() {
        view = colour::apply(op, plan.factor(op), &view);
    }
    if plan.gray() {
        view = view.map(|pixel| [colour::luma(pixel); 3]);
    }
    view
}

fn crop(image: PixelsRef<'_>, plan: &ViewPlan) -> Grid {
    let (width, height) = (image.size().width as i64, image.size().height as i64);
    let box_ = plan.crop;
    Grid::new(box_.width as usize, box_.height as usize, |x, y| {
        let column = reflected(i64::from(box_.x) + x as i64, width);
        let row = reflected(i64::from(box_.y) + y as i64, height);
        let at = 3 * (row * image.size().width as usize + column);
        [image.data()[at], image.data()[at + 1], image.data()[at + 2]]
    })
}

/// `numpy.pad(mode="reflect")` for one border on each side: -1 reads 1, `length` reads `length - 2`.
fn reflected(index: i64, length: i64) -> usize {
    let inside = if index < 0 {
        -index
    } else if index >= length {
        2 * (length - 1) - index
    } else {
        index
    };
    inside.try_into().expect("the plan passed its check")
}

fn planar(view: &Grid) -> Vec<u8> {
    (0..3).flat_map(|channel| view.pixels.iter().map(move |pixel| pixel[channel])).collect()
}
