//! Both passes for views of 32 pixels from crops no larger: `across` and `down` where only places and weights vary.
//!
//! An output has at most four taps, and all widened rows of a plane stay in the cache together. Fewer taps are filled up with zeros, which
//! read what lies behind the last pixel: padding of the row, or a line of an earlier plane.

use std::arch::x86_64::*;

use super::across::{HALF_HIGH, LOW, levels, sum};
use super::axis::Axis;
use super::down::pack_levels;
use super::lanes::{F32x8, I16x16, load_f32, load_i16, load_u8, store_f32, store_u8};
use super::tables::Tables;
use crate::augment::ViewSpec;
use crate::augment::weights::{WEIGHT_BITS, level};
use crate::image::{PAD, PlanesRef, Size};

/// Width and height of the views.
const SIDE: usize = 32;
/// Most taps of an output.
const TAPS: usize = 4;
/// Bytes of a row that may be read: sixteen from the last pixel on.
const REACH: usize = SIDE + 16;
const _: () = assert!(REACH <= PAD);

/// A widened row; vector `v` holds the outputs that [`output`] says.
type Line = [F32x8; SIDE / 8];

/// The output in a lane of a vector: packing two vectors to one works on halves, and in this order four become a row.
const fn output(vector: usize, lane: usize) -> usize {
    16 * (lane / 4) + 4 * vector + lane % 4
}

/// Tables and lines of a renderer's views.
pub(super) struct Small {
    columns: Tables<Columns>,
    rows: Tables<Rows>,
    lines: [Line; SIDE + TAPS - 1],
}

impl Small {
    /// `Some` where `spec` has the right size.
    pub(super) fn new(spec: ViewSpec) -> Option<Self> {
        (spec.size as usize == SIDE).then(|| Self {
            columns: Tables::new(spec.size),
            rows: Tables::new(spec.size),
            lines: [Line::default(); SIDE + TAPS - 1],
        })
    }

    /// Whether a crop of `size` can be resized here.
    pub(super) fn takes(&self, size: Size) -> bool {
        size.width as usize <= SIDE && size.height as usize <= SIDE
    }

    /// Resizes `crop`, mirrored or not, into `planes`; `axis` is scratch.
    ///
    /// # Panics
    /// Where [`takes`](Self::takes) is false of the crop.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn resize<'a>(
        &mut self,
        crop: PlanesRef<'_>,
        mirror: bool,
        spec: ViewSpec,
        axis: &mut Axis,
        planes: impl Iterator<Item = &'a mut [u8]>,
    ) {
        let (size, lines) = (crop.size(), &mut self.lines);
        let columns = self.columns.get((size.width, mirror), |table| {
            axis.prepare(size.width, spec.size, spec.filter, mirror);
            table.pack(axis);
        });
        let rows = self.rows.get((size.height, false), |table| {
            axis.prepare(size.height, spec.size, spec.filter, false);
            table.pack(axis);
        });
        for (channel, out) in planes.enumerate() {
            let mut inputs = [&[0; REACH]; SIDE];
            for (y, input) in (0..size.height).zip(&mut inputs) {
                *input = crop.padded_row(channel, y).first_chunk().expect("rows are padded");
            }
            columns.widen(&inputs[..size.height as usize], lines);
            rows.stack(lines, out.as_chunks_mut().0);
        }
    }
}

/// Tap `tap` of output `x`.
fn weight(axis: &Axis, x: usize, tap: usize) -> i32 {
    assert!(axis.taps <= TAPS, "{} taps", axis.taps);
    if tap < axis.taps { axis.weights[x / 8 * axis.taps + tap][x % 8] } else { 0 }
}

/// The horizontal pass.
#[derive(Default)]
struct Columns {
    groups: [Group; SIDE / 8],
}

/// The outputs of a vector.
#[derive(Clone, Copy, Default)]
struct Group {
    /// First of the sixteen bytes that hold the taps of four outputs.
    starts: [usize; 2],
    /// These bytes to the first and the last two taps.
    picks: [I16x16; 2],
    /// Weights of two taps, cut as in `across`.
    high: [I16x16; 2],
    low: [I16x16; 2],
}

impl Columns {
    fn pack(&mut self, axis: &Axis) {
        for (vector, group) in self.groups.iter_mut().enumerate() {
            for lane in 0..8 {
                let first = |lane: usize| axis.firsts[output(vector, lane) / 8][output(vector, lane) % 8];
                let four = lane / 4 * 4..lane / 4 * 4 + 4;
                let start = four.map(first).min().unwrap_or(0);
                group.starts[lane / 4] = start as usize;
                for tap in 0..TAPS {
                    let (pair, place) = (tap / 2, 2 * lane + tap % 2);
                    let weight = weight(axis, output(vector, lane), tap);
                    // A byte, then nothing.
                    group.picks[pair].0[place] = i16::from_le_bytes([(first(lane) - start) as u8 + tap as u8, 0x80]);
                    group.high[pair].0[place] = (weight >> LOW) as i16;
                    group.low[pair].0[place] = (weight & ((1 << LOW) - 1)) as i16;
                }
            }
        }
    }

    /// One line for each row; vector by vector, so that the weights stay in registers.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn widen(&self, rows: &[&[u8; REACH]], lines: &mut [Line]) {
        for (vector, group) in self.groups.iter().enumerate() {
            let [left, right] = group.starts;
            assert!(left <= REACH - 16 && right <= REACH - 16, "the table is of another size");
            let (near, far) = (load_i16(&group.picks[0]), load_i16(&group.picks[1]));
            let (high_near, high_far) = (load_i16(&group.high[0]), load_i16(&group.high[1]));
            let (low_near, low_far) = (load_i16(&group.low[0]), load_i16(&group.low[1]));
            for (row, line) in rows.iter().zip(&mut *lines) {
                let sixteen = |start: usize| row[start..].first_chunk().expect("starts leave sixteen bytes");
                let bytes = _mm256_set_m128i(load_u8(sixteen(right)), load_u8(sixteen(left)));
                let (near, far) = (_mm256_shuffle_epi8(bytes, near), _mm256_shuffle_epi8(bytes, far));
                let high = _mm256_add_epi32(_mm256_madd_epi16(near, high_near), _mm256_set1_epi32(HALF_HIGH));
                let high = _mm256_add_epi32(high, _mm256_madd_epi16(far, high_far));
                let low = _mm256_add_epi32(_mm256_madd_epi16(near, low_near), _mm256_madd_epi16(far, low_far));
                store_f32(&mut line[vector], levels(sum(high, low)));
            }
        }
    }
}

/// The vertical pass, in f32 as in `down`: sums are in 2^-15 of a level, which f32 below 512 levels hold to a unit.
#[derive(Default)]
struct Rows {
    firsts: [u8; SIDE],
    /// In 2^-15.
    scaled: [[f32; TAPS]; SIDE],
    /// In 2^-22.
    exact: [[i32; TAPS]; SIDE],
}

/// Fraction bits of a sum.
const FRACTION: i32 = 15;
/// More than a sum can be off: half a unit for each tap, and half for becoming an integer.
const OFF: i32 = TAPS as i32 / 2 + 1;

impl Rows {
    fn pack(&mut self, axis: &Axis) {
        let unit = 1.0 / (1 << (WEIGHT_BITS as i32 - FRACTION)) as f32;
        for y in 0..SIDE {
            self.firsts[y] = axis.firsts[y / 8][y % 8] as u8;
            for tap in 0..TAPS {
                self.exact[y][tap] = weight(axis, y, tap);
                self.scaled[y][tap] = self.exact[y][tap] as f32 * unit;
            }
        }
    }

    /// All outputs of a plane.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn stack(&self, lines: &[Line], to: &mut [[u8; SIDE]]) {
        // Half a level, and so much that a sum that may be off reaches the next level rather than misses it.
        let half = _mm256_set1_ps(((1 << (FRACTION - 1)) + OFF) as f32);
        // Fractions, moved to the top, of sums that may not have reached it.
        let open = _mm256_set1_epi32((2 * OFF) << (32 - FRACTION));
        for (y, to) in to.iter_mut().enumerate() {
            let lines: &[Line; TAPS] = lines[self.firsts[y].into()..].first_chunk().expect("a line for each tap");
            let mut sums = [half; SIDE / 8];
            for (line, weight) in lines.iter().zip(&self.scaled[y]) {
                let weight = _mm256_set1_ps(*weight);
                for (sum, values) in sums.iter_mut().zip(line) {
                    *sum = _mm256_fmadd_ps(load_f32(values), weight, *sum);
                }
            }
            let mut levels = [_mm256_setzero_si256(); SIDE / 8];
            let mut least = _mm256_set1_epi32(-1);
            for (level, sum) in levels.iter_mut().zip(sums) {
                let fixed = _mm256_cvtps_epi32(sum);
                least = _mm256_min_epu32(least, _mm256_slli_epi32::<{ 32 - FRACTION }>(fixed));
                *level = _mm256_srai_epi32::<FRACTION>(fixed);
            }
            store_u8(to, pack_levels(levels));
            if _mm256_movemask_epi8(_mm256_cmpeq_epi32(_mm256_min_epu32(least, open), least)) != 0 {
                settle(&self.exact[y], lines, to);
            }
        }
    }
}

/// Computes a row again, in integers.
#[cold]
#[inline(never)]
fn settle(weights: &[i32; TAPS], lines: &[Line; TAPS], to: &mut [u8; SIDE]) {
    for vector in 0..SIDE / 8 {
        for lane in 0..8 {
            let products = weights.iter().zip(lines).map(|(weight, line)| weight * line[vector].0[lane] as i32);
            to[output(vector, lane)] = level(products.sum());
        }
    }
}
