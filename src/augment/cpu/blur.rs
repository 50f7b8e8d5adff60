//! Gaussian blur of three planes, in place: f32, vertical pass row by row, then horizontal on the row while it is in cache.

use crate::augment::ViewPlan;

/// Buffers for views of one size.
pub(super) struct Blur {
    side: usize,
    /// The plane in f32.
    plane: Vec<f32>,
    /// A row of the vertical pass with `radius` zeros at either end.
    row: Vec<f32>,
    sums: Vec<f32>,
    /// Weight of the centre, then of its neighbours outward.
    taps: Vec<f32>,
}

impl Blur {
    pub(super) fn new(side: usize) -> Self {
        let radius = side / 10 / 2;
        Self {
            side,
            plane: Vec::new(),
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
        let side = *side;
        values.clear();
        values.extend(plane.iter().map(|value| f32::from(*value)));
        let radius = taps.iter().rposition(|tap| *tap > NOTHING).unwrap_or(0);
        let margin = taps.len() - 1;
        for (y, to) in plane.chunks_exact_mut(side).enumerate() {
            let middle = &mut row[margin..][..side];
            scale(middle, &values[y * side..][..side], taps[0]);
            for (x, tap) in taps.iter().enumerate().take(radius + 1).skip(1) {
                if y >= x {
                    add(middle, &values[(y - x) * side..][..side], *tap);
                }
                if y + x < side {
                    add(middle, &values[(y + x) * side..][..side], *tap);
                }
            }
            scale(sums, &row[margin..][..side], taps[0]);
            for (x, tap) in taps.iter().enumerate().take(radius + 1).skip(1) {
                add(sums, &row[margin - x..][..side], *tap);
                add(sums, &row[margin + x..][..side], *tap);
            }
            for (to, sum) in to.iter_mut().zip(sums.iter()) {
                *to = (sum + 0.5) as u8;
            }
        }
    }
}

/// Taps up to this are left out: all of them together move a sum of a 224 px view by less than 2^-16 of a level.
const NOTHING: f32 = 1.0 / (1u32 << 30) as f32;

fn scale(to: &mut [f32], from: &[f32], tap: f32) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = tap * from);
}

fn add(to: &mut [f32], from: &[f32], tap: f32) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += tap * from);
}
