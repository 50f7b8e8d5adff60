//! Vector loads and stores of arrays of just the right length: the compiler checks what a pointer would not.

use std::arch::x86_64::*;

/// Sixteen i16, aligned as vectors are.
#[derive(Clone, Copy, Default)]
#[repr(align(32))]
pub(super) struct I16x16(pub(super) [i16; 16]);

/// Eight f32, aligned as vectors are.
#[derive(Clone, Copy, Default)]
#[repr(align(32))]
pub(super) struct F32x8(pub(super) [f32; 8]);

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_u8(from: &[u8; 16]) -> __m128i {
    // SAFETY: reads the 16 bytes of `from`.
    unsafe { _mm_loadu_si128(from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(in super::super) fn store_u8(to: &mut [u8; 32], value: __m256i) {
    // SAFETY: writes the 32 bytes of `to`.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), value) }
}

/// Two vectors of levels, clamped, as bytes in their order.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn bytes(low: __m256i, high: __m256i) -> __m256i {
    _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi16(low, high))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_i16(from: &I16x16) -> __m256i {
    // SAFETY: reads the 32 bytes of `from`, which are aligned to 32.
    unsafe { _mm256_load_si256(from.0.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store_i16(to: &mut I16x16, value: __m256i) {
    // SAFETY: writes the 32 bytes of `to`, which are aligned to 32.
    unsafe { _mm256_store_si256(to.0.as_mut_ptr().cast(), value) }
}

/// Of any alignment.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_loose_i16(from: &[i16; 16]) -> __m256i {
    // SAFETY: reads the 32 bytes of `from`.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

/// To any alignment.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store_loose_i16(to: &mut [i16; 16], value: __m256i) {
    // SAFETY: writes the 32 bytes of `to`.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), value) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_i32(from: &[i32; 8]) -> __m256i {
    // SAFETY: reads the 32 bytes of `from`.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store_i32(to: &mut [i32; 8], value: __m256i) {
    // SAFETY: writes the 32 bytes of `to`.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), value) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store_u32(to: &mut [u32; 8], value: __m256i) {
    // SAFETY: writes the 32 bytes of `to`.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), value) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_f32(from: &F32x8) -> __m256 {
    // SAFETY: reads the 32 bytes of `from`, which are aligned to 32.
    unsafe { _mm256_load_ps(from.0.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store_f32(to: &mut F32x8, value: __m256) {
    // SAFETY: writes the 32 bytes of `to`, which are aligned to 32.
    unsafe { _mm256_store_ps(to.0.as_mut_ptr(), value) }
}
