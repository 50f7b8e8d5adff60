//! The resample weights of one axis, eight outputs at a time: the bits of [`weights::Table`](crate::augment::weights::Table),
//! whose head states the arithmetic. A mirrored axis is the table of mirrored outputs.

use std::arch::x86_64::*;

use super::lanes::{load_i32, store_i32};
use crate::augment::Filter;
use crate::augment::weights::WEIGHT_BITS;

/// Weights of the outputs in groups of eight; the last group repeats the last output.
#[derive(Default)]
pub(in super::super) struct Axis {
    /// Input pixels.
    pub(in super::super) input: usize,
    /// Most taps of an output.
    pub(in super::super) taps: usize,
    /// First input pixel of each output.
    pub(in super::super) firsts: Vec<[i32; 8]>,
    /// Number of input pixels of each output.
    pub(in super::super) counts: Vec<[i32; 8]>,
    /// `[group][tap]`, zero where an output has fewer.
    pub(in super::super) weights: Vec<[i32; 8]>,
    /// Of one group, before rounding.
    exact: Vec<[__m256d; 2]>,
}

impl Axis {
    /// Makes this the table from `input` to `output` pixels, both at least 1.
    #[target_feature(enable = "avx2")]
    pub(in super::super) fn prepare(&mut self, input: u32, output: u32, filter: Filter, mirror: bool) {
        match filter {
            Filter::Bilinear => self.fill::<1>(input, output, mirror),
            Filter::Bicubic => self.fill::<2>(input, output, mirror),
        }
    }

    #[target_feature(enable = "avx2")]
    fn fill<const SUPPORT: u8>(&mut self, input: u32, output: u32, mirror: bool) {
        let scale = f64::from(input) / f64::from(output);
        let wide = scale.max(1.0);
        let reach = f64::from(SUPPORT) * wide;
        let groups = output.div_ceil(8);

        self.input = input as usize;
        self.firsts.clear();
        self.counts.clear();
        for group in 0..groups {
            let [low, high] = halves(group, output, mirror).map(|x| span(centre(x, scale), reach, input));
            let (mut firsts, mut counts) = ([0; 8], [0; 8]);
            store_i32(&mut firsts, _mm256_set_m128i(high.0, low.0));
            store_i32(&mut counts, _mm256_set_m128i(high.1, low.1));
            self.firsts.push(firsts);
            self.counts.push(counts);
        }
        self.taps = self.counts.iter().flatten().max().map_or(0, |most| *most as usize);

        self.weights.clear();
        for group in 0..groups {
            let centres = halves(group, output, mirror).map(|x| centre(x, scale));
            self.weigh::<SUPPORT>(group as usize, centres, 1.0 / wide);
        }
    }

    /// Appends the weights of `group`, whose outputs stand at `centres`.
    #[target_feature(enable = "avx2")]
    fn weigh<const SUPPORT: u8>(&mut self, group: usize, centres: [__m256d; 2], narrow: f64) {
        let split = |values: __m256i| [_mm256_castsi256_si128(values), _mm256_extracti128_si256::<1>(values)];
        let (firsts, counts) = (split(load_i32(&self.firsts[group])), split(load_i32(&self.counts[group])));
        let (half, narrow) = (_mm256_set1_pd(0.5), _mm256_set1_pd(narrow));
        let mut sums = [_mm256_setzero_pd(); 2];
        self.exact.clear();
        for tap in 0..self.taps as i32 {
            let mut values = sums;
            for side in 0..2 {
                let k = _mm256_cvtepi32_pd(_mm_add_epi32(firsts[side], _mm_set1_epi32(tap)));
                let x = _mm256_mul_pd(_mm256_add_pd(_mm256_sub_pd(k, centres[side]), half), narrow);
                let inside = _mm256_cvtepi32_epi64(_mm_cmpgt_epi32(counts[side], _mm_set1_epi32(tap)));
                values[side] = _mm256_and_pd(kernel::<SUPPORT>(x), _mm256_castsi256_pd(inside));
                sums[side] = _mm256_add_pd(sums[side], values[side]);
            }
            self.exact.push(values);
        }
        // Where the sum is zero, Pillow does not divide.
        let one = _mm256_set1_pd(1.0);
        let nothing = _mm256_setzero_pd();
        let sums = sums.map(|sum| _mm256_blendv_pd(sum, one, _mm256_cmp_pd::<_CMP_EQ_OQ>(sum, nothing)));
        for values in &self.exact {
            let [low, high] = [fixed(_mm256_div_pd(values[0], sums[0])), fixed(_mm256_div_pd(values[1], sums[1]))];
            let mut weights = [0; 8];
            store_i32(&mut weights, _mm256_set_m128i(high, low));
            self.weights.push(weights);
        }
    }
}

/// The eight outputs of a group.
#[inline]
#[target_feature(enable = "avx2")]
fn halves(group: u32, output: u32, mirror: bool) -> [__m256d; 2] {
    let last = _mm_set1_epi32(output as i32 - 1);
    let four = |from: u32| {
        let x = _mm_add_epi32(_mm_set1_epi32((8 * group + from) as i32), _mm_setr_epi32(0, 1, 2, 3));
        let x = _mm_min_epi32(x, last);
        _mm256_cvtepi32_pd(if mirror { _mm_sub_epi32(last, x) } else { x })
    };
    [four(0), four(4)]
}

#[inline]
#[target_feature(enable = "avx2")]
fn centre(x: __m256d, scale: f64) -> __m256d {
    _mm256_mul_pd(_mm256_add_pd(x, _mm256_set1_pd(0.5)), _mm256_set1_pd(scale))
}

/// First input pixels and numbers of input pixels.
#[inline]
#[target_feature(enable = "avx2")]
fn span(centre: __m256d, reach: f64, input: u32) -> (__m128i, __m128i) {
    let (reach, half) = (_mm256_set1_pd(reach), _mm256_set1_pd(0.5));
    let first = _mm256_cvttpd_epi32(_mm256_add_pd(_mm256_sub_pd(centre, reach), half));
    let first = _mm_max_epi32(first, _mm_setzero_si128());
    let end = _mm256_cvttpd_epi32(_mm256_add_pd(_mm256_add_pd(centre, reach), half));
    (first, _mm_sub_epi32(_mm_min_epi32(end, _mm_set1_epi32(input as i32)), first))
}

/// The kernel of that support, with Pillow's order of operations.
#[inline]
#[target_feature(enable = "avx2")]
fn kernel<const SUPPORT: u8>(x: __m256d) -> __m256d {
    let of = |value: f64| _mm256_set1_pd(value);
    let x = _mm256_andnot_pd(of(-0.0), x);
    let near = _mm256_cmp_pd::<_CMP_LT_OQ>(x, of(1.0));
    if SUPPORT == 1 {
        return _mm256_and_pd(_mm256_sub_pd(of(1.0), x), near);
    }
    let inner = _mm256_mul_pd(_mm256_sub_pd(_mm256_mul_pd(of(1.5), x), of(2.5)), x);
    let inner = _mm256_add_pd(_mm256_mul_pd(inner, x), of(1.0));
    let outer = _mm256_mul_pd(_mm256_add_pd(_mm256_mul_pd(_mm256_sub_pd(x, of(5.0)), x), of(8.0)), x);
    let outer = _mm256_mul_pd(_mm256_sub_pd(outer, of(4.0)), of(-0.5));
    _mm256_and_pd(_mm256_blendv_pd(outer, inner, near), _mm256_cmp_pd::<_CMP_LT_OQ>(x, of(2.0)))
}

/// In 2^-22, rounded half away from zero.
#[inline]
#[target_feature(enable = "avx2")]
fn fixed(weight: __m256d) -> __m128i {
    let scaled = _mm256_mul_pd(weight, _mm256_set1_pd(f64::from(1 << WEIGHT_BITS)));
    let sign = _mm256_and_pd(scaled, _mm256_set1_pd(-0.0));
    _mm256_cvttpd_epi32(_mm256_add_pd(scaled, _mm256_or_pd(sign, _mm256_set1_pd(0.5))))
}

#[cfg(test)]
mod tests {
    use super::super::Avx2;
    use super::*;
    use crate::augment::weights::Table;

    #[test]
    fn weights_are_those_of_the_table() {
        let Some(_) = Avx2::detect() else { return };
        let (mut table, mut axis) = (Table::default(), Axis::default());
        for filter in [Filter::Bilinear, Filter::Bicubic] {
            for input in (1..70).chain([223, 224, 225, 375, 500, 1999, 32_767]) {
                for output in [1, 7, 8, 31, 32, 96, 224] {
                    for mirror in [false, true] {
                        table.prepare(input, output, filter);
                        // SAFETY: the CPU has AVX2.
                        unsafe { axis.prepare(input, output, filter, mirror) };
                        assert_eq!(axis.taps, table.taps_each());
                        for x in 0..output as usize {
                            let ours = if mirror { output as usize - 1 - x } else { x };
                            let (group, lane) = (ours / 8, ours % 8);
                            let taps = table.taps(x);
                            // The table shifts the taps of some outputs to the left, with zeros in front.
                            let first = axis.firsts[group][lane] as usize;
                            let at = |k: usize| k.checked_sub(first).filter(|tap| *tap < axis.taps);
                            let weight = |tap: usize| axis.weights[group * axis.taps + tap][lane];
                            for (k, expected) in (taps.first..).zip(taps.weights) {
                                let ours = at(k).map_or(0, weight);
                                assert_eq!(ours, *expected, "{filter:?} {input} to {output} at {x}, pixel {k}");
                            }
                        }
                    }
                }
            }
        }
    }
}
