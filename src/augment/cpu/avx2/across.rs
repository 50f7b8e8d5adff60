//! The horizontal pass: two rows of bytes at a time to two rows of levels in f32.
//!
//! A 22-bit weight is cut into `high = weight >> 11` and `low = weight & 2047`, so that both fit an i16 and `madd` multiplies two
//! taps of eight outputs at once; `(high sum << 11) + low sum` is the exact sum.

use std::arch::x86_64::*;

use super::axis::Axis;
use super::lanes::{F32x8, I16x16, load_i16, load_i32, store_f32, store_i16};
use crate::augment::weights::WEIGHT_BITS;

/// Weights of one axis, packed for the pass.
#[derive(Default)]
pub(super) struct Across {
    window: Window,
    /// Windows: pairs of taps of an output. Dot products: sixteens of taps.
    steps: usize,
    groups: Vec<Group>,
    /// Windows: `[group][step]`. Dot products: `[output][step]`.
    weights: Vec<Split>,
    /// Bytes of a row that are read.
    reach: usize,
}

/// How bytes are brought to the outputs that need them.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Window {
    /// Sixteen bytes hold the next two taps of eight outputs: enlarging, and shrinking to about a half.
    #[default]
    OfEight,
    /// Sixteen bytes hold the next two taps of four outputs: shrinking to about a fifth.
    OfFour,
    /// Anything: sixteen taps of one output after the other.
    Dot,
}

/// Where eight outputs read.
#[derive(Clone, Copy)]
struct Group {
    /// First bytes of the windows; of dot products, of each output.
    starts: [u32; 8],
    /// Bytes of a window to pairs of taps.
    pick: I16x16,
}

/// Two taps of eight outputs, or sixteen taps of one.
#[derive(Clone, Copy, Default)]
struct Split {
    high: I16x16,
    low: I16x16,
}

/// Bits of the low part.
pub(super) const LOW: i32 = 11;

impl Across {
    /// Packs `axis`.
    #[target_feature(enable = "avx2")]
    pub(super) fn pack(&mut self, axis: &Axis) {
        self.window = window(axis);
        self.groups.clear();
        self.weights.clear();
        match self.window {
            Window::Dot => self.pack_dots(axis),
            window => self.pack_windows(axis, window),
        }
        let starts = self.groups.iter().flat_map(|group| group.starts).max().unwrap_or(0) as usize;
        self.reach = match self.window {
            Window::Dot => starts + 16 * self.steps,
            _ => starts + 2 * (self.steps - 1) + 16,
        };
    }

    #[target_feature(enable = "avx2")]
    fn pack_windows(&mut self, axis: &Axis, window: Window) {
        self.steps = axis.taps.div_ceil(2);
        let zero = [0; 8];
        for (firsts, weights) in axis.firsts.iter().zip(axis.weights.chunks_exact(axis.taps)) {
            let least = |outputs: &[i32]| outputs.iter().copied().min().unwrap_or(0);
            let starts = match window {
                Window::OfEight => [least(firsts); 2],
                _ => [least(&firsts[..4]), least(&firsts[4..])],
            };
            let origin = _mm256_set_m128i(_mm_set1_epi32(starts[1]), _mm_set1_epi32(starts[0]));
            let first = _mm256_sub_epi32(load_i32(firsts), origin);
            // Bytes first, nothing, first + 1, nothing: two taps as i16.
            let second = _mm256_slli_epi32::<16>(_mm256_add_epi32(first, _mm256_set1_epi32(1)));
            let nothing = _mm256_set1_epi32(0x8000_8000_u32 as i32);
            let mut pick = I16x16::default();
            store_i16(&mut pick, _mm256_or_si256(_mm256_or_si256(first, second), nothing));
            let [low, high] = starts.map(|start| start as u32);
            self.groups.push(Group { starts: [low, high, 0, 0, 0, 0, 0, 0], pick });
            for pair in weights.chunks(2) {
                self.weights.push(split(&pair[0], pair.get(1).unwrap_or(&zero)));
            }
        }
    }

    fn pack_dots(&mut self, axis: &Axis) {
        self.steps = axis.taps.div_ceil(16);
        for (firsts, weights) in axis.firsts.iter().zip(axis.weights.chunks_exact(axis.taps)) {
            // Taps are moved to the left, with zeros in front, where the last would lie outside the input.
            let starts = firsts.map(|first| (first as usize).min(axis.input - axis.taps));
            self.groups.push(Group { starts: starts.map(|start| start as u32), pick: I16x16::default() });
            for lane in 0..8 {
                let zeros = firsts[lane] as usize - starts[lane];
                let output = self.weights.len();
                self.weights.resize(output + self.steps, Split::default());
                for (k, tap) in (zeros..axis.taps).zip(weights) {
                    let split = &mut self.weights[output + k / 16];
                    split.high.0[k % 16] = (tap[lane] >> LOW) as i16;
                    split.low.0[k % 16] = (tap[lane] & ((1 << LOW) - 1)) as i16;
                }
            }
        }
    }

    /// Widens two rows, each with its padding behind it, to eight levels a group.
    ///
    /// # Panics
    /// Where the rows are shorter than what is read, or the outputs than what is written.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn widen(&self, rows: [&[u8]; 2], to: [&mut [F32x8]; 2]) {
        assert!(rows.iter().all(|row| row.len() >= self.reach), "rows of {:?}", rows.map(<[u8]>::len));
        let [first, second] = to;
        let to = first[..self.groups.len()].iter_mut().zip(&mut second[..self.groups.len()]);
        match (self.window, self.steps) {
            (Window::OfEight, 1) => self.windows::<1, false>(rows, to),
            (Window::OfEight, 2) => self.windows::<2, false>(rows, to),
            (Window::OfEight, 3) => self.windows::<3, false>(rows, to),
            (Window::OfEight, 4) => self.windows::<4, false>(rows, to),
            (Window::OfEight, 5) => self.windows::<5, false>(rows, to),
            (Window::OfEight, _) => self.windows::<0, false>(rows, to),
            (Window::OfFour, _) => self.windows::<0, true>(rows, to),
            (Window::Dot, _) => self.dots(rows, to),
        }
    }

    /// `STEPS` is the number of steps, 0 for any.
    #[target_feature(enable = "avx2")]
    fn windows<'a, const STEPS: usize, const OF_FOUR: bool>(
        &self,
        rows: [&[u8]; 2],
        to: impl Iterator<Item = (&'a mut F32x8, &'a mut F32x8)>,
    ) {
        let steps = if STEPS == 0 { self.steps } else { STEPS };
        for ((group, weights), to) in self.groups.iter().zip(self.weights.chunks_exact(steps)).zip(to) {
            let pick = load_i16(&group.pick);
            let mut high = [_mm256_set1_epi32(HALF_HIGH); 2];
            let mut low = [_mm256_setzero_si256(); 2];
            let starts = [group.starts[0] as usize, group.starts[1] as usize];
            for (step, split) in weights.iter().enumerate() {
                let (w_high, w_low) = (load_i16(&split.high), load_i16(&split.low));
                for row in 0..2 {
                    // SAFETY: `start + 2 * step + 16 <= reach <= row.len()`, tested by `widen`.
                    let at = |start: usize| unsafe { _mm_loadu_si128(rows[row].as_ptr().add(start + 2 * step).cast()) };
                    let bytes = if OF_FOUR {
                        _mm256_set_m128i(at(starts[1]), at(starts[0]))
                    } else {
                        _mm256_broadcastsi128_si256(at(starts[0]))
                    };
                    let taps = _mm256_shuffle_epi8(bytes, pick);
                    high[row] = _mm256_add_epi32(high[row], _mm256_madd_epi16(taps, w_high));
                    low[row] = _mm256_add_epi32(low[row], _mm256_madd_epi16(taps, w_low));
                }
            }
            store_f32(to.0, levels(sum(high[0], low[0])));
            store_f32(to.1, levels(sum(high[1], low[1])));
        }
    }

    #[target_feature(enable = "avx2")]
    fn dots<'a>(&self, rows: [&[u8]; 2], to: impl Iterator<Item = (&'a mut F32x8, &'a mut F32x8)>) {
        for ((group, weights), to) in self.groups.iter().zip(self.weights.chunks_exact(8 * self.steps)).zip(to) {
            let mut sums = [[_mm256_setzero_si256(); 8]; 2];
            for (output, weights) in weights.chunks_exact(self.steps).enumerate() {
                let start = group.starts[output] as usize;
                let (mut high, mut low) = ([_mm256_setzero_si256(); 2], [_mm256_setzero_si256(); 2]);
                for (step, split) in weights.iter().enumerate() {
                    let (w_high, w_low) = (load_i16(&split.high), load_i16(&split.low));
                    for row in 0..2 {
                        // SAFETY: `start + 16 * step + 16 <= reach <= row.len()`, tested by `widen`.
                        let bytes = unsafe { _mm_loadu_si128(rows[row].as_ptr().add(start + 16 * step).cast()) };
                        let taps = _mm256_cvtepu8_epi16(bytes);
                        high[row] = _mm256_add_epi32(high[row], _mm256_madd_epi16(taps, w_high));
                        low[row] = _mm256_add_epi32(low[row], _mm256_madd_epi16(taps, w_low));
                    }
                }
                for row in 0..2 {
                    sums[row][output] = sum(high[row], low[row]);
                }
            }
            let half = _mm256_set1_epi32(HALF_HIGH << LOW);
            store_f32(to.0, levels(_mm256_add_epi32(half, totals(&sums[0]))));
            store_f32(to.1, levels(_mm256_add_epi32(half, totals(&sums[1]))));
        }
    }
}

/// Half a level, in units of the high part.
pub(super) const HALF_HIGH: i32 = 1 << (WEIGHT_BITS as i32 - 1 - LOW);

/// The form that all groups of `axis` allow.
fn window(axis: &Axis) -> Window {
    // The second tap of a pair is the next byte, so starts may lie 14 apart.
    let near =
        |firsts: &[i32]| firsts.iter().max().zip(firsts.iter().min()).is_some_and(|(most, least)| most - least <= 14);
    if axis.firsts.iter().all(|firsts| near(firsts)) {
        Window::OfEight
    } else if axis.firsts.iter().all(|firsts| near(&firsts[..4]) && near(&firsts[4..])) {
        Window::OfFour
    } else {
        Window::Dot
    }
}

/// Two taps of eight outputs.
#[target_feature(enable = "avx2")]
fn split(even: &[i32; 8], odd: &[i32; 8]) -> Split {
    let (even, odd) = (load_i32(even), load_i32(odd));
    let pair = |even: __m256i, odd: __m256i| _mm256_blend_epi16::<0xaa>(even, _mm256_slli_epi32::<16>(odd));
    let mask = _mm256_set1_epi32((1 << LOW) - 1);
    let mut split = Split::default();
    store_i16(&mut split.high, pair(_mm256_srai_epi32::<LOW>(even), _mm256_srai_epi32::<LOW>(odd)));
    store_i16(&mut split.low, pair(_mm256_and_si256(even, mask), _mm256_and_si256(odd, mask)));
    split
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn sum(high: __m256i, low: __m256i) -> __m256i {
    _mm256_add_epi32(_mm256_slli_epi32::<LOW>(high), low)
}

/// The totals of eight vectors.
#[inline]
#[target_feature(enable = "avx2")]
fn totals(sums: &[__m256i; 8]) -> __m256i {
    let four = |s: &[__m256i]| _mm256_hadd_epi32(_mm256_hadd_epi32(s[0], s[1]), _mm256_hadd_epi32(s[2], s[3]));
    let (low, high) = (four(&sums[..4]), four(&sums[4..]));
    _mm256_add_epi32(_mm256_permute2x128_si256::<0x20>(low, high), _mm256_permute2x128_si256::<0x31>(low, high))
}

/// Sums in 2^-22, half a level included, as levels.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn levels(sums: __m256i) -> __m256 {
    let levels = _mm256_srai_epi32::<{ WEIGHT_BITS as i32 }>(sums);
    _mm256_cvtepi32_ps(_mm256_min_epi32(_mm256_max_epi32(levels, _mm256_setzero_si256()), _mm256_set1_epi32(255)))
}
