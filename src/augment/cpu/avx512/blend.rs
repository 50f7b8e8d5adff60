//! Brightness, contrast, saturation, gray and the mean of L on bytes.
//!
//! A blend with one value is a table of 256 results. Saturation blends with the pixel's own L, but what it adds depends only on how far the
//! value is from it: `floor(factor distance)`, a table again.

use std::arch::x86_64::*;

use super::super::colour::blend;
use super::lanes::{Table, look_up};
use super::pixels::{Planes, change_each, change_pixels, read_pixels};

/// Blends with `base`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
pub(super) fn blends(base: u8, factor: f32) -> Table {
    let mut results = [0; 256];
    for (value, to) in results.iter_mut().enumerate() {
        *to = blend(base, value as u8, factor);
    }
    Table::of(&results)
}

/// Replaces every value by the table's.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub(super) fn replace(planes: &mut Planes<'_>, table: &Table) {
    let table = table.vectors();
    change_each(planes, |values| look_up(table, values));
}

/// Blends all values with the pixel's own L.
pub(super) struct Saturation {
    factor: f32,
    /// `floor(factor distance)` for each distance, at most 255; `None` where some blend might round across a whole number.
    floors: Option<Table>,
}

/// Sums below 512 are at least this exact.
const ROUNDING: f32 = 1.0 / (1 << 16) as f32;

impl Saturation {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    pub(super) fn new(factor: f32) -> Self {
        let (mut floors, mut sure) = ([0; 256], true);
        for (distance, to) in floors.iter_mut().enumerate() {
            let product = factor * distance as f32;
            let floor = product.floor();
            let part = product - floor;
            sure &= distance == 0 || (part > ROUNDING && part < 1.0 - ROUNDING);
            *to = floor as u8;
        }
        Self { factor, floors: sure.then(|| Table::of(&floors)) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vnni")]
    pub(super) fn apply(&self, planes: &mut Planes<'_>) {
        let Some(floors) = &self.floors else { return self.apply_floats(planes) };
        let (floors, one) = (floors.vectors(), _mm512_set1_epi8(1));
        change_pixels(planes, |pixel| {
            let gray = luma(pixel);
            let blend = |value: __m512i| {
                let distance = _mm512_sub_epi8(_mm512_max_epu8(value, gray), _mm512_min_epu8(value, gray));
                let floor = look_up(floors, distance);
                // Below L, no product is whole: the ceiling is one more than the floor.
                let (above, below) = (_mm512_adds_epu8(gray, floor), _mm512_subs_epu8(gray, floor));
                _mm512_mask_subs_epu8(above, _mm512_cmplt_epu8_mask(value, gray), below, one)
            };
            [blend(pixel[0]), blend(pixel[1]), blend(pixel[2])]
        });
    }

    /// About one factor in 100 comes here, and whole ones.
    #[cold]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vnni")]
    fn apply_floats(&self, planes: &mut Planes<'_>) {
        let blend = |gray: __m512i, values: __m512i| {
            let (mut grays, mut to) = ([0; 64], [0; 64]);
            super::lanes::store(&mut grays, gray);
            super::lanes::store(&mut to, values);
            for (to, gray) in to.iter_mut().zip(grays) {
                *to = blend(gray, *to, self.factor);
            }
            super::lanes::load(&to)
        };
        change_pixels(planes, |pixel| {
            let gray = luma(pixel);
            [blend(gray, pixel[0]), blend(gray, pixel[1]), blend(gray, pixel[2])]
        });
    }
}

/// L in all channels.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn gray(planes: &mut Planes<'_>) {
    change_pixels(planes, |pixel| [luma(pixel); 3]);
}

/// Sum of L.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn luma_sum(planes: &Planes<'_>) -> u64 {
    let mut sums = _mm512_setzero_si512();
    read_pixels(planes, |pixel| sums = _mm512_add_epi64(sums, _mm512_sad_epu8(luma(pixel), _mm512_setzero_si512())));
    _mm512_reduce_add_epi64(sums) as u64
}

/// `(19595 R + 38470 G + 7471 B + 32768) >> 16` of 64 pixels.
///
/// The dot product takes weights of -128..=127, so each is cut in two, `256 high + low`, and G, whose high part is 150, comes in twice.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn luma([r, g, b]: [__m512i; 3]) -> __m512i {
    const HIGH: i32 = i32::from_le_bytes([77, 75, 29, 75]);
    const LOW: i32 = i32::from_le_bytes([-117i8 as u8, 70, 47, 0]);
    let (rg, bg) = (_mm512_unpacklo_epi8(r, g), _mm512_unpacklo_epi8(b, g));
    let (rg_far, bg_far) = (_mm512_unpackhi_epi8(r, g), _mm512_unpackhi_epi8(b, g));
    let sums = |quads: __m512i| {
        let low = _mm512_dpbusd_epi32(_mm512_set1_epi32(32_768), quads, _mm512_set1_epi32(LOW));
        _mm512_dpbusd_epi32(_mm512_srai_epi32::<8>(low), quads, _mm512_set1_epi32(HIGH))
    };
    let pair = |rg: __m512i, bg: __m512i| {
        let (near, far) = (_mm512_unpacklo_epi16(rg, bg), _mm512_unpackhi_epi16(rg, bg));
        _mm512_srli_epi16::<8>(_mm512_packus_epi32(sums(near), sums(far)))
    };
    _mm512_packus_epi16(pair(rg, bg), pair(rg_far, bg_far))
}
