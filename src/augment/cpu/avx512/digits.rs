//! Sums of bytes times resample weights, exact, by dot products of four bytes.
//!
//! A dot product takes weights of -128..=127. Weights of 22 bits are three such digits; sums are shifted right between them, from the lowest
//! up, which rounds down like one shift at the end.

use std::arch::x86_64::*;

use super::super::avx2::axis::Axis;
use crate::augment::weights::WEIGHT_BITS;

/// Digits of a weight.
pub(super) const DIGITS: usize = 3;
/// Taps of a dot product.
pub(super) const QUAD: usize = 4;
/// Most dot products for an output.
pub(super) const MOST_QUADS: usize = 4;
/// Columns that are resized together: two vectors of sums.
pub(super) const STRIP: usize = 32;

/// Shows `place` the digits of all weights of `axis`: output, number of four taps, and what [`digits`] makes of them.
#[expect(clippy::needless_range_loop, reason = "the same lane of four vectors")]
pub(super) fn each_quad(axis: &Axis, mut place: impl FnMut(usize, usize, [u32; DIGITS])) {
    for (group, weights) in axis.weights.chunks_exact(axis.taps).enumerate() {
        for (quad, taps) in weights.chunks(QUAD).enumerate() {
            let tap = |tap: usize| taps.get(tap).unwrap_or(&[0; 8]);
            let taps = [tap(0), tap(1), tap(2), tap(3)];
            for lane in 0..8 {
                place(8 * group + lane, quad, digits([taps[0][lane], taps[1][lane], taps[2][lane], taps[3][lane]]));
            }
        }
    }
}

/// Of each digit, the lowest first, the bytes of four weights, whose magnitudes are below `127 << 16`.
#[inline]
fn digits(weights: [i32; QUAD]) -> [u32; DIGITS] {
    let mut digits = [0; DIGITS];
    for (place, weight) in weights.into_iter().enumerate() {
        // A digit of 128 and more is itself less 256, and one more in the next.
        let bytes = ((weight + 0x8080) ^ 0x8080) as u32;
        for (digit, to) in digits.iter_mut().enumerate() {
            *to |= (bytes >> (8 * digit) & 0xff) << (8 * place);
        }
    }
    digits
}

/// Twice sixteen sums with the same weights, in 2^-6 of a level, half a level included.
#[inline]
#[expect(clippy::needless_range_loop, reason = "the same digit of each weight")]
#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) fn sums<const QUADS: usize>(
    taps: &[[__m512i; QUADS]; 2],
    weights: &[[__m512i; DIGITS]; QUADS],
) -> [__m512i; 2] {
    let mut sums = [_mm512_set1_epi32(1 << (WEIGHT_BITS - 1)); 2];
    for digit in 0..DIGITS {
        if digit > 0 {
            sums = [_mm512_srai_epi32::<8>(sums[0]), _mm512_srai_epi32::<8>(sums[1])];
        }
        for quad in 0..QUADS {
            for (sum, taps) in sums.iter_mut().zip(taps) {
                *sum = _mm512_dpbusd_epi32(*sum, taps[quad], weights[quad][digit]);
            }
        }
    }
    sums
}

/// The sums of half a strip, and of the other half, as levels in 16 bits, by turns of four.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn levels([near, far]: [__m512i; 2]) -> __m512i {
    const LEFT: u32 = WEIGHT_BITS - 8 * (DIGITS as u32 - 1);
    _mm512_srai_epi16::<LEFT>(_mm512_packs_epi32(near, far))
}

/// Clamps two rows of a strip to bytes and puts them one behind the other.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn two_rows(first: __m512i, second: __m512i) -> __m512i {
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_permutexvar_epi32(order, _mm512_packus_epi16(first, second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_add_up() {
        let ends = [0, 127, 128, 255, -1, -128, -129, 32_767, 32_768];
        for weight in ((1 - (1 << 23))..127 << 16).step_by(77).chain(ends) {
            for place in 0..QUAD {
                let mut weights = [0; QUAD];
                weights[place] = weight;
                let digits = digits(weights);
                let [low, middle, high] = digits.map(|digit| i32::from(digit.to_le_bytes()[place] as i8));
                assert_eq!(low + 256 * middle + 65_536 * high, weight);
                assert!(
                    digits.iter().all(|digit| digit & !(0xff << (8 * place)) == 0),
                    "{weight} reaches its neighbours"
                );
            }
        }
    }
}
