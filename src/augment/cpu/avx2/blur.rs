//! The blur of `cpu::blur`, sixteen values at a time. Rows wait in a ring that stays in the first-level cache.

use std::arch::x86_64::*;

use super::super::blur::Taps;
use super::Avx2;
use super::lanes::{I16x16, bytes, load_i16, load_loose_i16, load_u8, store_i16, store_loose_i16, store_u8};

/// Buffers for views of one size.
pub(in super::super) struct Blur {
    cpu: Avx2,
    side: usize,
    taps: Taps,
    /// Rows of values, a power of two in number, each of `stride` vectors.
    ring: Vec<I16x16>,
    stride: usize,
    /// A row of the vertical pass with [`Self::margin`] zeros at either end.
    row: Vec<i16>,
}

impl Blur {
    pub(in super::super) fn new(cpu: Avx2, side: usize) -> Self {
        let taps = Taps::new(side);
        let stride = side.div_ceil(32) * 2;
        let slots = (2 * taps.most_radius() + 1).next_power_of_two();
        let row = vec![0; 16 * stride + 2 * Self::margin(&taps)];
        Self { cpu, side, taps, ring: vec![I16x16::default(); slots * stride], stride, row }
    }

    fn margin(taps: &Taps) -> usize {
        taps.most_radius().next_multiple_of(16)
    }

    /// Blurs `planes`, each of `side * side` bytes, by `sigma`, which is above 0.
    pub(in super::super) fn apply(&mut self, planes: &mut [u8], sigma: f32) {
        let Avx2(()) = self.cpu;
        // SAFETY: `cpu` proves the features.
        unsafe { self.apply_rows(planes, sigma) }
    }

    #[target_feature(enable = "avx2")]
    fn apply_rows(&mut self, planes: &mut [u8], sigma: f32) {
        let margin = Self::margin(&self.taps);
        let weights = self.taps.prepare(sigma.into());
        let mut rows = Rows { side: self.side, stride: self.stride, ring: &mut self.ring, row: &mut self.row, margin };
        for plane in planes.chunks_exact_mut(self.side * self.side) {
            match weights.len() {
                1 => return,
                2 => rows.blur::<2>(plane, weights),
                3 => rows.blur::<3>(plane, weights),
                4 => rows.blur::<4>(plane, weights),
                5 => rows.blur::<5>(plane, weights),
                6 => rows.blur::<6>(plane, weights),
                7 => rows.blur::<7>(plane, weights),
                8 => rows.blur::<8>(plane, weights),
                9 => rows.blur::<9>(plane, weights),
                _ => rows.blur::<0>(plane, weights),
            }
        }
    }
}

/// A blur at work.
struct Rows<'a> {
    side: usize,
    stride: usize,
    ring: &'a mut [I16x16],
    row: &'a mut [i16],
    margin: usize,
}

impl Rows<'_> {
    /// `TAPS` is the number of weights, 0 for any.
    #[target_feature(enable = "avx2")]
    fn blur<const TAPS: usize>(&mut self, plane: &mut [u8], weights: &[i16]) {
        assert!(TAPS == 0 || TAPS == weights.len());
        let radius = weights.len() - 1;
        let slots = self.ring.len() / self.stride;
        for above in 1..=radius {
            self.slot(slots - above).fill(I16x16::default());
        }
        for y in 0..radius {
            self.fetch(plane, y);
        }
        for y in 0..self.side {
            self.fetch(plane, y + radius);
            self.vertical::<TAPS>(y, weights);
            self.horizontal::<TAPS>(weights, &mut plane[y * self.side..][..self.side]);
        }
    }

    fn slot(&mut self, row: usize) -> &mut [I16x16] {
        let slots = self.ring.len() / self.stride;
        &mut self.ring[(row & (slots - 1)) * self.stride..][..self.stride]
    }

    /// Row `y` of the plane, zeros below it, into the ring.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn fetch(&mut self, plane: &[u8], y: usize) {
        let side = self.side;
        let to = self.slot(y);
        let from = if y < side { &plane[y * side..][..side] } else { &[] };
        let (whole, rest) = from.as_chunks::<16>();
        for (to, from) in to.iter_mut().zip(whole) {
            store_i16(to, _mm256_slli_epi16::<6>(_mm256_cvtepu8_epi16(load_u8(from))));
        }
        to[whole.len()..].fill(I16x16::default());
        if !rest.is_empty() {
            to[whole.len()].0.iter_mut().zip(rest).for_each(|(to, level)| *to = i16::from(*level) << 6);
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn vertical<const TAPS: usize>(&mut self, y: usize, weights: &[i16]) {
        let taps = if TAPS == 0 { weights.len() } else { TAPS };
        let (slots, stride) = (self.ring.len() / self.stride, self.stride);
        let (to, _) = self.row[self.margin..].as_chunks_mut::<32>();
        for (number, to) in to[..stride / 2].iter_mut().enumerate() {
            let at = |row: usize| -> &[I16x16; 2] {
                self.ring[(row & (slots - 1)) * stride + 2 * number..].first_chunk().expect("a row has whole pairs")
            };
            let (centre, weight) = (at(y), _mm256_set1_epi16(weights[0]));
            let mut low = _mm256_mulhrs_epi16(load_i16(&centre[0]), weight);
            let mut high = _mm256_mulhrs_epi16(load_i16(&centre[1]), weight);
            for (off, weight) in (1..).zip(&weights[1..taps]) {
                let (above, below, weight) = (at(y + slots - off), at(y + off), _mm256_set1_epi16(*weight));
                let both = _mm256_add_epi16(load_i16(&above[0]), load_i16(&below[0]));
                low = _mm256_add_epi16(low, _mm256_mulhrs_epi16(both, weight));
                let both = _mm256_add_epi16(load_i16(&above[1]), load_i16(&below[1]));
                high = _mm256_add_epi16(high, _mm256_mulhrs_epi16(both, weight));
            }
            let (to, _) = to.as_chunks_mut::<16>();
            store_loose_i16(&mut to[0], low);
            store_loose_i16(&mut to[1], high);
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn horizontal<const TAPS: usize>(&self, weights: &[i16], to: &mut [u8]) {
        let (whole, rest) = to.as_chunks_mut::<32>();
        for (number, to) in whole.iter_mut().enumerate() {
            let x = self.margin + 32 * number;
            store_u8(to, bytes(self.levels::<TAPS>(weights, x), self.levels::<TAPS>(weights, x + 16)));
        }
        if !rest.is_empty() {
            let x = self.margin + 32 * whole.len();
            let mut last = [0; 32];
            store_u8(&mut last, bytes(self.levels::<TAPS>(weights, x), self.levels::<TAPS>(weights, x + 16)));
            rest.copy_from_slice(&last[..rest.len()]);
        }
    }

    /// Sixteen levels from place `x` of the row.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn levels<const TAPS: usize>(&self, weights: &[i16], x: usize) -> __m256i {
        let radius = if TAPS == 0 { weights.len() } else { TAPS } - 1;
        let window = &self.row[x - radius..][..16 + 2 * radius];
        let at = |from: usize| load_loose_i16(window[from..].first_chunk().expect("sixteen are left"));
        let mut sum = _mm256_mulhrs_epi16(at(radius), _mm256_set1_epi16(weights[0]));
        for (off, weight) in (1..).zip(&weights[1..=radius]) {
            let both = _mm256_add_epi16(at(radius - off), at(radius + off));
            sum = _mm256_add_epi16(sum, _mm256_mulhrs_epi16(both, _mm256_set1_epi16(*weight)));
        }
        _mm256_srai_epi16::<6>(_mm256_add_epi16(sum, _mm256_set1_epi16(32)))
    }
}
