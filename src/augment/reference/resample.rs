//! Resize, an output pixel at a time, weights computed anew for each (method: [`weights`](crate::augment::weights), not its code).

use super::Grid;
use crate::augment::Filter;

/// Horizontal pass, then vertical, each rounded to 8 bits; a pass that keeps its size is skipped.
pub(super) fn resize(image: &Grid, width: usize, height: usize, filter: Filter) -> Grid {
    let wide = if image.width == width {
        image.map(|pixel| pixel)
    } else {
        let taps: Vec<_> = (0..width).map(|x| taps(x, image.width, width, filter)).collect();
        Grid::new(width, image.height, |x, y| blend(&taps[x], |k| image.at(k, y)))
    };
    if wide.height == height {
        return wide;
    }
    let taps: Vec<_> = (0..height).map(|y| taps(y, wide.height, height, filter)).collect();
    Grid::new(width, height, |x, y| blend(&taps[y], |k| wide.at(x, k)))
}

fn blend(taps: &[(usize, i64)], pixel: impl Fn(usize) -> [u8; 3]) -> [u8; 3] {
    std::array::from_fn(|channel| {
        let sum: i64 = taps.iter().map(|&(k, weight)| weight * i64::from(pixel(k)[channel])).sum();
        ((sum + (1 << 21)) >> 22).clamp(0, 255) as u8
    })
}

/// Input pixels and 22-bit weights of output pixel `x`.
fn taps(x: usize, input: usize, output: usize, filter: Filter) -> Vec<(usize, i64)> {
    let (kernel, support): (fn(f64) -> f64, f64) = match filter {
        Filter::Bilinear => (triangle, 1.0),
        Filter::Bicubic => (cubic, 2.0),
    };
    let scale = input as f64 / output as f64;
    let stretch = if scale < 1.0 { 1.0 } else { scale };
    let radius = support * stretch;
    let centre = (x as f64 + 0.5) * scale;
    let from = (centre - radius + 0.5).trunc().max(0.0) as usize;
    let to = (centre + radius + 0.5).trunc().min(input as f64) as usize;

    let inverse = 1.0 / stretch;
    let weights: Vec<f64> = (from..to).map(|k| kernel((k as f64 - centre + 0.5) * inverse)).collect();
    let mut sum = 0.0;
    for weight in &weights {
        sum += weight;
    }
    // C's cast truncates, so this rounds half away from zero.
    let fixed = |weight: f64| (weight * 4_194_304.0 + if weight < 0.0 { -0.5 } else { 0.5 }).trunc() as i64;
    (from..to).zip(weights).map(|(k, weight)| (k, fixed(weight / sum))).collect()
}

fn triangle(x: f64) -> f64 {
    if x.abs() < 1.0 { 1.0 - x.abs() } else { 0.0 }
}

/// Keys' cubic with a = -0.5, as Pillow factors it.
fn cubic(x: f64) -> f64 {
    let a = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * a
    } else {
        0.0
    }
}
