//! What the stages of expanding do, in the order they run.

use crate::coef::ColourSpace;
use crate::coef::chunk::{Chunk, Cursor};
use crate::coef::tile::{Block, CHUNK};

/// The stages. Whoever implements them gives the bytes of `Scalar`, for any input.
pub(super) trait Kernels: Copy {
    /// The state of `chunk` behind its first `count` blocks.
    fn skip(self, chunk: &Chunk<'_>, count: usize) -> Cursor;

    /// The next `count` blocks of `chunk` from `cursor`, the first of them being block `first`. Returns the state behind them.
    fn unpack(self, chunk: &Chunk<'_>, first: usize, count: usize, cursor: Cursor, out: &mut [Block; CHUNK]) -> Cursor;

    /// Samples of `blocks`, side by side from the start of `out`, whose rows are `stride` apart. `presence` is that of the blocks.
    /// Up to 8 bytes behind the samples of each row may be overwritten.
    fn transform(self, blocks: &[Block], presence: &[u8], table: &Table, out: &mut [u8], stride: usize);

    /// Pixels of a row where each has its own samples. `width` pixels; more bytes may be read and written where there are.
    fn full_row(self, space: ColourSpace, samples: [&[u8]; 3], out: [&mut [u8]; 3], width: usize);

    /// Pixels of a row where two share a chroma sample.
    fn half_row(self, row: &HalfRow<'_>, out: [&mut [u8]; 3], sums: &mut Sums);
}

/// A quantisation table as the inverse DCT takes it: 16 bits that wrap, each row twice (for two blocks).
#[repr(C, align(32))]
pub(super) struct Table(pub(super) [i16; 128]);

impl Table {
    pub(super) fn new(steps: [u16; 64]) -> Self {
        Self(std::array::from_fn(|index| steps[index / 16 * 8 + index % 8] as i16))
    }

    /// The step of coefficient `index`, natural order.
    pub(super) fn step(&self, index: usize) -> i16 {
        self.0[index / 8 * 16 + index % 8]
    }
}

/// A row of pixels whose chroma has half the columns.
pub(super) struct HalfRow<'a> {
    pub(super) space: ColourSpace,
    /// First component, from the first pixel on.
    pub(super) luma: &'a [u8],
    /// Second and third component, from the first sample needed on: the row, and the one above or below that is mixed in one to
    /// three (the same row again where chroma has all the rows).
    pub(super) chroma: [[&'a [u8]; 2]; 2],
    /// Whether chroma has half the rows too.
    pub(super) mixed: bool,
    /// Chroma samples in a row.
    pub(super) samples: usize,
    /// The first pixel less the first of the two pixels of the first sample: 0..=3.
    pub(super) lead: usize,
    /// Whether to interpolate, or to replicate the nearer sample.
    pub(super) fancy: bool,
    /// Pixels.
    pub(super) width: usize,
}

/// Scratch of [`Kernels::half_row`]: chroma between the vertical and the horizontal step.
#[derive(Default)]
pub(super) struct Sums(pub(super) [Vec<u16>; 2]);
