//! The two resize passes on planes of u8. Tables: [`weights`](crate::augment::weights).

use super::place::Crop;
use crate::augment::ViewSpec;
use crate::augment::weights::{Table, Taps, WEIGHT_BITS};

const HALF: i32 = 1 << (WEIGHT_BITS - 1);

/// Tables of the last size and the rows between the passes.
#[derive(Default)]
pub(super) struct Resizer {
    columns: Table,
    rows: Table,
    /// Three planes of `crop height` x `size`.
    wide: Vec<u8>,
    sums: Vec<i32>,
}

impl Resizer {
    /// Resizes `crop` into the three planes of `out`; a pass that keeps its size is skipped.
    pub(super) fn resize(&mut self, crop: &Crop<'_>, spec: ViewSpec, out: &mut [u8]) {
        let side = spec.size as usize;
        self.columns.prepare(crop.size.width, spec.size, spec.filter);
        if crop.size.height == spec.size {
            self.widen(crop, side, out);
            return;
        }
        self.rows.prepare(crop.size.height, spec.size, spec.filter);
        let height = crop.size.height as usize;
        let mut wide = std::mem::take(&mut self.wide);
        wide.resize(3 * height * side, 0);
        self.widen(crop, side, &mut wide);
        for (from, to) in wide.chunks_exact(height * side).zip(out.chunks_exact_mut(side * side)) {
            self.stack(from, side, to);
        }
        self.wide = wide;
    }

    /// Horizontal pass: rows of interleaved RGB into three planes of `crop height` x `side`.
    fn widen(&self, crop: &Crop<'_>, side: usize, planes: &mut [u8]) {
        let height = crop.size.height as usize;
        let (red, rest) = planes.split_at_mut(height * side);
        let (green, blue) = rest.split_at_mut(height * side);
        let rows = red.chunks_exact_mut(side).zip(green.chunks_exact_mut(side)).zip(blue.chunks_exact_mut(side));
        for (y, ((red, green), blue)) in rows.enumerate() {
            let from = crop.row(y);
            if crop.size.width as usize == side {
                separate(from, red, green, blue);
            } else {
                self.widen_row(from, red, green, blue);
            }
        }
    }

    fn widen_row(&self, from: &[u8], red: &mut [u8], green: &mut [u8], blue: &mut [u8]) {
        let (pixels, _) = from.as_chunks::<3>();
        match self.columns.taps_each() {
            4 => self.widen_row_by::<4>(pixels, red, green, blue),
            5 => self.widen_row_by::<5>(pixels, red, green, blue),
            6 => self.widen_row_by::<6>(pixels, red, green, blue),
            7 => self.widen_row_by::<7>(pixels, red, green, blue),
            8 => self.widen_row_by::<8>(pixels, red, green, blue),
            _ => {
                let out = red.iter_mut().zip(green).zip(blue);
                for (Taps { first, weights }, ((red, green), blue)) in self.columns.iter().zip(out) {
                    [*red, *green, *blue] = weigh(&pixels[first..][..weights.len()], weights);
                }
            }
        }
    }

    /// The usual numbers of taps as constants: 1.2 times the rate of the loop of unknown length (224 px, November 2026).
    fn widen_row_by<const N: usize>(&self, pixels: &[[u8; 3]], red: &mut [u8], green: &mut [u8], blue: &mut [u8]) {
        let out = red.iter_mut().zip(green).zip(blue);
        for (Taps { first, weights }, ((red, green), blue)) in self.columns.iter().zip(out) {
            let weights: &[i32; N] = weights.try_into().expect("N taps each");
            let pixels: &[[u8; 3]; N] = pixels[first..][..N].try_into().expect("N pixels");
            [*red, *green, *blue] = weigh(pixels, weights);
        }
    }

    /// Vertical pass: rows of `side` bytes to `side` rows.
    fn stack(&mut self, from: &[u8], side: usize, out: &mut [u8]) {
        self.sums.resize(side, 0);
        for (Taps { first, weights }, to) in self.rows.iter().zip(out.chunks_exact_mut(side)) {
            self.sums.fill(HALF);
            for (row, weight) in from[first * side..].chunks_exact(side).zip(weights) {
                for (sum, value) in self.sums.iter_mut().zip(row) {
                    *sum += weight * i32::from(*value);
                }
            }
            for (to, sum) in to.iter_mut().zip(&self.sums) {
                *to = level(*sum);
            }
        }
    }
}

#[inline(always)]
fn weigh(pixels: &[[u8; 3]], weights: &[i32]) -> [u8; 3] {
    let mut sums = [HALF; 3];
    for (pixel, weight) in pixels.iter().zip(weights) {
        sums[0] += weight * i32::from(pixel[0]);
        sums[1] += weight * i32::from(pixel[1]);
        sums[2] += weight * i32::from(pixel[2]);
    }
    sums.map(level)
}

fn separate(from: &[u8], red: &mut [u8], green: &mut [u8], blue: &mut [u8]) {
    for (((pixel, red), green), blue) in from.chunks_exact(3).zip(red).zip(green).zip(blue) {
        [*red, *green, *blue] = [pixel[0], pixel[1], pixel[2]];
    }
}

/// A sum of weighted pixels, half a unit included, as a level.
fn level(sum: i32) -> u8 {
    (sum >> WEIGHT_BITS).clamp(0, 255) as u8
}
