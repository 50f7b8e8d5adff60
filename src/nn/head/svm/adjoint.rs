//! The adjoint of the dual problem's solution: how a loss of the variables depends on the inner products.
//!
//! Where the solution `A` changes smoothly, variables at a bound stay there, and the free ones `F` keep their optimality conditions:
//! ```text
//! (M dA)[i, k] + dv[i] = -(dM A)[i, k]  for (i, k) in F,     sum over k of dA[i, k] = 0
//! ```
//! So `dloss = <g, dA> = -<w, dM A>`, where `w` is zero outside `F`, its rows sum to zero, and `M w = g` up to such terms: with `P` the
//! orthogonal projection onto that space, `P M P w = P g`. Solved by conjugate gradients: the eigenvalues of `P M P` lie between those of
//! `M`, at least 1, and one product touches only pairs of free variables of the same class.

use super::dual::bound;

/// Relative residual at which conjugate gradients stop.
const TOLERANCE: f64 = 1e-13;

/// Steps after which they give up; 20 to 60 are usual.
const MOST_STEPS: usize = 2000;

/// `w`, `[samples, classes]` in row order, for the inner products `gram` (`K`), `[samples, samples]`, the solution `duals` and the slope
/// `g` of the loss, both `[samples, classes]` in row order.
pub fn solve(gram: &[f64], classes: usize, duals: &[f64], slope: &[f64]) -> Vec<f64> {
    let free = Free::of(gram, classes, duals);
    let mut residual: Vec<f64> = free.places().map(|place| slope[place]).collect();
    free.project(&mut residual);
    let mut solution = vec![0.0; residual.len()];
    let mut direction = residual.clone();
    let mut square = dot(&residual, &residual);
    let enough = TOLERANCE * TOLERANCE * square;
    for _ in 0..MOST_STEPS {
        // Not `<=`: NaN must end it too.
        if !(square > enough) {
            break;
        }
        let product = free.product(&direction);
        let step = square / dot(&direction, &product);
        add(&mut solution, step, &direction);
        add(&mut residual, -step, &product);
        let before = std::mem::replace(&mut square, dot(&residual, &residual));
        let keep = square / before;
        direction.iter_mut().zip(&residual).for_each(|(direction, residual)| *direction = residual + keep * *direction);
    }
    let mut all = vec![0.0; duals.len()];
    free.places().zip(solution).for_each(|(place, value)| all[place] = value);
    all
}

/// The free variables, class by class; vectors over them are stored in that order.
struct Free<'a> {
    gram: &'a [f64],
    samples: usize,
    /// Samples whose variable of the class is free, ascending.
    of_class: Vec<Vec<usize>>,
    /// Free variables of each sample.
    of_sample: Vec<f64>,
}

impl<'a> Free<'a> {
    fn of(gram: &'a [f64], classes: usize, duals: &[f64]) -> Self {
        let samples = gram.len().isqrt();
        let is_free = |i: usize, class: usize| duals[i * classes + class] < bound(i, class, classes);
        let of_class: Vec<Vec<usize>> =
            (0..classes).map(|class| (0..samples).filter(|&i| is_free(i, class)).collect()).collect();
        let mut of_sample = vec![0.0; samples];
        of_class.iter().flatten().for_each(|&i| of_sample[i] += 1.0);
        Self { gram, samples, of_class, of_sample }
    }

    /// Where each free variable stands in a `[samples, classes]` array.
    fn places(&self) -> impl Iterator<Item = usize> {
        let classes = self.of_class.len();
        self.of_class.iter().enumerate().flat_map(move |(class, rows)| rows.iter().map(move |i| i * classes + class))
    }

    /// Takes each sample's mean from its free variables.
    fn project(&self, values: &mut [f64]) {
        let mut means = vec![0.0; self.samples];
        let rows = || self.of_class.iter().flatten();
        rows().zip(&*values).for_each(|(&i, value)| means[i] += value / self.of_sample[i]);
        rows().zip(values).for_each(|(&i, value)| *value -= means[i]);
    }

    /// `P M` times a vector.
    fn product(&self, values: &[f64]) -> Vec<f64> {
        let mut out = Vec::with_capacity(values.len());
        let mut rest = values;
        for rows in &self.of_class {
            let (own, others) = rest.split_at(rows.len());
            rest = others;
            let of_row = |(&i, own_value): (&usize, &f64)| own_value + self.inner(i, rows, own);
            out.extend(rows.iter().zip(own).map(of_row));
        }
        self.project(&mut out);
        out
    }

    /// Row `i` of `K` at `columns`, times `values`. Four sums: one would wait for each addition.
    fn inner(&self, i: usize, columns: &[usize], values: &[f64]) -> f64 {
        let row = &self.gram[i * self.samples..][..self.samples];
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
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `to += factor * from`.
fn add(to: &mut [f64], factor: f64, from: &[f64]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += factor * from);
}
