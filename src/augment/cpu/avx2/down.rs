//! The vertical pass: rows of levels in f32 to one row of bytes.
//!
//! Sums are f32 with fused multiply-add: a weight of 22 bits is exact in it, so only the additions round, each by at most
//! [`ROUNDING`] of a level. A sum that might round to either of two levels, about one in 4000, is computed again in integers.
//! (Integers alone need two multiplications a tap where this needs one.)

use std::arch::x86_64::*;

use super::axis::Axis;
use super::lanes::{F32x8, load_f32, store_u8};
use crate::augment::weights::WEIGHT_BITS;

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

/// A ring of input rows, a power of two in number.
#[derive(Clone, Copy)]
pub(super) struct Ring<'a> {
    pub(super) data: &'a [F32x8],
    /// Vectors of a row, a multiple of four.
    pub(super) stride: usize,
    /// Number of rows, less one.
    pub(super) mask: usize,
}

impl<'a> Ring<'a> {
    /// Four vectors of input row `row`.
    #[inline(always)]
    fn at(self, row: usize, vector: usize) -> &'a [F32x8; 4] {
        let start = (row & self.mask) * self.stride + vector;
        self.data[start..].first_chunk().expect("four vectors a block")
    }
}

/// Partial sums stay below 512 levels, where f32 are 2^-15 apart.
const ROUNDING: f32 = 1.0 / (1u32 << 16) as f32;

/// Adding it rounds a small f32 to a whole number, which stands in the lowest bits.
const ROUNDER: f32 = 12_582_912.0;

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

    /// Output row `y` from the rows in `ring`; `to` has at most 8 bytes a vector of the ring's stride.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn stack(&self, y: usize, ring: Ring<'_>, to: &mut [u8]) {
        let Row { first, count } = self.rows[y];
        let weights = &self.scaled[y * self.taps..][..count];
        let (blocks, rest) = to.as_chunks_mut::<32>();
        for (block, to) in blocks.iter_mut().enumerate() {
            self.block(y, first, weights, ring, 4 * block, to);
        }
        if !rest.is_empty() {
            let mut last = [0; 32];
            self.block(y, first, weights, ring, 4 * blocks.len(), &mut last);
            rest.copy_from_slice(&last[..rest.len()]);
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn block(&self, y: usize, first: usize, weights: &[f32], ring: Ring<'_>, vector: usize, to: &mut [u8; 32]) {
        let mut sums = [_mm256_setzero_ps(); 4];
        for (row, weight) in (first..).zip(weights) {
            let weight = _mm256_set1_ps(*weight);
            for (sum, values) in sums.iter_mut().zip(ring.at(row, vector)) {
                *sum = _mm256_fmadd_ps(load_f32(values), weight, *sum);
            }
        }
        let (least, most) = (_mm256_setzero_ps(), _mm256_set1_ps(255.0));
        let rounder = _mm256_set1_ps(ROUNDER);
        let sure = _mm256_set1_ps(0.5 - self.error);
        let mut unsure = _mm256_setzero_ps();
        let rounded = sums.map(|sum| {
            let sum = _mm256_min_ps(_mm256_max_ps(sum, least), most);
            let whole = _mm256_add_ps(sum, rounder);
            let off = _mm256_sub_ps(sum, _mm256_sub_ps(whole, rounder));
            let off = _mm256_andnot_ps(_mm256_set1_ps(-0.0), off);
            unsure = _mm256_or_ps(unsure, _mm256_cmp_ps::<_CMP_GT_OQ>(off, sure));
            _mm256_sub_epi32(_mm256_castps_si256(whole), _mm256_castps_si256(rounder))
        });
        let low = _mm256_packs_epi32(rounded[0], rounded[1]);
        let high = _mm256_packs_epi32(rounded[2], rounded[3]);
        let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        store_u8(to, _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high), order));
        if _mm256_movemask_ps(unsure) != 0 {
            self.settle(y, ring, vector, &sums.map(|sum| floats(sum)), to);
        }
    }

    /// Computes again what `sums` leaves open.
    #[cold]
    #[inline(never)]
    fn settle(&self, y: usize, ring: Ring<'_>, vector: usize, sums: &[[f32; 8]; 4], to: &mut [u8; 32]) {
        let Row { first, count } = self.rows[y];
        let weights = &self.exact[y * self.taps..][..count];
        for (x, sum) in sums.as_flattened().iter().enumerate() {
            let sum = sum.clamp(0.0, 255.0);
            if (sum - sum.round()).abs() <= 0.5 - self.error {
                continue;
            }
            let value = |row: usize| ring.at(row, vector)[x / 8].0[x % 8] as i32;
            let exact: i32 = (first..).zip(weights).map(|(row, weight)| weight * value(row)).sum();
            to[x] = ((exact + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS).clamp(0, 255) as u8;
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn floats(value: __m256) -> [f32; 8] {
    let mut out = F32x8::default();
    super::lanes::store_f32(&mut out, value);
    out.0
}
