//! Levels to f32.

use std::arch::x86_64::*;

use super::super::unit::one_by_one;
use super::Avx2;

impl Avx2 {
    /// `level / 255`, correctly rounded; both of one length.
    pub(in super::super) fn to_unit_f32(self, levels: &[u8], out: &mut [f32]) {
        // A batch is larger than the caches: written past them where it can be, memory is not read first.
        if out.as_ptr().cast::<__m256>().is_aligned() {
            // SAFETY: an `Avx2` proves the features.
            unsafe { to_unit::<true>(levels, out) }
        } else {
            // SAFETY: as above.
            unsafe { to_unit::<false>(levels, out) }
        }
    }
}

/// Levels to a loop.
const LEVELS: usize = 32;

/// The quotient, as the sum of products with the inverse and with what the inverse lacks: off by 2^-48 of it before rounding, and no
/// quotient of a level lies within 2^-33 of where rounding turns. To `PAST` the caches, `out` must be aligned as vectors are.
#[target_feature(enable = "avx2,fma")]
fn to_unit<const PAST: bool>(levels: &[u8], out: &mut [f32]) {
    const INVERSE: f32 = 1.0 / 255.0;
    const LACKING: f32 = (1.0 / 255.0 - INVERSE as f64) as f32;
    let (inverse, lacking) = (_mm256_set1_ps(INVERSE), _mm256_set1_ps(LACKING));
    assert!(!PAST || out.as_ptr().cast::<__m256>().is_aligned());
    let (blocks, rest) = levels.as_chunks::<LEVELS>();
    let (outs, out_rest) = out.as_chunks_mut::<LEVELS>();
    for (from, to) in blocks.iter().zip(outs) {
        for (from, to) in from.as_chunks::<8>().0.iter().zip(to.as_chunks_mut::<8>().0) {
            let level = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(*from))));
            let quotient = _mm256_fmadd_ps(level, inverse, _mm256_mul_ps(level, lacking));
            if PAST {
                // SAFETY: writes the eight f32 of `to`, which lie whole vectors behind the aligned start.
                unsafe { _mm256_stream_ps(to.as_mut_ptr(), quotient) };
            } else {
                // SAFETY: writes the eight f32 of `to`.
                unsafe { _mm256_storeu_ps(to.as_mut_ptr(), quotient) };
            }
        }
    }
    if PAST {
        // Before any other write of this thread can be seen.
        _mm_sfence();
    }
    one_by_one(rest, out_rest);
}
