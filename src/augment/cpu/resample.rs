//! The two resize passes, one plane after the other. Tables: [`weights`](crate::augment::weights).

use crate::augment::ViewSpec;
use crate::augment::weights::{Table, Taps, level};
use crate::image::PlanesRef;

/// Tables of the last size and the rows between the passes.
#[derive(Default)]
pub(super) struct Resizer {
    columns: Table,
    rows: Table,
    /// One plane of `crop height` x `size`.
    wide: Vec<u8>,
    sums: Vec<i32>,
}

impl Resizer {
    /// Resizes `crop` into the planes of `out`, of which a gray crop fills only the first; a pass that keeps its size is skipped.
    pub(super) fn resize(&mut self, crop: PlanesRef<'_>, spec: ViewSpec, out: &mut [u8]) {
        let (side, size) = (spec.size as usize, crop.size());
        self.columns.prepare(size.width, spec.size, spec.filter);
        self.rows.prepare(size.height, spec.size, spec.filter);
        for (channel, out) in out.chunks_exact_mut(side * side).take(crop.channels()).enumerate() {
            if size.height == spec.size {
                self.widen(crop, channel, side, out);
                continue;
            }
            let mut wide = std::mem::take(&mut self.wide);
            wide.resize(size.height as usize * side, 0);
            self.widen(crop, channel, side, &mut wide);
            self.stack(&wide, side, out);
            self.wide = wide;
        }
    }

    /// Horizontal pass: rows of one channel to rows of `side`.
    fn widen(&self, crop: PlanesRef<'_>, channel: usize, side: usize, out: &mut [u8]) {
        for (y, to) in (0..crop.size().height).zip(out.chunks_exact_mut(side)) {
            let from = crop.row(channel, y);
            if from.len() == side {
                to.copy_from_slice(from);
                continue;
            }
            for (Taps { first, weights }, to) in self.columns.iter().zip(to) {
                let sum = weights.iter().zip(&from[first..]).map(|(weight, value)| weight * i32::from(*value));
                *to = level(sum.sum());
            }
        }
    }

    /// Vertical pass: rows of `side` bytes to `side` rows.
    fn stack(&mut self, from: &[u8], side: usize, out: &mut [u8]) {
        self.sums.resize(side, 0);
        for (Taps { first, weights }, to) in self.rows.iter().zip(out.chunks_exact_mut(side)) {
            self.sums.fill(0);
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
