//! The inverse DCT, as libjpeg-turbo's vector code computes it: two blocks at a time, one in each half of a register, so that nothing
//! crosses halves before the store. What is known to be zero is left out, which changes no bit.

use std::arch::x86_64::*;

use crate::coef::expand::kernels::Table;
use crate::coef::tile::Block;

/// Samples of `blocks`, see `Kernels::transform`; `out` has at least `7 * stride + 8 * blocks.len() + 8` bytes.
#[target_feature(enable = "avx2")]
pub(super) fn row(blocks: &[Block], presence: &[u8], table: &Table, out: &mut [u8], stride: usize) {
    for (index, (pair, present)) in blocks.chunks(2).zip(presence.chunks(2)).enumerate() {
        // The last of an odd number is its own partner.
        let (first, second) = (&pair[0], &pair[pair.len() - 1]);
        let present = present[0] | present[present.len() - 1];
        let to = &mut out[16 * index..];
        if present == 0 {
            flat(first.0[0], second.0[0], table.step(0), to, stride);
            continue;
        }
        let rows = if present & 0xfc == 0 {
            two_blocks::<true, true>(first, second, table)
        } else if present & 0xf0 == 0 {
            two_blocks::<true, false>(first, second, table)
        } else if present & 0xcc == 0 {
            two_blocks::<false, true>(first, second, table)
        } else {
            two_blocks::<false, false>(first, second, table)
        };
        store_rows(rows, to, stride);
    }
}

/// Two blocks of DC alone.
#[inline]
#[target_feature(enable = "avx2")]
fn flat(first: i16, second: i16, step: i16, out: &mut [u8], stride: usize) {
    let level = |dc: i16| {
        let scaled = (4 * i32::from(dc.wrapping_mul(step))).clamp(i16::MIN.into(), i16::MAX.into());
        (((scaled + 16) >> 5).clamp(-128, 127) + 128) as u64 * 0x0101_0101_0101_0101
    };
    let both = _mm_set_epi64x(level(second) as i64, level(first) as i64);
    store_rows([_mm256_broadcastsi128_si256(both); 4], out, stride);
}

/// Rows 0 and 1, 2 and 3, ... of two blocks to `out`: each half is a row of 16 samples.
#[inline]
#[target_feature(enable = "avx2")]
fn store_rows(rows: [__m256i; 4], out: &mut [u8], stride: usize) {
    assert!(out.len() >= 7 * stride + 16);
    for (pair, both) in rows.into_iter().enumerate() {
        // SAFETY: 16 bytes from row 2 * pair <= 6 and from the next, which are inside by the assertion.
        unsafe {
            let row = out.as_mut_ptr().add(2 * pair * stride);
            _mm_storeu_si128(row.cast(), _mm256_castsi256_si128(both));
            _mm_storeu_si128(row.add(stride).cast(), _mm256_extracti128_si256::<1>(both));
        }
    }
}

/// Samples of two blocks. `UPPER`: rows 4..8 are zero; `LEFT`: columns 4..8 are.
#[inline]
#[target_feature(enable = "avx2")]
fn two_blocks<const UPPER: bool, const LEFT: bool>(first: &Block, second: &Block, table: &Table) -> [__m256i; 4] {
    let zero = _mm256_setzero_si256();
    let mut rows = [zero; 8];
    for (y, row) in rows.iter_mut().enumerate().take(if UPPER { 4 } else { 8 }) {
        // SAFETY: row y <= 7 of blocks and table; both types are aligned to 32 bytes, their rows to 16 and 32.
        let (low, high, steps) = unsafe {
            (
                _mm_load_si128(first.0.as_ptr().add(8 * y).cast()),
                _mm_load_si128(second.0.as_ptr().add(8 * y).cast()),
                _mm256_load_si256(table.0.as_ptr().add(16 * y).cast()),
            )
        };
        *row = _mm256_mullo_epi16(_mm256_set_m128i(high, low), steps);
    }
    let columns = transposed::<LEFT>(pass::<11, UPPER, LEFT>(&rows));
    let [d0, d1, d2, d3, d4, d5, d6, d7] = pass::<18, LEFT, false>(&columns);

    let level = |a, b| _mm256_add_epi8(_mm256_packs_epi16(a, b), _mm256_set1_epi8(-128));
    let (p0, p1, p2, p3) = (level(d0, d2), level(d1, d3), level(d4, d6), level(d5, d7));
    let (a0, a1) = (_mm256_unpacklo_epi8(p0, p1), _mm256_unpackhi_epi8(p0, p1));
    let (a2, a3) = (_mm256_unpacklo_epi8(p2, p3), _mm256_unpackhi_epi8(p2, p3));
    let (b0, b1) = (_mm256_unpacklo_epi16(a0, a1), _mm256_unpackhi_epi16(a0, a1));
    let (b2, b3) = (_mm256_unpacklo_epi16(a2, a3), _mm256_unpackhi_epi16(a2, a3));
    // Two rows of the first block, two of the second: the middle quarters change places.
    [
        _mm256_unpacklo_epi32(b0, b2),
        _mm256_unpackhi_epi32(b0, b2),
        _mm256_unpacklo_epi32(b1, b3),
        _mm256_unpackhi_epi32(b1, b3),
    ]
    .map(|rows| _mm256_permute4x64_epi64::<0b11_01_10_00>(rows))
}

/// Both 8x8 blocks transposed; `LEFT`: only columns 0..4 of the input mean anything, rows 4..8 of the result are zero.
#[inline]
#[target_feature(enable = "avx2")]
fn transposed<const LEFT: bool>(x: [__m256i; 8]) -> [__m256i; 8] {
    let mut out = [_mm256_setzero_si256(); 8];
    let quarters = |a: [__m256i; 4]| {
        let (b0, b1) = (_mm256_unpacklo_epi32(a[0], a[1]), _mm256_unpackhi_epi32(a[0], a[1]));
        let (b2, b3) = (_mm256_unpacklo_epi32(a[2], a[3]), _mm256_unpackhi_epi32(a[2], a[3]));
        [
            _mm256_unpacklo_epi64(b0, b2),
            _mm256_unpackhi_epi64(b0, b2),
            _mm256_unpacklo_epi64(b1, b3),
            _mm256_unpackhi_epi64(b1, b3),
        ]
    };
    let low = [0, 2, 4, 6].map(|row| _mm256_unpacklo_epi16(x[row], x[row + 1]));
    out[..4].copy_from_slice(&quarters(low));
    if !LEFT {
        let high = [0, 2, 4, 6].map(|row| _mm256_unpackhi_epi16(x[row], x[row + 1]));
        out[4..].copy_from_slice(&quarters(high));
    }
    out
}

/// `a` and `b`, 16 bits each, eight times.
#[inline]
#[target_feature(enable = "avx2")]
fn both(a: i16, b: i16) -> __m256i {
    _mm256_set1_epi32(i32::from(b) << 16 | i32::from(a as u16))
}

/// One dimension for all lanes, rounded, shifted right by `SHIFT` and saturated to 16 bits. `UPPER`: rows 4..8 are zero. `HALF`: only
/// the lower four lanes of each half are wanted, the others become zero.
#[inline]
#[target_feature(enable = "avx2")]
fn pass<const SHIFT: i32, const UPPER: bool, const HALF: bool>(x: &[__m256i; 8]) -> [__m256i; 8] {
    let mut out = [_mm256_setzero_si256(); 8];
    if UPPER {
        let low = lanes_of_four::<SHIFT>(_mm256_unpacklo_epi16(x[0], x[2]), _mm256_unpacklo_epi16(x[1], x[3]));
        let mut high = out;
        if !HALF {
            high = lanes_of_four::<SHIFT>(_mm256_unpackhi_epi16(x[0], x[2]), _mm256_unpackhi_epi16(x[1], x[3]));
        }
        for index in 0..8 {
            out[index] = _mm256_packs_epi32(low[index], high[index]);
        }
        return out;
    }
    let rounding = _mm256_set1_epi16(1 << 10);
    let (sum, difference) = (_mm256_add_epi16(x[0], x[4]), _mm256_sub_epi16(x[0], x[4]));
    let (z3, z4) = (_mm256_add_epi16(x[3], x[7]), _mm256_add_epi16(x[1], x[5]));
    let low = lanes::<SHIFT>([
        _mm256_unpacklo_epi16(rounding, sum),
        _mm256_unpacklo_epi16(rounding, difference),
        _mm256_unpacklo_epi16(x[2], x[6]),
        _mm256_unpacklo_epi16(z3, z4),
        _mm256_unpacklo_epi16(x[7], x[1]),
        _mm256_unpacklo_epi16(x[5], x[3]),
    ]);
    let mut high = out;
    if !HALF {
        high = lanes::<SHIFT>([
            _mm256_unpackhi_epi16(rounding, sum),
            _mm256_unpackhi_epi16(rounding, difference),
            _mm256_unpackhi_epi16(x[2], x[6]),
            _mm256_unpackhi_epi16(z3, z4),
            _mm256_unpackhi_epi16(x[7], x[1]),
            _mm256_unpackhi_epi16(x[5], x[3]),
        ]);
    }
    for index in 0..8 {
        out[index] = _mm256_packs_epi32(low[index], high[index]);
    }
    out
}

/// [`pass`] in 32 bits: `[2^10 | in0 + in4, 2^10 | in0 - in4, in2 | in6, z3 | z4, in7 | in1, in5 | in3]` as pairs of 16 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn lanes<const SHIFT: i32>(pairs: [__m256i; 6]) -> [__m256i; 8] {
    let [sum, difference, p26, p34, p71, p53] = pairs;
    // 2^10 times this is one half after the shift.
    let scale = both(1 << (SHIFT - 11), 1 << 13);
    let (tmp0, tmp1) = (_mm256_madd_epi16(sum, scale), _mm256_madd_epi16(difference, scale));
    let tmp3 = _mm256_madd_epi16(p26, both(4433 + 6270, 4433));
    let tmp2 = _mm256_madd_epi16(p26, both(4433, 4433 - 15137));
    let even = [
        _mm256_add_epi32(tmp0, tmp3),
        _mm256_add_epi32(tmp1, tmp2),
        _mm256_sub_epi32(tmp1, tmp2),
        _mm256_sub_epi32(tmp0, tmp3),
    ];
    let z3 = _mm256_madd_epi16(p34, both(9633 - 16069, 9633));
    let z4 = _mm256_madd_epi16(p34, both(9633, 9633 - 3196));
    let odd = [
        _mm256_add_epi32(_mm256_madd_epi16(p71, both(-7373, 12299 - 7373)), z4),
        _mm256_add_epi32(_mm256_madd_epi16(p53, both(-20995, 25172 - 20995)), z3),
        _mm256_add_epi32(_mm256_madd_epi16(p53, both(16819 - 20995, -20995)), z4),
        _mm256_add_epi32(_mm256_madd_epi16(p71, both(2446 - 7373, -7373)), z3),
    ];
    butterfly::<SHIFT>(even, odd)
}

/// [`lanes`] where rows 4..8 are zero: `in0 | in2` and `in1 | in3`. The factors are sums of those of [`lanes`].
#[inline]
#[target_feature(enable = "avx2")]
fn lanes_of_four<const SHIFT: i32>(p02: __m256i, p13: __m256i) -> [__m256i; 8] {
    let rounding = _mm256_set1_epi32(1 << (SHIFT - 1));
    let even = [
        _mm256_add_epi32(_mm256_madd_epi16(p02, both(1 << 13, 4433 + 6270)), rounding),
        _mm256_add_epi32(_mm256_madd_epi16(p02, both(1 << 13, 4433)), rounding),
        _mm256_add_epi32(_mm256_madd_epi16(p02, both(1 << 13, -4433)), rounding),
        _mm256_add_epi32(_mm256_madd_epi16(p02, both(1 << 13, -4433 - 6270)), rounding),
    ];
    let odd = [
        _mm256_madd_epi16(p13, both(12299 - 7373 + 9633 - 3196, 9633)),
        _mm256_madd_epi16(p13, both(9633, 25172 - 20995 + 9633 - 16069)),
        _mm256_madd_epi16(p13, both(9633 - 3196, 9633 - 20995)),
        _mm256_madd_epi16(p13, both(9633 - 7373, 9633 - 16069)),
    ];
    butterfly::<SHIFT>(even, odd)
}

/// Sums and differences, shifted.
#[inline]
#[target_feature(enable = "avx2")]
fn butterfly<const SHIFT: i32>(even: [__m256i; 4], odd: [__m256i; 4]) -> [__m256i; 8] {
    let mut out = [_mm256_setzero_si256(); 8];
    for index in 0..4 {
        out[index] = _mm256_srai_epi32::<SHIFT>(_mm256_add_epi32(even[index], odd[index]));
        out[7 - index] = _mm256_srai_epi32::<SHIFT>(_mm256_sub_epi32(even[index], odd[index]));
    }
    out
}
