//! The free variables of the dual problem: steps that leave the others at their bounds and keep every sample's sum.
//!
//! Such steps form a linear space, with the orthogonal projection `P`. Conjugate gradients solve `P M P x = P b` on it, `M = K + I`: the
//! eigenvalues lie between those of `M`, at least 1, and a product touches only pairs of free variables of the same class.

use super::dual::bound;

/// Steps after which conjugate gradients give up; 20 to 60 are usual.
const MOST_STEPS: usize = 2000;

/// The free variables, class by class; vectors over them are stored in that order.
pub(super) struct Face {
    samples: usize,
    /// Samples whose variable of the class is free, ascending.
    of_class: Vec<Vec<usize>>,
    /// 1 / the free variables of each sample.
    share: Vec<f64>,
}

impl Face {
    /// Of `duals`, `[classes, samples]`.
    pub(super) fn of(duals: &[f64], samples: usize) -> Self {
        let classes = duals.len() / samples;
        let free = |(class, duals): (usize, &[f64])| {
            (0..samples).filter(|&i| duals[i] < bound(i, class, classes)).collect::<Vec<_>>()
        };
        let of_class: Vec<Vec<usize>> = duals.chunks_exact(samples).enumerate().map(free).collect();
        let mut count = vec![0_u32; samples];
        of_class.iter().flatten().for_each(|&i| count[i] += 1);
        let share = count.into_iter().map(|count| 1.0 / f64::from(count)).collect();
        Self { samples, of_class, share }
    }

    /// `x`, `[classes, samples]`, zero outside the face, of `P M P x = P b`, to the residual `tolerance` relative to `P b`.
    pub(super) fn solve(&self, gram: &[f64], b: &[f64], tolerance: f64) -> Vec<f64> {
        let mut residual: Vec<f64> = self.places().map(|place| b[place]).collect();
        self.level(&mut residual);
        let mut solution = vec![0.0; residual.len()];
        let mut direction = residual.clone();
        let mut square = dot(&residual, &residual);
        let enough = tolerance * tolerance * square;
        for _ in 0..MOST_STEPS {
            // Written so that NaN ends it too.
            if square <= enough || square.is_nan() {
                break;
            }
            let product = self.product(gram, &direction);
            let step = square / dot(&direction, &product);
            add(&mut solution, step, &direction);
            add(&mut residual, -step, &product);
            let before = std::mem::replace(&mut square, dot(&residual, &residual));
            let keep = square / before;
            direction.iter_mut().zip(&residual).for_each(|(to, residual)| *to = residual + keep * *to);
        }
        self.spread(&solution, b.len())
    }

    /// `P b`, both `[classes, samples]`.
    pub(super) fn project(&self, b: &[f64]) -> Vec<f64> {
        let mut values: Vec<f64> = self.places().map(|place| b[place]).collect();
        self.level(&mut values);
        self.spread(&values, b.len())
    }

    /// `[classes, samples]`, `elements` in all, zero outside the face.
    fn spread(&self, values: &[f64], elements: usize) -> Vec<f64> {
        let mut all = vec![0.0; elements];
        self.places().zip(values).for_each(|(place, value)| all[place] = *value);
        all
    }

    /// Where each free variable stands in a `[classes, samples]` array.
    fn places(&self) -> impl Iterator<Item = usize> {
        self.of_class
            .iter()
            .enumerate()
            .flat_map(move |(class, rows)| rows.iter().map(move |i| class * self.samples + i))
    }

    /// Takes each sample's mean from its free variables.
    fn level(&self, values: &mut [f64]) {
        let mut means = vec![0.0; self.samples];
        let rows = || self.of_class.iter().flatten();
        rows().zip(&*values).for_each(|(&i, value)| means[i] += value * self.share[i]);
        rows().zip(values).for_each(|(&i, value)| *value -= means[i]);
    }

    /// `P M` times a vector.
    fn product(&self, gram: &[f64], values: &[f64]) -> Vec<f64> {
        let mut out = Vec::with_capacity(values.len());
        let mut rest = values;
        for rows in &self.of_class {
            let (own, others) = rest.split_at(rows.len());
            rest = others;
            let of_row = |(&i, value): (&usize, &f64)| {
                let row = &gram[i * self.samples..][..self.samples];
                value + inner(row, rows, own)
            };
            out.extend(rows.iter().zip(own).map(of_row));
        }
        self.level(&mut out);
        out
    }
}

/// `row` at `columns`, times `values`. Four sums: one would wait for each addition.
fn inner(row: &[f64], columns: &[usize], values: &[f64]) -> f64 {
    let (columns, last_columns) = columns.as_chunks::<4>();
    let (values, last_values) = values.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for (columns, values) in columns.iter().zip(values) {
        for lane in 0..4 {
            sums[lane] += row[columns[lane]] * values[lane];
        }
    }
    let last: f64 = last_columns.iter().zip(last_values).map(|(&column, value)| row[column] * value).sum();
    sums.iter().sum::<f64>() + last
}

/// Sum of products.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `to += factor * from`.
pub(super) fn add(to: &mut [f64], factor: f64, from: &[f64]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += factor * from);
}
