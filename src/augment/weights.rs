//! Resample tables, shared by all executors: Pillow's, to the bit (libImaging/Resample.c, `precompute_coeffs` and
//! `normalize_coeffs_8bpc`; Pillow 11.3).
//!
//! Output `x` of an axis that goes from `input` to `output` pixels, all in f64 and in this order of operations:
//!
//! ```text
//! scale = input / output        wide = max(scale, 1)        reach = support * wide        centre = (x + 0.5) * scale
//! first = max(int(centre - reach + 0.5), 0)                 end = min(int(centre + reach + 0.5), input)
//! weight[k] = filter((k - centre + 0.5) * (1 / wide)), k in first..end, divided by their sum,
//!             then times 2^22 and rounded half away from zero
//! ```
//!
//! A pixel is `clamp((2^21 + sum of weight * pixel) >> 22, 0, 255)`; the sum fits an i32 because the magnitudes of the weights
//! add up to less than 2.

use super::Filter;

/// Fraction bits of a weight.
pub const WEIGHT_BITS: u32 = 22;

/// The level that a sum of weighted levels rounds to.
pub fn level(sum: i32) -> u8 {
    ((sum + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS).clamp(0, 255) as u8
}

/// Taps and weights of every output pixel of one axis.
///
/// All output pixels have the same number of taps, so that loops over them have one length; those that need fewer get weights of
/// zero. No tap lies outside the input.
#[derive(Clone, Debug, Default)]
pub struct Table {
    key: Option<(u32, u32, Filter)>,
    taps: usize,
    firsts: Vec<u32>,
    /// `[output, taps]`.
    weights: Vec<i32>,
    exact: Vec<f64>,
}

/// The taps of one output pixel.
#[derive(Clone, Copy, Debug)]
pub struct Taps<'a> {
    /// First input pixel.
    pub first: usize,
    /// Its weight and its successors', in 2^-22.
    pub weights: &'a [i32],
}

impl Table {
    /// Makes this the table from `input` to `output` pixels, both at least 1; no work where it already is, no allocation once
    /// the largest has been met.
    pub fn prepare(&mut self, input: u32, output: u32, filter: Filter) {
        let key = Some((input, output, filter));
        if self.key == key {
            return;
        }
        let scale = f64::from(input) / f64::from(output);
        let wide = scale.max(1.0);
        let reach = support(filter) * wide;
        let narrow = 1.0 / wide;
        let span = |x: u32| {
            let centre = (f64::from(x) + 0.5) * scale;
            // `as` truncates like C's cast and takes what is below zero to zero.
            (centre, (centre - reach + 0.5) as u32, ((centre + reach + 0.5) as u32).min(input))
        };
        let counts = (0..output).map(span).map(|(_, first, end)| end - first);
        let taps = counts.max().unwrap_or(0);

        self.key = key;
        self.taps = taps as usize;
        self.firsts.clear();
        self.weights.clear();
        for x in 0..output {
            let (centre, first, end) = span(x);
            self.exact.clear();
            self.exact.extend((first..end).map(|k| weight(filter, (f64::from(k) - centre + 0.5) * narrow)));
            let sum: f64 = self.exact.iter().fold(0.0, |sum, w| sum + w);

            let start = first.min(input - taps);
            let before = (first - start) as usize;
            let row = self.weights.len();
            self.firsts.push(start);
            self.weights.resize(row + self.taps, 0);
            for (to, w) in self.weights[row + before..].iter_mut().zip(&self.exact) {
                *to = fixed(if sum != 0.0 { w / sum } else { *w });
            }
        }
    }

    /// Number of output pixels.
    pub fn len(&self) -> usize {
        self.firsts.len()
    }

    /// Whether nothing has been prepared.
    pub fn is_empty(&self) -> bool {
        self.firsts.is_empty()
    }

    /// Number of taps of every output pixel.
    pub fn taps_each(&self) -> usize {
        self.taps
    }

    /// The taps of output pixel `x`.
    pub fn taps(&self, x: usize) -> Taps<'_> {
        Taps { first: self.firsts[x] as usize, weights: &self.weights[x * self.taps..][..self.taps] }
    }

    /// The taps of all output pixels, in order.
    pub fn iter(&self) -> impl Iterator<Item = Taps<'_>> {
        let rows = self.weights.chunks_exact(self.taps.max(1));
        self.firsts.iter().zip(rows).map(|(first, weights)| Taps { first: *first as usize, weights })
    }
}

fn support(filter: Filter) -> f64 {
    match filter {
        Filter::Bilinear => 1.0,
        Filter::Bicubic => 2.0,
    }
}

/// The kernel, with Pillow's order of operations.
fn weight(filter: Filter, x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    match filter {
        Filter::Bilinear if x < 1.0 => 1.0 - x,
        Filter::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        Filter::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
        _ => 0.0,
    }
}

fn fixed(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << WEIGHT_BITS);
    (if weight < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_add_up_and_stay_inside() {
        let mut table = Table::default();
        for filter in [Filter::Bilinear, Filter::Bicubic] {
            for input in (1..40).chain([224, 375, 500, 4000]) {
                for output in [1, 7, 32, 224] {
                    table.prepare(input, output, filter);
                    assert_eq!(table.len(), output as usize);
                    for x in 0..table.len() {
                        let Taps { first, weights } = table.taps(x);
                        assert!(!weights.is_empty() && first + weights.len() <= input as usize);
                        let sum: i64 = weights.iter().map(|w| i64::from(*w)).sum();
                        assert!((sum - (1 << WEIGHT_BITS)).abs() <= weights.len() as i64, "{input} to {output} at {x}");
                        let magnitude: i64 = weights.iter().map(|w| i64::from(w.abs())).sum();
                        assert!(magnitude * 255 + (1 << (WEIGHT_BITS - 1)) <= i64::from(i32::MAX));
                    }
                }
            }
        }
    }

    #[test]
    fn equal_sizes_are_the_identity() {
        let mut table = Table::default();
        table.prepare(5, 5, Filter::Bicubic);
        for x in 0..5 {
            let Taps { first, weights } = table.taps(x);
            for (k, w) in weights.iter().enumerate() {
                assert_eq!(*w, i32::from(first + k == x) << WEIGHT_BITS);
            }
        }
    }
}
