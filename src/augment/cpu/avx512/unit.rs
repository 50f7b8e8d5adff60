//! Levels to f32, a cache line at a time.

use std::arch::x86_64::*;

use super::super::unit::one_by_one;
use super::Avx512;
use super::lanes::load_16;

impl Avx512 {
    /// `level / 255`, correctly rounded; both of one length.
    pub(in super::super) fn to_unit_f32(self, levels: &[u8], out: &mut [f32]) {
        // SAFETY: an `Avx512` proves the features.
        unsafe { to_unit(levels, out) }
    }
}

/// As in `avx2`: the sum of products with the inverse and with what the inverse lacks; past the caches where `out` is aligned.
#[target_feature(enable = "avx512f")]
fn to_unit(levels: &[u8], out: &mut [f32]) {
    const INVERSE: f32 = 1.0 / 255.0;
    const LACKING: f32 = (1.0 / 255.0 - INVERSE as f64) as f32;
    let (inverse, lacking) = (_mm512_set1_ps(INVERSE), _mm512_set1_ps(LACKING));
    let past = out.as_ptr().cast::<__m512>().is_aligned();
    let (blocks, rest) = levels.as_chunks::<16>();
    let (outs, out_rest) = out.as_chunks_mut::<16>();
    for (from, to) in blocks.iter().zip(outs) {
        let level = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(load_16(from)));
        let quotient = _mm512_fmadd_ps(level, inverse, _mm512_mul_ps(level, lacking));
        if past {
            // SAFETY: writes the sixteen f32 of `to`, which lie whole vectors behind the aligned start.
            unsafe { _mm512_stream_ps(to.as_mut_ptr(), quotient) };
        } else {
            // SAFETY: writes the sixteen f32 of `to`.
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), quotient) };
        }
    }
    if past {
        // Before any other write of this thread can be seen.
        _mm_sfence();
    }
    one_by_one(rest, out_rest);
}
