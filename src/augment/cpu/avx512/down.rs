//! The vertical pass of a strip: lines of 32 bytes to rows of the view, two at a time.

use std::arch::x86_64::*;

use super::super::avx2::axis::Axis;
use super::digits::{DIGITS, MOST_QUADS, QUAD, STRIP, each_quad, levels, sums, two_rows};
use super::lanes::{U8x64, load, store, store_low};

/// Weights of one axis, output after output.
#[derive(Default)]
pub(super) struct Down {
    /// Fours of taps of an output.
    quads: usize,
    /// First line of each output, an even number of them.
    firsts: Vec<u32>,
    /// `[output][quad]`, four bytes a digit.
    weights: Vec<[u32; DIGITS]>,
}

impl Down {
    /// Packs `axis`.
    pub(super) fn pack(&mut self, axis: &Axis) {
        self.quads = axis.taps.div_ceil(QUAD);
        self.firsts.clear();
        self.firsts.extend(axis.firsts.as_flattened().iter().map(|first| *first as u32));
        self.weights.clear();
        self.weights.resize(self.firsts.len() * self.quads, [0; DIGITS]);
        each_quad(axis, |output, quad, digits| self.weights[output * self.quads + quad] = digits);
    }

    /// Whether the pass can be done here: there are few enough taps.
    pub(super) fn fits(&self) -> bool {
        self.quads <= MOST_QUADS
    }

    /// The columns from `left` on of a plane of rows of `side`, from `lines`, of which there are more than rows by as many as taps.
    ///
    /// # Panics
    /// Where the weights do not [fit](Self::fits), or `lines` are fewer.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
    pub(super) fn stack(&self, lines: &[[u8; STRIP]], left: usize, side: usize, plane: &mut [u8]) {
        assert!(self.fits(), "{} fours of taps", self.quads);
        match self.quads {
            1 => self.stack_by::<1>(lines, left, side, plane),
            2 => self.stack_by::<2>(lines, left, side, plane),
            3 => self.stack_by::<3>(lines, left, side, plane),
            _ => self.stack_by::<MOST_QUADS>(lines, left, side, plane),
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
    fn stack_by<const QUADS: usize>(&self, lines: &[[u8; STRIP]], left: usize, side: usize, plane: &mut [u8]) {
        let quads = [load(&QUADS_OF_LINES[0].0), load(&QUADS_OF_LINES[1].0)];
        let (weights, _) = self.weights.as_chunks::<QUADS>();
        let right = side.min(left + STRIP);
        for (pair, rows) in plane.chunks_mut(2 * side).enumerate() {
            let mut words = [_mm512_setzero_si512(); 2];
            for (y, words) in (2 * pair..).zip(&mut words) {
                let (fours, _) = lines[self.firsts[y] as usize..].as_chunks::<QUAD>();
                let fours: &[[[u8; STRIP]; QUAD]; QUADS] = fours.first_chunk().expect("a line for each tap");
                let mut taps = [[_mm512_setzero_si512(); QUADS]; 2];
                let mut spread = [[_mm512_setzero_si512(); DIGITS]; QUADS];
                for (quad, four) in fours.iter().enumerate() {
                    let (above, below) = four.as_flattened().split_at(2 * STRIP);
                    let above = load(above.try_into().expect("two lines"));
                    let below = load(below.try_into().expect("two lines"));
                    taps[0][quad] = _mm512_permutex2var_epi8(above, quads[0], below);
                    taps[1][quad] = _mm512_permutex2var_epi8(above, quads[1], below);
                    for digit in 0..DIGITS {
                        spread[quad][digit] = _mm512_set1_epi32(weights[y][quad][digit] as i32);
                    }
                }
                *words = levels(sums(&taps, &spread));
            }
            let both = two_rows(words[0], words[1]);
            // Rows of one strip lie one behind the other.
            if let Ok(rows) = <&mut [u8; 2 * STRIP]>::try_from(&mut *rows) {
                store(rows, both);
                continue;
            }
            let (first, second) = rows.split_at_mut(side);
            store_low(&mut first[left..right], both);
            if !second.is_empty() {
                store_low(&mut second[left..right], _mm512_shuffle_i64x2::<0b11_10>(both, both));
            }
        }
    }
}

/// Which bytes of four lines are the taps of sixteen outputs, and of the other sixteen.
const QUADS_OF_LINES: [U8x64; 2] = {
    let mut picks = [U8x64::ZERO; 2];
    let mut at = 0;
    while at < 128 {
        picks[at / 64].0[at % 64] = (STRIP * (at % QUAD) + at / QUAD) as u8;
        at += 1;
    }
    picks
};
