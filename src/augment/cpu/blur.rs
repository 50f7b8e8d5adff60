//! Gaussian blur of three planes, in place: f32, vertical pass row by row, then horizontal on the row while it is in cache.

use crate::augment::ViewPlan;

/// Buffers for views of one size.
pub(super) struct Blur {
    side: usize,
    /// The plane in f32 with `radius` rows of zeros above and below.
    plane: Vec<f32>,
    /// A row of the vertical pass with `radius` zeros at either end.
    row: Vec<f32>,
    sums: Vec<f32>,
    /// Weight of the centre, then of its neighbours outward: `radius + 1`.
    taps: Vec<f32>,
}

impl Blur {
    pub(super) fn new(side: usize) -> Self {
        let radius = side / 10 / 2;
        Self {
            side,
            plane: vec![0.0; side * (side + 2 * radius)],
            row: vec![0.0; side + 2 * radius],
            sums: vec![0.0; side],
            taps: vec![0.0; radius + 1],
        }
    }

    /// Blurs the three planes of `out` by the plan's sigma, which is above 0; a gray view has three equal planes.
    pub(super) fn apply(&mut self, out: &mut [u8], plan: &ViewPlan) {
        self.weigh(f64::from(plan.blur_sigma));
        let area = self.side * self.side;
        if plan.gray() {
            let (first, others) = out.split_at_mut(area);
            self.blur_plane(first);
            others.chunks_exact_mut(area).for_each(|plane| plane.copy_from_slice(first));
        } else {
            out.chunks_exact_mut(area).for_each(|plane| self.blur_plane(plane));
        }
    }

    /// `exp(-x^2 / (2 sigma^2))` over `-radius..=radius`, normalised in f64.
    fn weigh(&mut self, sigma: f64) {
        let raw = |x: usize| (-((x * x) as f64) / (2.0 * sigma * sigma)).exp();
        let sum = 1.0 + 2.0 * (1..self.taps.len()).map(raw).sum::<f64>();
        self.taps.iter_mut().enumerate().for_each(|(x, tap)| *tap = (raw(x) / sum) as f32);
    }

    fn blur_plane(&mut self, plane: &mut [u8]) {
        let Self { side, plane: values, row, sums, taps } = self;
        let (side, margin) = (*side, taps.len() - 1);
        let inner = &mut values[margin * side..][..side * side];
        inner.iter_mut().zip(plane.iter()).for_each(|(value, byte)| *value = f32::from(*byte));

        let acting = taps.iter().rposition(|tap| *tap > NOTHING).unwrap_or(0);
        let (centre, neighbours) = (taps[0], &taps[1..=acting]);
        for (y, to) in plane.chunks_exact_mut(side).enumerate() {
            let at = |row: usize| &values[row * side..][..side];
            sum_taps(&mut row[margin..][..side], centre, at(y + margin), neighbours, |x| {
                (at(y + margin - x), at(y + margin + x))
            });
            let at = |x: usize| &row[x..][..side];
            sum_taps(sums, centre, at(margin), neighbours, |x| (at(margin - x), at(margin + x)));
            to.iter_mut().zip(sums.iter()).for_each(|(to, sum)| *to = (sum + 0.5) as u8);
        }
    }
}

/// Taps up to this are left out: all of them together move a sum of a 224 px view by less than 2^-16 of a level.
const NOTHING: f32 = 1.0 / (1u32 << 30) as f32;

/// `to = centre * middle + sum over x of neighbours[x - 1] * (pair(x).0 + pair(x).1)`, element by element.
fn sum_taps<'a>(
    to: &mut [f32],
    centre: f32,
    middle: &[f32],
    neighbours: &[f32],
    pair: impl Fn(usize) -> (&'a [f32], &'a [f32]),
) {
    to.iter_mut().zip(middle).for_each(|(to, value)| *to = centre * value);
    for (x, tap) in (1..).zip(neighbours) {
        let (before, after) = pair(x);
        for ((to, before), after) in to.iter_mut().zip(before).zip(after) {
            *to += tap * (before + after);
        }
    }
}
