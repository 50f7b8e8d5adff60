//! The published Gaussian blur, in f64 (its own arithmetic is f32; the difference is far below the rounding of a level).

use super::Grid;

/// Weights of the taps `-radius..=radius`: `exp(-x^2 / (2 sigma^2))`, normalised to sum 1. `sigma` is above 0.
pub fn taps(sigma: f64, radius: usize) -> Vec<f64> {
    let raw = |k: usize| {
        let x = k as f64 - radius as f64;
        (-(x * x) / (2.0 * sigma * sigma)).exp()
    };
    let sum: f64 = (0..=2 * radius).map(raw).sum();
    (0..=2 * radius).map(|k| raw(k) / sum).collect()
}

/// One plane of `side` x `side` values: vertical pass, then horizontal; zeros outside. `taps` is odd in number.
pub fn plane(values: &[f64], side: usize, taps: &[f64]) -> Vec<f64> {
    let radius = taps.len() / 2;
    let pass = |values: &[f64], step: usize, place: fn(usize, usize) -> usize| -> Vec<f64> {
        let at = |i: usize| {
            let here = place(i, side);
            let mut sum = 0.0;
            for (k, weight) in taps.iter().enumerate() {
                // The tap at `here + k - radius`, if it is inside.
                if here + k >= radius && here + k - radius < side {
                    sum += weight * values[i + k * step - radius * step];
                }
            }
            sum
        };
        (0..values.len()).map(at).collect()
    };
    let vertical = pass(values, side, |i, side| i / side);
    pass(&vertical, 1, |i, side| i % side)
}

/// Radius for a view of `side` pixels: half of a kernel of a tenth of the side, both rounded down.
pub fn radius(side: usize) -> usize {
    side / 10 / 2
}

pub(super) fn apply(view: &Grid, sigma: f64) -> Grid {
    let side = view.width;
    let taps = taps(sigma, radius(side));
    let channels: [Vec<f64>; 3] = std::array::from_fn(|channel| {
        let values: Vec<f64> = view.pixels.iter().map(|pixel| f64::from(pixel[channel])).collect();
        plane(&values, side, &taps)
    });
    Grid::new(side, side, |x, y| std::array::from_fn(|channel| channels[channel][y * side + x].round() as u8))
}
