//! Hue on a block: Pillow's HSV there and back, with its roundings.
//!
//! There, with `max`, `min`, `mid` of R, G, B and `chroma = max - min`: `q = (max - mid) / chroma`, `h = base +- q` by which channels
//! are the largest (the first of equals) and the least, `turns = h / 6`, one more if negative; the hue byte is `floor(255 turns)`,
//! the saturation `floor(255 (chroma / max))`. Each quotient is rounded to f32 as Pillow's variables are; a residual by fused
//! multiply-add makes `h / 6` and the two floors exact. Back is integers: see the scalar `lost`.

use std::arch::x86_64::*;

use super::blend::{Block, floats};
use super::lanes::{load_i16, store_i16};

/// Saturation 1 times a loss of 1, as integers.
const WHOLE: i16 = 255 * 85;

impl Block {
    /// Adds `shift` to the hue byte.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn turn_hue(&mut self, shift: u8) {
        self.make_hsv(shift);
        self.make_rgb();
    }

    /// R, G, B become V, S and twice the turned hue byte.
    #[target_feature(enable = "avx2,fma")]
    fn make_hsv(&mut self, shift: u8) {
        let of = |value: i16| _mm256_set1_epi16(value);
        let [red, green, blue] = &mut self.planes;
        for ((red, green), blue) in red[..self.used].iter_mut().zip(green).zip(blue) {
            let (r, g, b) = (load_i16(red), load_i16(green), load_i16(blue));
            let most = _mm256_max_epi16(r, _mm256_max_epi16(g, b));
            let least = _mm256_min_epi16(r, _mm256_min_epi16(g, b));
            let chroma = _mm256_sub_epi16(most, least);
            let sum = _mm256_add_epi16(_mm256_add_epi16(r, g), b);
            let below = _mm256_sub_epi16(_mm256_add_epi16(_mm256_add_epi16(most, most), least), sum);
            // Raised to 1, gray and black pixels need no branch: their saturation is 0.
            let divisor = _mm256_max_epi16(chroma, of(1));
            let largest = _mm256_max_epi16(most, of(1));
            let (part, whole) = (floats(chroma), floats(largest));
            let saturation = _mm256_packus_epi32(
                floor_255(_mm256_div_ps(part[0], whole[0])),
                floor_255(_mm256_div_ps(part[1], whole[1])),
            );

            let (base, signed) = sixth([r, g, b], most, least, below);
            let (base, signed, divisor) = (signed_floats(base), signed_floats(signed), floats(divisor));
            let hue =
                _mm256_packus_epi32(hue_byte(base[0], signed[0], divisor[0]), hue_byte(base[1], signed[1], divisor[1]));
            let turned = _mm256_and_si256(_mm256_add_epi16(hue, of(shift.into())), of(255));
            store_i16(red, most);
            store_i16(green, saturation);
            store_i16(blue, _mm256_add_epi16(turned, turned));
        }
    }

    /// V, S and twice H become R, G, B.
    #[target_feature(enable = "avx2,fma")]
    fn make_rgb(&mut self) {
        let of = |value: i16| _mm256_set1_epi16(value);
        let [red, green, blue] = &mut self.planes;
        for ((red, green), blue) in red[..self.used].iter_mut().zip(green).zip(blue) {
            let (most, saturation, twice) = (load_i16(red), load_i16(green), load_i16(blue));
            let channel = |n: i16| {
                let k = _mm256_add_epi16(twice, of(85 * n));
                let k = _mm256_min_epu16(k, _mm256_sub_epi16(k, of(510)));
                let lost = _mm256_min_epi16(k, _mm256_sub_epi16(of(340), k));
                let lost = _mm256_min_epi16(_mm256_max_epi16(lost, of(0)), of(85));
                let kept = _mm256_sub_epi16(of(WHOLE), _mm256_mullo_epi16(saturation, lost));
                let (low, high) = (_mm256_mullo_epi16(kept, most), _mm256_mulhi_epu16(kept, most));
                let level = |product: __m256i| {
                    let inverse = _mm256_set1_ps(1.0 / f32::from(WHOLE));
                    _mm256_cvttps_epi32(_mm256_fmadd_ps(_mm256_cvtepi32_ps(product), inverse, _mm256_set1_ps(0.5)))
                };
                let (low, high) = (_mm256_unpacklo_epi16(low, high), _mm256_unpackhi_epi16(low, high));
                _mm256_packus_epi32(level(low), level(high))
            };
            let [r, g, b] = [channel(5), channel(3), channel(1)];
            store_i16(red, r);
            store_i16(green, g);
            store_i16(blue, b);
        }
    }
}

/// `base` and `+-below`, so that the hue is `base + (+-below) / chroma` sixths of a turn.
#[inline]
#[target_feature(enable = "avx2")]
fn sixth([r, g, b]: [__m256i; 3], most: __m256i, least: __m256i, below: __m256i) -> (__m256i, __m256i) {
    let of = |value: i16| _mm256_set1_epi16(value);
    let is = |a: __m256i, b: __m256i| _mm256_cmpeq_epi16(a, b);
    let pick = |no: __m256i, yes: __m256i, mask: __m256i| _mm256_blendv_epi8(no, yes, mask);
    // Which channel is the largest, and whether the next one (B for R, R for G and B) is the least: -1 then.
    let (red_least, blue_least) = (is(r, least), is(b, least));
    let (red_most, green_most) = (is(r, most), is(g, most));
    // R: 1 - q or -1 + q. G: 3 - q or 1 + q. B: 3 + q or 5 - q.
    let two = |mask: __m256i| _mm256_add_epi16(mask, mask);
    let of_red = _mm256_sub_epi16(of(-1), two(blue_least));
    let of_green = _mm256_sub_epi16(of(1), two(red_least));
    let of_blue = _mm256_add_epi16(of(5), two(red_least));
    let base = pick(pick(of_blue, of_green, green_most), of_red, red_most);
    let flip = pick(pick(_mm256_xor_si256(red_least, of(-1)), red_least, green_most), blue_least, red_most);
    (base, _mm256_sub_epi16(_mm256_xor_si256(below, flip), flip))
}

/// Values of either sign as f32, in the order of `unpack`.
#[inline]
#[target_feature(enable = "avx2")]
fn signed_floats(values: __m256i) -> [__m256; 2] {
    let zero = _mm256_setzero_si256();
    [
        _mm256_cvtepi32_ps(_mm256_srai_epi32::<16>(_mm256_unpacklo_epi16(zero, values))),
        _mm256_cvtepi32_ps(_mm256_srai_epi32::<16>(_mm256_unpackhi_epi16(zero, values))),
    ]
}

/// The hue byte of `base + part / whole` sixths.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn hue_byte(base: __m256, part: __m256, whole: __m256) -> __m256i {
    let sixths = _mm256_add_ps(base, _mm256_div_ps(part, whole));
    let inverse = _mm256_set1_ps(1.0 / 6.0);
    let turns = _mm256_mul_ps(sixths, inverse);
    let residual = _mm256_fnmadd_ps(turns, _mm256_set1_ps(6.0), sixths);
    let turns = _mm256_fmadd_ps(residual, inverse, turns);
    let negative = _mm256_castsi256_ps(_mm256_srai_epi32::<31>(_mm256_castps_si256(turns)));
    floor_255(_mm256_add_ps(turns, _mm256_and_ps(negative, _mm256_set1_ps(1.0))))
}

/// `floor(255 value)` of the exact product.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn floor_255(value: __m256) -> __m256i {
    let most = _mm256_set1_ps(255.0);
    let floor = _mm256_cvttps_epi32(_mm256_mul_ps(value, most));
    // The rounded product may have reached the next whole number: then the exact one is below it.
    let residual = _mm256_fmsub_ps(value, most, _mm256_cvtepi32_ps(floor));
    _mm256_add_epi32(floor, _mm256_srai_epi32::<31>(_mm256_castps_si256(residual)))
}
