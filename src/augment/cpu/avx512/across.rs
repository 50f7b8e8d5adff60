//! The horizontal pass of a strip: rows of bytes to lines of 32 bytes, two at a time.

use std::arch::x86_64::*;

use super::super::avx2::axis::Axis;
use super::digits::{DIGITS, MOST_QUADS, QUAD, STRIP, each_quad, levels, sums, two_rows};
use super::lanes::{U8x64, load, store};
use crate::image::{PAD, PlanesRef};

/// Weights of one axis, packed for the pass.
#[derive(Default)]
pub(super) struct Across {
    /// Fours of taps of an output.
    quads: usize,
    /// Whether there are few enough taps, and the bytes of sixteen outputs near enough to each other and to the end of the row.
    fits: bool,
    strips: Vec<Strip>,
    /// `[strip][quad]`, of each half and digit.
    weights: Vec<[[U8x64; DIGITS]; 2]>,
}

/// Where the outputs of a strip read, sixteen in each half.
#[derive(Clone, Copy)]
struct Strip {
    /// First of the 64 bytes that hold the first four taps; those of the next begin four bytes further.
    starts: [usize; 2],
    /// Which of them is which tap.
    picks: [U8x64; 2],
}

impl Across {
    /// Packs `axis`.
    pub(super) fn pack(&mut self, axis: &Axis) {
        self.quads = axis.taps.div_ceil(QUAD);
        self.fits = self.quads <= MOST_QUADS;
        self.strips.clear();
        for firsts in axis.firsts.chunks(STRIP / 8) {
            let mut strip = Strip { starts: [0; 2], picks: [U8x64::ZERO; 2] };
            for (half, firsts) in firsts.chunks(2).enumerate() {
                let firsts = firsts.as_flattened();
                let start = firsts.iter().copied().min().unwrap_or(0);
                for (picks, first) in strip.picks[half].0.as_chunks_mut::<QUAD>().0.iter_mut().zip(firsts) {
                    let first = first - start;
                    self.fits &= first as usize + QUAD <= size_of::<U8x64>();
                    *picks = [0, 1, 2, 3].map(|tap| (first + tap) as u8);
                }
                strip.starts[half] = start as usize;
                let reach = strip.starts[half] + QUAD * (self.quads - 1) + size_of::<U8x64>();
                self.fits &= reach <= axis.input + PAD;
            }
            self.strips.push(strip);
        }
        self.weights.clear();
        if !self.fits {
            return;
        }
        self.weights.resize(self.strips.len() * self.quads, [[U8x64::ZERO; DIGITS]; 2]);
        each_quad(axis, |output, quad, digits| {
            let to = &mut self.weights[output / STRIP * self.quads + quad][output % STRIP / 16];
            for (digit, to) in digits.into_iter().zip(to) {
                to.0.as_chunks_mut().0[output % 16] = digit.to_le_bytes();
            }
        });
    }

    /// Whether the pass can be done here.
    pub(super) fn fits(&self) -> bool {
        self.fits
    }

    /// Lines of `strip` for all rows of a channel of `crop`, whole pairs of them.
    ///
    /// # Panics
    /// Where the weights do not [fit](Self::fits), or `lines` are fewer.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
    pub(super) fn widen(&self, strip: usize, crop: PlanesRef<'_>, channel: usize, lines: &mut [[u8; STRIP]]) {
        assert!(self.fits, "{} fours of taps", self.quads);
        match self.quads {
            1 => self.widen_by::<1>(strip, crop, channel, lines),
            2 => self.widen_by::<2>(strip, crop, channel, lines),
            3 => self.widen_by::<3>(strip, crop, channel, lines),
            _ => self.widen_by::<MOST_QUADS>(strip, crop, channel, lines),
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
    fn widen_by<const QUADS: usize>(
        &self,
        strip: usize,
        crop: PlanesRef<'_>,
        channel: usize,
        lines: &mut [[u8; STRIP]],
    ) {
        let (Strip { starts, picks }, (weights, _)) = (&self.strips[strip], self.weights.as_chunks::<QUADS>());
        let picks = [load(&picks[0].0), load(&picks[1].0)];
        let mut loaded = [[[_mm512_setzero_si512(); DIGITS]; QUADS]; 2];
        for half in 0..2 {
            for quad in 0..QUADS {
                for digit in 0..DIGITS {
                    loaded[half][quad][digit] = load(&weights[strip][quad][half][digit].0);
                }
            }
        }
        let last = crop.size().height - 1;
        let pairs = &mut lines.as_chunks_mut::<2>().0[..last as usize / 2 + 1];
        for (y, to) in (0..).step_by(2).zip(pairs) {
            let rows = [crop.padded_row(channel, y), crop.padded_row(channel, last.min(y + 1))];
            // `[row][half]`.
            let mut words = [[_mm512_setzero_si512(); 2]; 2];
            for half in 0..2 {
                let mut taps = [[_mm512_setzero_si512(); QUADS]; 2];
                for (row, taps) in rows.iter().zip(&mut taps) {
                    let bytes = &row[starts[half]..][..QUAD * (QUADS - 1) + size_of::<U8x64>()];
                    for (quad, taps) in taps.iter_mut().enumerate() {
                        let bytes = bytes[QUAD * quad..].first_chunk().expect("one for each quad");
                        *taps = _mm512_permutexvar_epi8(picks[half], load(bytes));
                    }
                }
                let sums = sums(&taps, &loaded[half]);
                words[0][half] = sums[0];
                words[1][half] = sums[1];
            }
            let both = two_rows(levels(words[0]), levels(words[1]));
            store(to.as_flattened_mut().try_into().expect("two lines"), both);
        }
    }
}
