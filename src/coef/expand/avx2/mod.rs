//! The stages with AVX2; bytes are those of `Scalar`.
//!
//! - `unpack`: values of a tile, eight at a time, without PDEP (slow before Zen 3);
//! - `transform`: inverse DCT of two blocks at a time, one in each half of the registers;
//! - `colour`: upsampling and colour conversion, 32 pixels at a time.

mod colour;
mod transform;
mod unpack;

use super::kernels::{HalfRow, Kernels, Sums, Table};
use super::scalar::Scalar;
use crate::coef::ColourSpace;
use crate::coef::chunk::{Chunk, Cursor};
use crate::coef::tile::{Block, CHUNK};

/// The AVX2 path; there is one only where the processor has AVX2.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    /// The path, where this processor can run it.
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt")).then_some(Self(()))
    }
}

impl Kernels for Avx2 {
    fn unpack(self, chunk: &Chunk<'_>, first: usize, count: usize, cursor: Cursor, out: &mut [Block; CHUNK]) -> Cursor {
        assert!(first + count <= chunk.blocks);
        // SAFETY: an `Avx2` exists only where the processor has AVX2 and POPCNT.
        unsafe { unpack::blocks(chunk, first, count, cursor, out) }
    }

    fn skip(self, chunk: &Chunk<'_>, count: usize) -> Cursor {
        // SAFETY: an `Avx2` exists only where the processor has AVX2 and POPCNT.
        unsafe { unpack::skip(chunk, count) }
    }

    fn transform(self, blocks: &[Block], presence: &[u8], table: &Table, out: &mut [u8], stride: usize) {
        assert!(presence.len() == blocks.len() && out.len() >= 7 * stride + 8 * blocks.len() + 8);
        // SAFETY: an `Avx2` exists only where the processor has AVX2; the length of `out` was compared above.
        unsafe { transform::row(blocks, presence, table, out, stride) }
    }

    fn full_row(self, space: ColourSpace, samples: [&[u8]; 3], out: [&mut [u8]; 3], width: usize) {
        if space != ColourSpace::YCbCr {
            return Scalar.full_row(space, samples, out, width);
        }
        // SAFETY: an `Avx2` exists only where the processor has AVX2.
        unsafe { colour::full_row(samples, out, width) }
    }

    fn half_row(self, row: &HalfRow<'_>, out: [&mut [u8]; 3], sums: &mut Sums) {
        if row.space != ColourSpace::YCbCr || !row.fancy {
            return Scalar.half_row(row, out, sums);
        }
        // SAFETY: an `Avx2` exists only where the processor has AVX2.
        unsafe { colour::half_row(row, out, sums) }
    }
}
