//! Brightness, contrast, saturation, gray and the mean of L on blocks of pixels as i16. Each operation is a loop of its own over a
//! block in the first-level cache: chained in registers they wait for each other's results.

use std::arch::x86_64::*;

use super::lanes::{I16x16, bytes, load_i16, load_u8, store_i16, store_u8};

/// Vectors of a block and channel.
pub(super) const VECTORS: usize = 32;

/// Up to 512 pixels: R, G, B.
pub(super) struct Block {
    pub(super) planes: [[I16x16; VECTORS]; 3],
    /// Vectors in use, an even number.
    pub(super) used: usize,
}

impl Block {
    /// Pixels of a block.
    pub(super) const PIXELS: usize = 16 * VECTORS;

    pub(super) fn new() -> Self {
        Self { planes: [[I16x16::default(); VECTORS]; 3], used: 0 }
    }

    /// Takes up to [`Self::PIXELS`] pixels; vectors that they do not fill up are filled with black.
    #[target_feature(enable = "avx2")]
    pub(super) fn load(&mut self, planes: [&[u8]; 3]) {
        self.used = planes[0].len().div_ceil(32) * 2;
        for (to, from) in self.planes.iter_mut().zip(planes) {
            let (whole, rest) = from.as_chunks::<16>();
            for (to, from) in to.iter_mut().zip(whole) {
                store_i16(to, _mm256_cvtepu8_epi16(load_u8(from)));
            }
            for to in &mut to[whole.len()..self.used] {
                *to = I16x16::default();
            }
            if !rest.is_empty() {
                to[whole.len()].0.iter_mut().zip(rest).for_each(|(to, from)| *to = i16::from(*from));
            }
        }
    }

    /// Gives the pixels back.
    #[target_feature(enable = "avx2")]
    pub(super) fn store(&self, planes: [&mut [u8]; 3]) {
        for (from, to) in self.planes.iter().zip(planes) {
            let (pairs, _) = from.as_chunks::<2>();
            let (whole, rest) = to.as_chunks_mut::<32>();
            for ([low, high], to) in pairs.iter().zip(&mut *whole) {
                store_u8(to, bytes(load_i16(low), load_i16(high)));
            }
            if !rest.is_empty() {
                let mut last = [0; 32];
                let [low, high] = &pairs[whole.len()];
                store_u8(&mut last, bytes(load_i16(low), load_i16(high)));
                rest.copy_from_slice(&last[..rest.len()]);
            }
        }
    }

    /// Changes every pixel by `change`, sixteen at a time.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn each(&mut self, change: impl Fn([__m256i; 3]) -> [__m256i; 3]) {
        let [red, green, blue] = &mut self.planes;
        for ((red, green), blue) in red[..self.used].iter_mut().zip(green).zip(blue) {
            let [r, g, b] = change([load_i16(red), load_i16(green), load_i16(blue)]);
            store_i16(red, r);
            store_i16(green, g);
            store_i16(blue, b);
        }
    }

    /// Blends all values with black.
    #[target_feature(enable = "avx2")]
    pub(super) fn scale(&mut self, factor: f32) {
        let factor = factor_vector(factor);
        self.each(|[r, g, b]| [scaled(floats(r), factor), scaled(floats(g), factor), scaled(floats(b), factor)]);
    }

    /// Blends all values with `base`.
    #[target_feature(enable = "avx2")]
    pub(super) fn blend(&mut self, base: u8, factor: f32) {
        let (base, factor) = (_mm256_set1_ps(base.into()), factor_vector(factor));
        let base = [base; 2];
        self.each(|[r, g, b]| {
            [blended(base, floats(r), factor), blended(base, floats(g), factor), blended(base, floats(b), factor)]
        });
    }

    /// Blends all values with the pixel's own L.
    #[target_feature(enable = "avx2")]
    pub(super) fn saturate(&mut self, factor: f32) {
        let factor = factor_vector(factor);
        self.each(|[r, g, b]| {
            let gray = floats(luma([r, g, b]));
            [blended(gray, floats(r), factor), blended(gray, floats(g), factor), blended(gray, floats(b), factor)]
        });
    }

    /// L in all channels.
    #[target_feature(enable = "avx2")]
    pub(super) fn gray(&mut self) {
        self.each(|pixel| [luma(pixel); 3]);
    }

    /// Sum of L.
    #[target_feature(enable = "avx2")]
    pub(super) fn luma_sum(&self) -> u64 {
        let [red, green, blue] = &self.planes;
        let mut sums = _mm256_setzero_si256();
        for ((red, green), blue) in red[..self.used].iter().zip(green).zip(blue) {
            let gray = luma([load_i16(red), load_i16(green), load_i16(blue)]);
            sums = _mm256_add_epi32(sums, _mm256_madd_epi16(gray, _mm256_set1_epi16(1)));
        }
        let mut lanes = [0; 8];
        super::lanes::store_i32(&mut lanes, sums);
        lanes.iter().map(|lane| *lane as u64).sum()
    }
}

/// Larger factors clamp the same values, and would leave the range of an i32.
#[inline]
#[target_feature(enable = "avx2")]
fn factor_vector(factor: f32) -> __m256 {
    _mm256_set1_ps(factor.min(65_536.0))
}

/// Values below 2^15 as f32, in the order of `unpack`.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn floats(values: __m256i) -> [__m256; 2] {
    let zero = _mm256_setzero_si256();
    [_mm256_cvtepi32_ps(_mm256_unpacklo_epi16(values, zero)), _mm256_cvtepi32_ps(_mm256_unpackhi_epi16(values, zero))]
}

/// `base + factor (value - base)`, truncated and clamped.
#[inline]
#[target_feature(enable = "avx2")]
fn blended(base: [__m256; 2], value: [__m256; 2], factor: __m256) -> __m256i {
    let blend = |base: __m256, value: __m256| {
        _mm256_cvttps_epi32(_mm256_add_ps(base, _mm256_mul_ps(factor, _mm256_sub_ps(value, base))))
    };
    let (low, high) = (blend(base[0], value[0]), blend(base[1], value[1]));
    _mm256_min_epu16(_mm256_packus_epi32(low, high), _mm256_set1_epi16(255))
}

/// `factor value`, truncated and clamped.
#[inline]
#[target_feature(enable = "avx2")]
fn scaled(value: [__m256; 2], factor: __m256) -> __m256i {
    let low = _mm256_cvttps_epi32(_mm256_mul_ps(factor, value[0]));
    let high = _mm256_cvttps_epi32(_mm256_mul_ps(factor, value[1]));
    _mm256_min_epu16(_mm256_packus_epi32(low, high), _mm256_set1_epi16(255))
}

/// `(19595 R + 38470 G + 7471 B + 32768) >> 16`; 38470 is more than an i16 holds, so G comes in twice.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn luma([r, g, b]: [__m256i; 3]) -> __m256i {
    let pair = |low: i32, high: i32| _mm256_set1_epi32(high << 16 | low);
    let sum = |rg: __m256i, gb: __m256i| {
        let rg = _mm256_add_epi32(_mm256_madd_epi16(rg, pair(19_595, 19_235)), _mm256_set1_epi32(32_768));
        _mm256_srli_epi32::<16>(_mm256_add_epi32(rg, _mm256_madd_epi16(gb, pair(19_235, 7_471))))
    };
    let low = sum(_mm256_unpacklo_epi16(r, g), _mm256_unpacklo_epi16(g, b));
    let high = sum(_mm256_unpackhi_epi16(r, g), _mm256_unpackhi_epi16(g, b));
    _mm256_packus_epi32(low, high)
}
