//! Loads and stores of 64 and 16 bytes, of fewer behind a mask, and a table of 256 bytes.

use std::arch::x86_64::*;

use super::super::avx2::lanes::store_u8;

/// 64 bytes, aligned as vectors are.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct U8x64(pub(super) [u8; 64]);

impl U8x64 {
    pub(super) const ZERO: Self = Self([0; 64]);
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load(from: &[u8; 64]) -> __m512i {
    // SAFETY: reads the 64 bytes of `from`.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store(to: &mut [u8; 64], value: __m512i) {
    // SAFETY: writes the 64 bytes of `to`.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), value) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load_16(from: &[u8; 16]) -> __m128i {
    // SAFETY: reads the 16 bytes of `from`.
    unsafe { _mm_loadu_si128(from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store_16(to: &mut [u8; 16], value: __m128i) {
    // SAFETY: writes the 16 bytes of `to`.
    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), value) }
}

/// At most 64 bytes, zeros behind them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn load_part(from: &[u8]) -> __m512i {
    // SAFETY: reads the bytes of `from` alone: the mask has a bit for each, and memory behind the others is not touched.
    unsafe { _mm512_maskz_loadu_epi8(first(from.len()), from.as_ptr().cast()) }
}

/// The first bytes of `value`, at most 64.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn store_part(to: &mut [u8], value: __m512i) {
    // SAFETY: writes the bytes of `to` alone, as above.
    unsafe { _mm512_mask_storeu_epi8(to.as_mut_ptr().cast(), first(to.len()), value) }
}

/// The first bytes of `value`, at most 32, all of them without a mask.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn store_low(to: &mut [u8], value: __m512i) {
    match to.try_into() {
        Ok(to) => store_u8(to, _mm512_castsi512_si256(value)),
        Err(_) => store_part(to, value),
    }
}

/// A bit for each of the first `count` bytes.
fn first(count: usize) -> u64 {
    assert!(count <= 64, "{count} bytes in a vector of 64");
    u64::MAX.checked_shr(64 - count as u32).unwrap_or(0)
}

/// A byte for each byte.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Table(pub(super) [u8; 256]);

impl Table {
    /// Its vectors, to keep in registers over a loop.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn vectors(&self) -> [__m512i; 4] {
        let (quarters, _) = self.0.as_chunks();
        [load(&quarters[0]), load(&quarters[1]), load(&quarters[2]), load(&quarters[3])]
    }
}

/// The table's byte for each byte of `at`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub(super) fn look_up(table: [__m512i; 4], at: __m512i) -> __m512i {
    let low = _mm512_permutex2var_epi8(table[0], at, table[1]);
    let high = _mm512_permutex2var_epi8(table[2], at, table[3]);
    _mm512_mask_mov_epi8(low, _mm512_movepi8_mask(at), high)
}
