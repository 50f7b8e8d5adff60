//! Which coefficients of a block are not zero, and how many bits they take.

use crate::coef::tile::position;

/// A block by tiles.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scan {
    /// Bit e of a tile's mask: coefficient e is an AC coefficient and not zero.
    pub(super) masks: [u8; 8],
    /// Bits that each nonzero value of the tile takes; means nothing where the mask is 0.
    pub(super) widths: [u8; 8],
    /// What is stored of the nonzero values: v, or v - 1 for v > 0. In 16 bits; the low ones count.
    pub(super) codes: [[i16; 8]; 8],
}

/// A way to make a [`Scan`].
pub(super) type Scanner = fn(&[i16; 64]) -> Scan;

/// The fastest that this processor runs.
pub(super) fn fastest() -> Scanner {
    if cfg!(target_arch = "x86_64") { vector } else { plain }
}

/// One value at a time: the oracle.
pub(super) fn plain(block: &[i16; 64]) -> Scan {
    let mut scan = Scan { masks: [0; 8], widths: [1; 8], codes: [[0; 8]; 8] };
    for tile in 0..8 {
        for lane in 0..8 {
            let value = block[position(tile, lane)];
            let code = if value > 0 { value - 1 } else { value };
            if value == 0 || (tile, lane) == (0, 0) {
                continue;
            }
            scan.masks[tile] |= 1 << lane;
            scan.widths[tile] = scan.widths[tile].max(width((code ^ code >> 15) as u16));
            scan.codes[tile][lane] = code;
        }
    }
    scan
}

/// Bits of a code whose magnitude bits are `magnitude`.
fn width(magnitude: u16) -> u8 {
    (u16::BITS + 1 - magnitude.leading_zeros()) as u8
}

#[cfg(not(target_arch = "x86_64"))]
use plain as vector;

/// Eight values at a time, with instructions that every x86-64 processor has.
#[cfg(target_arch = "x86_64")]
fn vector(block: &[i16; 64]) -> Scan {
    use std::arch::x86_64::*;
    let mut scan = Scan { masks: [0; 8], widths: [1; 8], codes: [[0; 8]; 8] };
    // Tiles of a row pair: its left half, its right half.
    const OF_PAIR: [(usize, usize); 4] = [(0, 2), (1, 3), (4, 6), (5, 7)];
    for (pair, (left_tile, right_tile)) in OF_PAIR.into_iter().enumerate() {
        // SAFETY: SSE2 is part of x86-64; the loads read 16 bytes each inside the block's 128, the stores write 16-byte arrays.
        unsafe {
            let row = block.as_ptr().add(16 * pair);
            let upper = _mm_loadu_si128(row.cast());
            let upper = if pair == 0 { _mm_insert_epi16::<0>(upper, 0) } else { upper };
            let lower = _mm_loadu_si128(row.add(8).cast());
            let (left, right) = (_mm_unpacklo_epi64(upper, lower), _mm_unpackhi_epi64(upper, lower));
            let zero = _mm_setzero_si128();
            let empty = _mm_packs_epi16(_mm_cmpeq_epi16(left, zero), _mm_cmpeq_epi16(right, zero));
            let masks = !_mm_movemask_epi8(empty);
            (scan.masks[left_tile], scan.masks[right_tile]) = (masks as u8, (masks >> 8) as u8);
            for (values, tile) in [(left, left_tile), (right, right_tile)] {
                let codes = _mm_add_epi16(values, _mm_cmpgt_epi16(values, zero));
                _mm_storeu_si128(scan.codes[tile].as_mut_ptr().cast(), codes);
                let magnitudes = _mm_xor_si128(codes, _mm_srai_epi16::<15>(codes));
                let four =
                    _mm_cvtsi128_si64(_mm_or_si128(magnitudes, _mm_unpackhi_epi64(magnitudes, magnitudes))) as u64;
                let two = four | four >> 32;
                scan.widths[tile] = width((two | two >> 16) as u16);
            }
        }
    }
    scan
}
