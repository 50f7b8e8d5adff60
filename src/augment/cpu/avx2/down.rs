//! The vertical pass: rows of levels in f32 to one row of bytes.
//!
//! Sums are f32 with fused multiply-add: a weight of 22 bits is exact in it, so only the additions round, each by at most
//! [`ROUNDING`] of a level. A sum that might round to either of two levels, about one in 4000, is computed again in integers.
//! (Integers alone need two multiplications a tap where this needs one.)

use std::arch::x86_64::*;

use super::axis::Axis;
use super::lanes::{F32x8, load_f32, store_u8};
use crate::augment::weights::{WEIGHT_BITS, level};

/// Weights of one axis, output after output.
#[derive(Default)]
pub(super) struct Down {
    taps: usize,
    rows: Vec<Row>,
    /// `[output][tap]`, in levels.
    scaled: Vec<f32>,
    /// The same in 2^-22.
    exact: Vec<i32>,
    /// Most that a sum of this axis can be off, in levels.
    error: f32,
}

/// The input rows of an output row.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) first: usize,
    pub(super) count: usize,
}

/// Partial sums stay below 512 levels, where f32 are 2^-15 apart.
const ROUNDING: f32 = 1.0 / (1u32 << 16) as f32;

impl Down {
    /// Packs an axis of `output` pixels.
    pub(super) fn pack(&mut self, axis: &Axis, output: usize) {
        self.taps = axis.taps;
        self.error = (axis.taps + 1) as f32 * ROUNDING;
        self.rows.clear();
        self.exact.clear();
        for y in 0..output {
            let (group, lane) = (y / 8, y % 8);
            let row = Row { first: axis.firsts[group][lane] as usize, count: axis.counts[group][lane] as usize };
            self.rows.push(row);
            self.exact.extend(axis.weights[group * axis.taps..][..axis.taps].iter().map(|weights| weights[lane]));
        }
        let unit = 1.0 / (1 << WEIGHT_BITS) as f32;
        self.scaled.clear();
        self.scaled.extend(self.exact.iter().map(|weight| *weight as f32 * unit));
    }

    /// Most input rows of an output row.
    pub(super) fn most_taps(&self) -> usize {
        self.taps
    }

    /// Input rows of all output rows.
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Output row `y`, whole blocks, from `lines`: its input rows, one after the other, each of `stride` vectors.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn stack(&self, y: usize, lines: &[F32x8], stride: usize, to: &mut [[u8; 32]]) {
        let weights = self.weights(y);
        let (pairs, rest) = to.as_chunks_mut::<2>();
        for (number, to) in pairs.iter_mut().enumerate() {
            self.block::<8>(y, &self.scaled[weights.clone()], &lines[8 * number..], stride, to);
        }
        for to in rest {
            let vector = 8 * pairs.len();
            self.block::<4>(y, &self.scaled[weights.clone()], &lines[vector..], stride, std::slice::from_mut(to));
        }
    }

    /// Places of output row `y`'s weights.
    fn weights(&self, y: usize) -> std::ops::Range<usize> {
        y * self.taps..y * self.taps + self.rows[y].count
    }

    /// `VECTORS` vectors of outputs from the front of `lines`; `to` has one element for four.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn block<const VECTORS: usize>(
        &self,
        y: usize,
        weights: &[f32],
        lines: &[F32x8],
        stride: usize,
        to: &mut [[u8; 32]],
    ) {
        let mut sums = [_mm256_setzero_ps(); VECTORS];
        for (line, weight) in lines.chunks(stride).zip(weights) {
            let values: &[F32x8; VECTORS] = line.first_chunk().expect("lines have whole blocks");
            let weight = _mm256_set1_ps(*weight);
            for (sum, values) in sums.iter_mut().zip(values) {
                *sum = _mm256_fmadd_ps(load_f32(values), weight, *sum);
            }
        }
        let mut rounded = [_mm256_setzero_si256(); VECTORS];
        let mut farthest = _mm256_setzero_ps();
        for (sum, rounded) in sums.iter_mut().zip(&mut rounded) {
            *rounded = _mm256_cvtps_epi32(*sum);
            let off = _mm256_sub_ps(*sum, _mm256_cvtepi32_ps(*rounded));
            *sum = _mm256_andnot_ps(_mm256_set1_ps(-0.0), off);
            farthest = _mm256_max_ps(farthest, *sum);
        }
        for (rounded, to) in rounded.chunks_exact(4).zip(&mut *to) {
            let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
            let packed = pack_levels([rounded[0], rounded[1], rounded[2], rounded[3]]);
            store_u8(to, _mm256_permutevar8x32_epi32(packed, order));
        }
        let sure = _mm256_set1_ps(0.5 - self.error);
        if _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(farthest, sure)) != 0 {
            let outputs = to.as_flattened_mut().as_chunks_mut::<8>().0;
            for (number, (off, to)) in sums.iter().zip(outputs).enumerate() {
                let open = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(*off, sure));
                if open != 0 {
                    self.settle(y, &lines[number..], stride, open, to);
                }
            }
        }
    }

    /// Computes again the outputs of the first vector of `lines` that `open` has bits for.
    #[cold]
    #[inline(never)]
    fn settle(&self, y: usize, lines: &[F32x8], stride: usize, open: i32, to: &mut [u8; 8]) {
        for (x, to) in to.iter_mut().enumerate().filter(|(x, _)| open >> x & 1 != 0) {
            let weights = &self.exact[self.weights(y)];
            let products = weights.iter().zip(lines.chunks(stride)).map(|(weight, line)| weight * line[0].0[x] as i32);
            *to = level(products.sum());
        }
    }
}

/// Clamped to bytes: fours of the lower halves of the vectors, one vector after the other, then those of the upper halves.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn pack_levels(levels: [__m256i; 4]) -> __m256i {
    // Both clamp.
    let low = _mm256_packs_epi32(levels[0], levels[1]);
    let high = _mm256_packs_epi32(levels[2], levels[3]);
    _mm256_packus_epi16(low, high)
}
