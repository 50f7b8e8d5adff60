//! Gaussian blur of a plane, in place, in 16-bit fixed point: vertical pass, then horizontal, zeros outside.
//!
//! ```text
//! weights   exp(-x^2 / (2 sigma^2)) over -r..=r, normalised in f64; outer taps are left out while all of those together weigh less
//!           than 2^-14; rounded to 2^-15, and the centre takes what is missing to 1
//! value     level << 6
//! pass      sum over taps x >= 0 of round(weight[x] * (value at -x + value at +x) / 2^15), halves up
//! level     (value + 32) >> 6, at most 255
//! ```
//!
//! The sums fit an i16. Within one level of the definition in f64.

/// Outer taps may weigh this much together and be left out.
const TAIL: f64 = 1.0 / 16_384.0;

/// Weights of one blur.
pub(in crate::augment) struct Taps {
    /// Of the centre and its neighbours outward, in 2^-15.
    weights: Vec<i16>,
    exact: Vec<f64>,
}

impl Taps {
    /// For views of `side` pixels: taps reach half of a kernel of a tenth of the side, both rounded down.
    pub(in crate::augment) fn new(side: usize) -> Self {
        let most = side / 10 / 2 + 1;
        Self { weights: Vec::with_capacity(most), exact: vec![0.0; most] }
    }

    /// Farthest tap of any blur.
    pub(super) fn most_radius(&self) -> usize {
        self.exact.len() - 1
    }

    /// The weights for `sigma`, which is above 0: of the centre, then outward. One weight alone changes nothing.
    pub(in crate::augment) fn prepare(&mut self, sigma: f64) -> &[i16] {
        let raw = |x: usize| (-((x * x) as f64) / (2.0 * sigma * sigma)).exp();
        self.exact.iter_mut().enumerate().for_each(|(x, weight)| *weight = raw(x));
        let sum = self.exact[0] + 2.0 * self.exact[1..].iter().sum::<f64>();

        let (mut radius, mut tail) = (self.most_radius(), 0.0);
        while radius > 0 && tail + 2.0 * self.exact[radius] / sum < TAIL {
            tail += 2.0 * self.exact[radius] / sum;
            radius -= 1;
        }
        self.weights.clear();
        self.weights.extend(self.exact[..=radius].iter().map(|weight| (weight / sum * 32_768.0).round() as i16));
        let neighbours: i32 = self.weights[1..].iter().map(|weight| 2 * i32::from(*weight)).sum();
        self.weights[0] = (32_768 - neighbours).clamp(0, i16::MAX.into()) as i16;
        &self.weights
    }
}

/// Buffers for views of one size.
pub(super) struct Blur {
    side: usize,
    taps: Taps,
    /// The plane with `most_radius` rows of zeros above and below.
    values: Vec<i16>,
    /// A row of the vertical pass with `most_radius` zeros at either end.
    row: Vec<i16>,
    sums: Vec<i16>,
}

impl Blur {
    pub(super) fn new(side: usize) -> Self {
        let taps = Taps::new(side);
        let radius = taps.most_radius();
        Self {
            side,
            taps,
            values: vec![0; side * (side + 2 * radius)],
            row: vec![0; side + 2 * radius],
            sums: vec![0; side],
        }
    }

    /// Blurs `planes`, each of `side * side` bytes, by `sigma`, which is above 0.
    pub(super) fn apply(&mut self, planes: &mut [u8], sigma: f32) {
        let Self { side, taps, values, row, sums } = self;
        let (side, margin) = (*side, taps.most_radius());
        let weights = taps.prepare(sigma.into());
        if weights.len() == 1 {
            return;
        }
        for plane in planes.chunks_exact_mut(side * side) {
            let inner = &mut values[margin * side..][..side * side];
            inner.iter_mut().zip(plane.iter()).for_each(|(value, level)| *value = i16::from(*level) << 6);
            for (y, to) in plane.chunks_exact_mut(side).enumerate() {
                let at = |row: usize| &values[row * side..][..side];
                sum_taps(&mut row[margin..][..side], weights, |x| (at(y + margin - x), at(y + margin + x)));
                let at = |x: usize| &row[x..][..side];
                sum_taps(sums, weights, |x| (at(margin - x), at(margin + x)));
                to.iter_mut().zip(sums.iter()).for_each(|(to, sum)| *to = ((sum + 32) >> 6).min(255) as u8);
            }
        }
    }
}

/// `to = sum over taps x of weights[x] * (pair(x).0 + pair(x).1)`, element by element; the centre counts once.
fn sum_taps<'a>(to: &mut [i16], weights: &[i16], pair: impl Fn(usize) -> (&'a [i16], &'a [i16])) {
    to.iter_mut().zip(pair(0).0).for_each(|(to, value)| *to = scaled(*value, weights[0]));
    for (x, weight) in weights.iter().enumerate().skip(1) {
        let (before, after) = pair(x);
        for ((to, before), after) in to.iter_mut().zip(before).zip(after) {
            *to += scaled(before + after, *weight);
        }
    }
}

fn scaled(value: i16, weight: i16) -> i16 {
    ((i32::from(value) * i32::from(weight) + (1 << 14)) >> 15) as i16
}
