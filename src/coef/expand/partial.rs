//! Only the first stages of expanding, so that benches can tell what each costs.

use super::kernels::{HalfRow, Kernels, Sums, Table};
use crate::coef::ColourSpace;
use crate::coef::chunk::{Chunk, Cursor};
use crate::coef::tile::{Block, CHUNK};

/// The stages up to and with the one named; what the later ones would write stays as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upto {
    /// Coefficients from their packed form.
    Unpacked,
    /// Samples by the inverse DCT.
    Transformed,
    /// Pixels, upsampled and in RGB: everything.
    Pixels,
}

/// The stages of `K` up to one.
#[derive(Clone, Copy)]
pub(super) struct Partial<K> {
    pub(super) kernels: K,
    pub(super) upto: Upto,
}

impl<K: Kernels> Kernels for Partial<K> {
    fn skip(self, chunk: &Chunk<'_>, count: usize) -> Cursor {
        self.kernels.skip(chunk, count)
    }

    fn unpack(self, chunk: &Chunk<'_>, first: usize, count: usize, cursor: Cursor, out: &mut [Block; CHUNK]) -> Cursor {
        self.kernels.unpack(chunk, first, count, cursor, out)
    }

    fn transform(self, blocks: &[Block], presence: &[u8], table: &Table, out: &mut [u8], stride: usize) {
        if self.upto != Upto::Unpacked {
            self.kernels.transform(blocks, presence, table, out, stride);
        }
    }

    fn full_row(self, space: ColourSpace, samples: [&[u8]; 3], out: [&mut [u8]; 3], width: usize) {
        if self.upto == Upto::Pixels {
            self.kernels.full_row(space, samples, out, width);
        }
    }

    fn half_row(self, row: &HalfRow<'_>, out: [&mut [u8]; 3], sums: &mut Sums) {
        if self.upto == Upto::Pixels {
            self.kernels.half_row(row, out, sums);
        }
    }
}
