//! What a JPEG holds once its entropy code is undone.

use super::layout::blocks;
use crate::image::Size;

/// Colours of the components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColourSpace {
    /// One component.
    Gray,
    /// Three components: Y, Cb, Cr (JFIF, ITU-R BT.601, full range).
    YCbCr,
    /// Three components: R, G, B (Adobe transform 0).
    Rgb,
}

/// The quantised DCT coefficients of a JPEG (ITU-T T.81) and what is needed to make pixels of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coefficients {
    /// Width and height in pixels, both at least 1.
    pub size: Size,
    /// What the components are.
    pub space: ColourSpace,
    /// One for gray, else three.
    pub components: Vec<Component>,
}

/// One component of a JPEG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Horizontal and vertical sampling factors, 1..=4; a gray image has 1, 1.
    pub sampling: (u8, u8),
    /// Quantisation table in natural (row-major) order.
    pub quantisation: [u16; 64],
    /// Blocks of a block row: `ceil(width * h / (8 * largest h))`, without the dummy blocks that fill up an MCU.
    pub columns: usize,
    /// Block rows: `ceil(height * v / (8 * largest v))`.
    pub rows: usize,
    /// `rows * columns` blocks, row by row; coefficients in natural order, DC undone (absolute), not dequantised.
    pub blocks: Vec<[i16; 64]>,
}

impl ColourSpace {
    /// Components of an image: 1 or 3.
    pub const fn components(self) -> usize {
        match self {
            ColourSpace::Gray => 1,
            ColourSpace::YCbCr | ColourSpace::Rgb => 3,
        }
    }
}

impl Coefficients {
    /// Columns and rows of blocks that component `index` has by the image's size and the sampling factors, all at least 1.
    pub fn blocks(&self, index: usize) -> (usize, usize) {
        blocks(self.size, self.components[index].sampling, self.largest_sampling())
    }

    /// The largest sampling factors.
    pub fn largest_sampling(&self) -> (u8, u8) {
        let largest = |factor: fn(&Component) -> u8| self.components.iter().map(factor).max().unwrap_or(1);
        (largest(|component| component.sampling.0), largest(|component| component.sampling.1))
    }
}
