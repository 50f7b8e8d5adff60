//! Upsampling and colour conversion, 32 pixels at a time.

use std::arch::x86_64::*;

use super::super::kernels::{HalfRow, Sums};

/// Pixels at a time.
const STEP: usize = 32;

/// Pixels of a row of Y, Cb, Cr; each slice reaches to the next multiple of 32 pixels.
#[target_feature(enable = "avx2")]
pub(super) fn full_row(samples: [&[u8]; 3], out: [&mut [u8]; 3], width: usize) {
    let whole = width.next_multiple_of(STEP);
    let samples = samples.map(|row| &row[..whole]);
    let out = out.map(|row| &mut row[..whole]);
    for x in (0..whole).step_by(STEP) {
        let (luma, blue, red) = (load(samples[0], x), load(samples[1], x), load(samples[2], x));
        let zero = _mm256_setzero_si256();
        let low = rgb(
            _mm256_unpacklo_epi8(luma, zero),
            centred(_mm256_unpacklo_epi8(blue, zero)),
            centred(_mm256_unpacklo_epi8(red, zero)),
        );
        let high = rgb(
            _mm256_unpackhi_epi8(luma, zero),
            centred(_mm256_unpackhi_epi8(blue, zero)),
            centred(_mm256_unpackhi_epi8(red, zero)),
        );
        for channel in 0..3 {
            let pixels = _mm256_packus_epi16(low[channel], high[channel]);
            store(out[channel], x, pixels);
        }
    }
}

/// Pixels of a row of Y, Cb, Cr whose chroma has half the columns and is interpolated.
#[target_feature(enable = "avx2")]
pub(super) fn half_row(row: &HalfRow<'_>, out: [&mut [u8]; 3], sums: &mut Sums) {
    // Sample 0 stands at 1; each end counts once more; 16 and more behind for whole loads.
    let length = (row.samples + 2).next_multiple_of(16) + 48;
    for (sums, [near, far]) in sums.0.iter_mut().zip(row.chroma) {
        if sums.len() < length {
            sums.resize(length, 0);
        }
        mix(near, if row.mixed { Some(far) } else { None }, row.samples, sums);
        sums[0] = sums[1];
        sums[row.samples + 1] = sums[row.samples];
    }
    let odd = row.lead % 2 == 1;
    match (row.mixed, odd) {
        (true, false) => pairs::<4, 8, 7, false>(row, out, sums),
        (true, true) => pairs::<4, 8, 7, true>(row, out, sums),
        (false, false) => pairs::<2, 1, 2, false>(row, out, sums),
        (false, true) => pairs::<2, 1, 2, true>(row, out, sums),
    }
}

/// 3 near + far, or near alone, to `sums[1..]`.
#[inline]
#[target_feature(enable = "avx2")]
fn mix(near: &[u8], far: Option<&[u8]>, samples: usize, sums: &mut [u16]) {
    let whole = samples.next_multiple_of(16);
    let (near, far, sums) = (&near[..whole], far.map(|far| &far[..whole]), &mut sums[1..1 + whole]);
    for at in (0..whole).step_by(16) {
        let mut sum = load_sixteen(near, at);
        if let Some(far) = far {
            sum = _mm256_add_epi16(_mm256_add_epi16(sum, _mm256_add_epi16(sum, sum)), load_sixteen(far, at));
        }
        store_sums(sums, at, sum);
    }
}

/// Pixels two by two: the even and the odd pixel of a sample, or (`ODD`: the row begins with an odd pixel) the odd pixel of a sample and
/// the even one of the next. Even pixels are (3 own + left + `E`) >> `SHIFT`, odd ones (3 own + right + `O`) >> `SHIFT`.
#[inline]
#[target_feature(enable = "avx2")]
fn pairs<const SHIFT: i32, const E: i16, const O: i16, const ODD: bool>(
    row: &HalfRow<'_>,
    out: [&mut [u8]; 3],
    sums: &Sums,
) {
    let whole = row.width.next_multiple_of(STEP);
    let luma = &row.luma[..whole];
    let out = out.map(|row| &mut row[..whole]);
    let first = row.lead / 2;
    let (even, odd) = (_mm256_set1_epi16(E - (128 << SHIFT)), _mm256_set1_epi16(O - (128 << SHIFT)));
    let order = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15));
    for x in (0..whole).step_by(STEP) {
        let at = first + x / 2;
        let (blue, red) =
            (two_pixels::<SHIFT, ODD>(&sums.0[0], at, even, odd), two_pixels::<SHIFT, ODD>(&sums.0[1], at, even, odd));
        let luma = load(luma, x);
        let before = rgb(_mm256_and_si256(luma, _mm256_set1_epi16(255)), blue[0], red[0]);
        let behind = rgb(_mm256_srli_epi16::<8>(luma), blue[1], red[1]);
        for channel in 0..3 {
            let pixels = _mm256_shuffle_epi8(_mm256_packus_epi16(before[channel], behind[channel]), order);
            store(out[channel], x, pixels);
        }
    }
}

/// Chroma of the pixel pairs of 16 samples, less 128: of their first pixels, of their second.
#[inline]
#[target_feature(enable = "avx2")]
fn two_pixels<const SHIFT: i32, const ODD: bool>(sums: &[u16], at: usize, even: __m256i, odd: __m256i) -> [__m256i; 2] {
    let own = load_sums(sums, at + 1);
    let right = load_sums(sums, at + 2);
    if ODD {
        [weighted::<SHIFT>(own, right, odd), weighted::<SHIFT>(right, own, even)]
    } else {
        [weighted::<SHIFT>(own, load_sums(sums, at), even), weighted::<SHIFT>(own, right, odd)]
    }
}

/// (3 own + other + rounding) >> `SHIFT`.
#[inline]
#[target_feature(enable = "avx2")]
fn weighted<const SHIFT: i32>(own: __m256i, other: __m256i, rounding: __m256i) -> __m256i {
    let triple = _mm256_add_epi16(own, _mm256_add_epi16(own, own));
    _mm256_srai_epi16::<SHIFT>(_mm256_add_epi16(_mm256_add_epi16(triple, other), rounding))
}

/// R, G, B of 16 pixels, 16 bits each, before clamping; `blue` and `red` are Cb and Cr less 128.
#[inline]
#[target_feature(enable = "avx2")]
fn rgb(luma: __m256i, blue: __m256i, red: __m256i) -> [__m256i; 3] {
    // Products of 16 bits rounded, exact for all 256 values of a chroma sample (held by a test):
    // 1.402 = 1 + RED / 2^15, 1.772 = 2 + BLUE / 2^15.
    let r = _mm256_add_epi16(_mm256_add_epi16(luma, red), _mm256_mulhrs_epi16(red, _mm256_set1_epi16(RED)));
    let twice = _mm256_add_epi16(blue, blue);
    let b = _mm256_add_epi16(_mm256_add_epi16(luma, twice), _mm256_mulhrs_epi16(blue, _mm256_set1_epi16(BLUE)));
    // 0.344136 in 16 bits, and 1 - 0.714136.
    let weights = _mm256_set1_epi32(18734 << 16 | i32::from(-22554i16 as u16));
    let half = _mm256_set1_epi32(1 << 15);
    let low = _mm256_add_epi32(_mm256_madd_epi16(_mm256_unpacklo_epi16(blue, red), weights), half);
    let high = _mm256_add_epi32(_mm256_madd_epi16(_mm256_unpackhi_epi16(blue, red), weights), half);
    let mixed = _mm256_packs_epi32(_mm256_srai_epi32::<16>(low), _mm256_srai_epi32::<16>(high));
    [r, _mm256_add_epi16(_mm256_sub_epi16(mixed, red), luma), b]
}

#[inline]
#[target_feature(enable = "avx2")]
fn centred(chroma: __m256i) -> __m256i {
    _mm256_sub_epi16(chroma, _mm256_set1_epi16(128))
}

/// 32 samples from `at` on.
#[inline]
#[target_feature(enable = "avx2")]
fn load(row: &[u8], at: usize) -> __m256i {
    let bytes = &row[at..at + 32];
    // SAFETY: 32 bytes.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(row: &mut [u8], at: usize, samples: __m256i) {
    let bytes = &mut row[at..at + 32];
    // SAFETY: 32 bytes.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), samples) }
}

/// 16 samples from `at` on, as 16 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn load_sixteen(row: &[u8], at: usize) -> __m256i {
    let bytes = &row[at..at + 16];
    // SAFETY: 16 bytes.
    _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_sums(sums: &[u16], at: usize) -> __m256i {
    let values = &sums[at..at + 16];
    // SAFETY: 16 values of 2 bytes.
    unsafe { _mm256_loadu_si256(values.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_sums(sums: &mut [u16], at: usize, values: __m256i) {
    let to = &mut sums[at..at + 16];
    // SAFETY: 16 values of 2 bytes.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), values) }
}

const RED: i16 = 13173;
const BLUE: i16 = -7471;

#[cfg(test)]
mod tests {
    use super::{BLUE, RED};

    #[test]
    fn rounded_products_are_those_of_16_bits() {
        for chroma in -128i32..128 {
            let rounded = |factor: i16| (chroma * i32::from(factor) + (1 << 14)) >> 15;
            assert_eq!(chroma + rounded(RED), (91881 * chroma + (1 << 15)) >> 16, "{chroma}");
            assert_eq!(2 * chroma + rounded(BLUE), (116130 * chroma + (1 << 15)) >> 16, "{chroma}");
        }
    }
}
