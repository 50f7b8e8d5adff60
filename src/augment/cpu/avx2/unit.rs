//! Levels to f32.

use std::arch::x86_64::*;

use super::super::unit::one_by_one;
use super::Avx2;

impl Avx2 {
    /// `level / 255`, correctly rounded; both of one length.
    pub(in super::super) fn to_unit_f32(self, levels: &[u8], out: &mut [f32]) {
        // SAFETY: an `Avx2` proves the features.
        unsafe { to_unit(levels, out) }
    }
}

/// A product with the rounded inverse, corrected by the exact residual: the quotient for all 256 levels.
#[target_feature(enable = "avx2,fma")]
fn to_unit(levels: &[u8], out: &mut [f32]) {
    let (inverse, most) = (_mm256_set1_ps(1.0 / 255.0), _mm256_set1_ps(255.0));
    let (blocks, rest) = levels.as_chunks::<8>();
    let (outs, out_rest) = out.as_chunks_mut::<8>();
    for (from, to) in blocks.iter().zip(outs) {
        let level = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(*from))));
        let near = _mm256_mul_ps(level, inverse);
        let quotient = _mm256_fmadd_ps(_mm256_fnmadd_ps(near, most, level), inverse, near);
        // SAFETY: writes the eight f32 of `to`.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), quotient) };
    }
    one_by_one(rest, out_rest);
}
