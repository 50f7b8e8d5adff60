//! Brightness, contrast, saturation, gray and the mean of L on bytes.
//!
//! A blend with one value is a table of 256 results. Saturation blends with the pixel's own L, but what it adds depends only on how far the
//! value is from it: `floor(factor distance)`, a table again.

use std::arch::x86_64::*;

use super::lanes::{Table, load, load_16, look_up, store, store_16};
use super::pixels::{Planes, change_each, change_pixels, read_pixels};

/// Blends with `base`.
#[target_feature(enable = "avx512f")]
pub(super) fn blends(base: u8, factor: f32) -> Table {
    let (base, factor) = (_mm512_set1_ps(base.into()), _mm512_set1_ps(factor));
    results(|value| blended(base, value, factor))
}

/// The table of `of`.
#[inline]
#[target_feature(enable = "avx512f")]
fn results(mut of: impl FnMut(__m512) -> __m128i) -> Table {
    let mut table = Table([0; 256]);
    let mut values =
        _mm512_setr_ps(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0);
    for to in table.0.as_chunks_mut().0 {
        store_16(to, of(values));
        values = _mm512_add_ps(values, _mm512_set1_ps(16.0));
    }
    table
}

/// `base + factor (value - base)`, truncated and clamped.
#[inline]
#[target_feature(enable = "avx512f")]
fn blended(base: __m512, value: __m512, factor: __m512) -> __m128i {
    truncated(_mm512_add_ps(base, _mm512_mul_ps(factor, _mm512_sub_ps(value, base))))
}

/// As `as u8` does it.
#[inline]
#[target_feature(enable = "avx512f")]
fn truncated(values: __m512) -> __m128i {
    _mm512_cvtusepi32_epi8(_mm512_cvttps_epu32(_mm512_max_ps(values, _mm512_setzero_ps())))
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
    #[target_feature(enable = "avx512f")]
    pub(super) fn new(factor: f32) -> Self {
        let (factors, least, most) = (_mm512_set1_ps(factor), _mm512_set1_ps(ROUNDING), _mm512_set1_ps(1.0 - ROUNDING));
        let mut unsure = 0;
        let floors = results(|distance| {
            let product = _mm512_mul_ps(factors, distance);
            let floor = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(product);
            let part = _mm512_sub_ps(product, floor);
            let far = _mm512_test_epi32_mask(_mm512_castps_si512(distance), _mm512_castps_si512(distance));
            // Also where it is not a number.
            unsure |= far & _mm512_cmp_ps_mask::<_CMP_NGT_UQ>(part, least);
            unsure |= far & _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(part, most);
            truncated(floor)
        });
        Self { factor, floors: (unsure == 0).then_some(floors) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
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
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn apply_floats(&self, planes: &mut Planes<'_>) {
        let factor = _mm512_set1_ps(self.factor);
        let blend = |gray: __m512i, values: __m512i| {
            let (mut grays, mut bytes) = ([0; 64], [0; 64]);
            store(&mut grays, gray);
            store(&mut bytes, values);
            for (to, gray) in bytes.as_chunks_mut().0.iter_mut().zip(grays.as_chunks().0) {
                let floats = |bytes: &[u8; 16]| _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(load_16(bytes)));
                store_16(to, blended(floats(gray), floats(to), factor));
            }
            load(&bytes)
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
