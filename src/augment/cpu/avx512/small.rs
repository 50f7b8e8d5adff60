//! Both passes for views of 32 pixels from crops no larger.
//!
//! A dot product adds four bytes times four weights of -128..=127, which is all taps of an output. Weights of 22 bits are three such digits;
//! sums are shifted right between them, from the lowest up, which rounds down like one shift at the end.

use std::arch::x86_64::*;

use super::super::avx2::axis::Axis;
use super::super::avx2::small::{SIDE, TAPS, weight};
use super::super::avx2::tables::Tables;
use super::digits::{DIGITS, HALF, LAST_SHIFT, digits};
use super::lanes::{U8x64, load, load_part, store};
use crate::augment::ViewSpec;
use crate::image::{PlanesRef, Size};

/// Tables and lines of a renderer's views.
pub(super) struct Small {
    axis: Axis,
    columns: Tables<Columns>,
    rows: Tables<Rows>,
    /// Widened rows, whole pairs of them, and as many behind the last as weights of zero may read.
    lines: [[u8; SIDE]; SIDE + TAPS],
}

impl Small {
    /// `Some` where `spec` has the right size.
    pub(super) fn new(spec: ViewSpec) -> Option<Self> {
        (spec.size as usize == SIDE).then(|| Self {
            axis: Axis::default(),
            columns: Tables::new(spec.size),
            rows: Tables::new(spec.size),
            lines: [[0; SIDE]; SIDE + TAPS],
        })
    }

    /// Resizes `crop`, which is no larger than 32 pixels and smaller in one direction, into `planes`.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
    pub(super) fn resize<'a>(
        &mut self,
        crop: PlanesRef<'_>,
        mirror: bool,
        spec: ViewSpec,
        planes: impl Iterator<Item = &'a mut [u8]>,
    ) {
        let (Self { axis, columns, rows, lines }, Size { width, height }) = (self, crop.size());
        let columns = columns.get((width, mirror), |table| {
            axis.prepare(width, spec.size, spec.filter, mirror);
            table.pack(axis);
        });
        let rows = rows.get((height, false), |table| {
            axis.prepare(height, spec.size, spec.filter, false);
            table.pack(axis);
        });
        for (channel, out) in planes.enumerate() {
            let row = |y: u32| crop.padded_row(channel, y.min(height - 1)).first_chunk().expect("rows are padded");
            columns.widen(height, row, lines);
            rows.stack(lines, out.as_chunks_mut().0);
        }
    }
}

/// Outputs of a row in two vectors of four bytes an output: 8 k to 8 k + 3 in lane k of 16 bytes of the first, the four behind them in the
/// second, as packing works on lanes.
const fn output(vector: usize, place: usize) -> usize {
    8 * (place / 4) + 4 * vector + place % 4
}

/// The horizontal pass.
struct Columns {
    /// Which byte of the row is each tap.
    picks: [U8x64; 2],
    /// Of each tap, `[vector][digit]`.
    weights: [[U8x64; DIGITS]; 2],
}

impl Default for Columns {
    fn default() -> Self {
        Self { picks: [U8x64::ZERO; 2], weights: [[U8x64::ZERO; DIGITS]; 2] }
    }
}

impl Columns {
    fn pack(&mut self, axis: &Axis) {
        for vector in 0..2 {
            for place in 0..16 {
                let x = output(vector, place);
                for tap in 0..TAPS {
                    let weight = weight(axis, x, tap);
                    // Where there is no weight, any byte will do.
                    let pick = if weight == 0 { 0 } else { axis.firsts[x / 8][x % 8] + tap as i32 };
                    self.picks[vector].0[4 * place + tap] = pick as u8;
                    for (digit, to) in digits(weight).into_iter().zip(&mut self.weights[vector]) {
                        to.0[4 * place + tap] = digit;
                    }
                }
            }
        }
    }

    /// A line for each of `height` rows, two at a time.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
    fn widen<'a>(&self, height: u32, row: impl Fn(u32) -> &'a [u8; SIDE], lines: &mut [[u8; SIDE]]) {
        let picks = [load(&self.picks[0].0), load(&self.picks[1].0)];
        let of = |digits: &[U8x64; DIGITS]| [load(&digits[0].0), load(&digits[1].0), load(&digits[2].0)];
        let weights = [of(&self.weights[0]), of(&self.weights[1])];
        let words = |y: u32| {
            let bytes = load_part(row(y));
            let near = sums(_mm512_permutexvar_epi8(picks[0], bytes), weights[0]);
            levels(near, sums(_mm512_permutexvar_epi8(picks[1], bytes), weights[1]))
        };
        for (y, to) in (0..height).step_by(2).zip(lines.as_chunks_mut::<2>().0) {
            store(to.as_flattened_mut().try_into().expect("two lines"), two_rows(words(y), words(y + 1)));
        }
    }
}

/// The vertical pass.
struct Rows {
    firsts: [u8; SIDE],
    /// Four taps of each output, `[output][digit]`.
    weights: [[[u8; TAPS]; DIGITS]; SIDE],
}

impl Default for Rows {
    fn default() -> Self {
        Self { firsts: [0; SIDE], weights: [[[0; TAPS]; DIGITS]; SIDE] }
    }
}

impl Rows {
    fn pack(&mut self, axis: &Axis) {
        for y in 0..SIDE {
            self.firsts[y] = axis.firsts[y / 8][y % 8] as u8;
            for tap in 0..TAPS {
                for (digit, to) in digits(weight(axis, y, tap)).into_iter().zip(&mut self.weights[y]) {
                    to[tap] = digit;
                }
            }
        }
    }

    /// All outputs of a plane, two rows at a time.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
    fn stack(&self, lines: &[[u8; SIDE]], to: &mut [[u8; SIDE]]) {
        /// Bytes of four lines to four taps an output.
        const QUADS: [U8x64; 2] = {
            let mut quads = [U8x64::ZERO; 2];
            let mut at = 0;
            while at < 128 {
                let (vector, place, tap) = (at / 64, at % 64 / 4, at % 4);
                quads[vector].0[at % 64] = (SIDE * tap + output(vector, place)) as u8;
                at += 1;
            }
            quads
        };
        let quads = [load(&QUADS[0].0), load(&QUADS[1].0)];
        let words = |y: usize| {
            let lines: &[[u8; SIDE]; TAPS] = lines[self.firsts[y].into()..].first_chunk().expect("a line for each tap");
            let (above, below) = lines.as_flattened().split_at(64);
            let above = load(above.try_into().expect("two lines"));
            let below = load(below.try_into().expect("two lines"));
            let of = |digit: usize| _mm512_set1_epi32(i32::from_le_bytes(self.weights[y][digit]));
            let weights = [of(0), of(1), of(2)];
            let near = sums(_mm512_permutex2var_epi8(above, quads[0], below), weights);
            levels(near, sums(_mm512_permutex2var_epi8(above, quads[1], below), weights))
        };
        for (y, to) in (0..SIDE).step_by(2).zip(to.as_chunks_mut::<2>().0) {
            store(to.as_flattened_mut().try_into().expect("two rows"), two_rows(words(y), words(y + 1)));
        }
    }
}

/// Sixteen sums of four taps, in 2^-6 of a level.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn sums(taps: __m512i, weights: [__m512i; DIGITS]) -> __m512i {
    let low = _mm512_dpbusd_epi32(_mm512_set1_epi32(HALF), taps, weights[0]);
    let middle = _mm512_dpbusd_epi32(_mm512_srai_epi32::<8>(low), taps, weights[1]);
    _mm512_dpbusd_epi32(_mm512_srai_epi32::<8>(middle), taps, weights[2])
}

/// The sums of a row as levels in 16 bits, which saturate far outside of 0..=255.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn levels(near: __m512i, far: __m512i) -> __m512i {
    _mm512_srai_epi16::<{ LAST_SHIFT }>(_mm512_packs_epi32(near, far))
}

/// Clamps two rows to bytes and puts them one behind the other.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn two_rows(first: __m512i, second: __m512i) -> __m512i {
    let order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    _mm512_permutexvar_epi64(order, _mm512_packus_epi16(first, second))
}
