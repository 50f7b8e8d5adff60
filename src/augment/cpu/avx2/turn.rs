//! Quarter turns by transposing blocks of 16 x 16 bytes.

use std::arch::x86_64::*;

use super::super::place;
use super::Avx2;

/// Bytes of a block's side.
const BLOCK: usize = 16;

impl Avx2 {
    /// Turns all planes of `side` x `side` counter-clockwise by `turns` quarter turns, 0..=3.
    pub(in super::super) fn turn(self, planes: &mut [u8], side: usize, turns: u32, scratch: &mut Vec<u8>) {
        if side < BLOCK || turns.is_multiple_of(2) {
            return place::turn(planes, side, turns, scratch);
        }
        for plane in planes.chunks_exact_mut(side * side) {
            scratch.clear();
            scratch.extend_from_slice(plane);
            // SAFETY: an `Avx2` proves the features.
            unsafe { turn_plane(scratch, side, turns == 1, plane) }
        }
    }
}

/// One turn puts the last column on top; three put the first column there, read upwards. Last blocks overlap the ones before.
#[target_feature(enable = "avx2")]
fn turn_plane(from: &[u8], side: usize, once: bool, to: &mut [u8]) {
    let starts = || (0..side - BLOCK).step_by(BLOCK).chain([side - BLOCK]);
    for y in starts() {
        for x in starts() {
            let mut block = [_mm_setzero_si128(); BLOCK];
            for (k, row) in block.iter_mut().enumerate() {
                let line = if once { y + k } else { y + BLOCK - 1 - k };
                *row = super::lanes::load_u8(from[line * side + x..].first_chunk().expect("inside"));
            }
            for (k, column) in transposed(block).into_iter().enumerate() {
                let start = if once { (side - 1 - x - k) * side + y } else { (x + k) * side + side - BLOCK - y };
                let to: &mut [u8; BLOCK] = to[start..].first_chunk_mut().expect("inside");
                // SAFETY: writes the 16 bytes of `to`.
                unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), column) };
            }
        }
    }
}

/// Four times the first half of the rows between the second.
#[inline]
#[target_feature(enable = "avx2")]
fn transposed(mut rows: [__m128i; BLOCK]) -> [__m128i; BLOCK] {
    for _ in 0..4 {
        let before = rows;
        for k in 0..BLOCK / 2 {
            rows[2 * k] = _mm_unpacklo_epi8(before[k], before[k + BLOCK / 2]);
            rows[2 * k + 1] = _mm_unpackhi_epi8(before[k], before[k + BLOCK / 2]);
        }
    }
    rows
}
