//! The dual problem of the Crammer-Singer SVM, solved row by row. Plain arithmetic in f64, no tensors.
//!
//! ```text
//! minimise  1/2 tr(A' M A) - sum over i of A[i, y_i],   M = K + I        A: [samples, classes]
//! subject to  A[i, k] <= C [k = y_i],   sum over k of A[i, k] = 0        C = 0.1
//! ```
//! The quadratic form is `(K + I)` for every class, so nothing larger than `samples x samples` is needed. The constraints tie one sample's
//! row together and no two rows: each row in turn is solved exactly ([`level`]), and the slopes of the classes it changed are brought up to
//! date. `M` has no eigenvalue below 1 and unit rows give a diagonal of 2, so a sweep over the rows takes a fixed share of the error away,
//! whatever the number of samples (Nesterov, SIAM J. Optim. 2012, for random order; here forth and back in turns).

use super::super::Solver;

/// The bound of the true class's variable.
pub const C: f64 = 0.1;

/// The KKT residual at which the solver stops.
const TOLERANCE: f64 = 1e-11;

/// Sweeps after which it gives up; 10 to 60 are usual.
const MOST_SWEEPS: u32 = 2000;

/// Changes below this do not reach the slopes: they are rounding.
const NO_CHANGE: f64 = 1e-18;

/// What [`solve`] found.
#[derive(Clone, Debug)]
pub struct Solution {
    /// `A`, `[samples, classes]` in row order. Variables at their bound equal it exactly.
    pub duals: Vec<f64>,
    /// Sweeps, and the largest violation of the KKT conditions.
    pub solver: Solver,
}

/// Upper bound of the variable of `sample` and `class`; sample `i` belongs to class `i % classes`.
pub fn bound(sample: usize, class: usize, classes: usize) -> f64 {
    if sample % classes == class { C } else { 0.0 }
}

/// Solves for the inner products `gram` (`K`), `[samples, samples]`, of samples whose classes repeat `0..classes`.
///
/// Anything that is not finite in `gram` gives zeros and a residual of NaN.
pub fn solve(gram: &[f64], classes: usize) -> Solution {
    let mut state = State::new(gram, classes);
    let mut solver = Solver { iterations: 0, residual: f64::NAN };
    if gram.iter().all(|value| value.is_finite()) {
        while solver.iterations < MOST_SWEEPS {
            state.sweep(solver.iterations % 2 == 1);
            solver.iterations += 1;
            solver.residual = state.residual();
            if solver.residual <= TOLERANCE {
                // Sums that were kept up to date drift: judge by fresh ones.
                state.refresh();
                solver.residual = state.residual();
                if solver.residual <= TOLERANCE {
                    break;
                }
            }
        }
    }
    let duals = (0..state.samples).flat_map(|i| (0..classes).map(move |k| (i, k)));
    Solution { duals: duals.map(|(i, k)| state.duals[k * state.samples + i]).collect(), solver }
}

/// Variables and slopes, class-major: a change of one variable moves the slopes of its class by a row of `M`.
struct State {
    samples: usize,
    classes: usize,
    /// `M`, `[samples, samples]`.
    matrix: Vec<f64>,
    /// `A'`, `[classes, samples]`.
    duals: Vec<f64>,
    /// `(M A - Y)'`, `[classes, samples]`.
    slopes: Vec<f64>,
    /// One row's slopes without its own share.
    rest: Vec<f64>,
}

impl State {
    fn new(gram: &[f64], classes: usize) -> Self {
        let samples = gram.len().isqrt();
        let mut matrix = gram.to_vec();
        for i in 0..samples {
            matrix[i * samples + i] += 1.0;
        }
        let zeros = vec![0.0; samples * classes];
        let mut state =
            Self { samples, classes, matrix, duals: zeros.clone(), slopes: zeros, rest: vec![0.0; classes] };
        state.refresh();
        state
    }

    /// The slopes from the variables.
    fn refresh(&mut self) {
        let Self { samples, classes, .. } = *self;
        for (class, slopes) in self.slopes.chunks_exact_mut(samples).enumerate() {
            for (i, slope) in slopes.iter_mut().enumerate() {
                *slope = if i % classes == class { -1.0 } else { 0.0 };
            }
            for i in 0..samples {
                add(slopes, self.duals[class * samples + i], &self.matrix[i * samples..][..samples]);
            }
        }
    }

    /// Solves every row once, the others held.
    fn sweep(&mut self, backwards: bool) {
        for step in 0..self.samples {
            self.solve_row(if backwards { self.samples - 1 - step } else { step });
        }
    }

    fn solve_row(&mut self, i: usize) {
        let Self { samples, classes, .. } = *self;
        let row = &self.matrix[i * samples..][..samples];
        let curvature = row[i];
        for (class, rest) in self.rest.iter_mut().enumerate() {
            let at = class * samples + i;
            *rest = self.slopes[at] - curvature * self.duals[at];
        }
        let level = level(&self.rest, curvature, i % classes);
        for (class, rest) in self.rest.iter().enumerate() {
            let at = class * samples + i;
            let next = (-(rest + level) / curvature).min(bound(i, class, classes));
            let change = next - self.duals[at];
            self.duals[at] = next;
            if change.abs() > NO_CHANGE {
                add(&mut self.slopes[class * samples..][..samples], change, row);
            }
        }
    }

    /// The largest violation of: slope plus the row's multiplier is zero where a variable is free and not positive at a bound; rows sum to
    /// zero. A row's multiplier is the mean over its free variables. Bounds hold by construction.
    fn residual(&self) -> f64 {
        let Self { samples, classes, .. } = *self;
        let (mut sums, mut free, mut level) = (vec![0.0; samples], vec![0.0; samples], vec![0.0; samples]);
        let each = || (0..classes).flat_map(|class| (0..samples).map(move |i| (class, i)));
        for (class, i) in each() {
            let at = class * samples + i;
            sums[i] += self.duals[at];
            if self.duals[at] < bound(i, class, classes) {
                free[i] += 1.0;
                level[i] -= self.slopes[at];
            }
        }
        let of_sums = sums.iter().fold(0.0, |worst: f64, sum| worst.max(sum.abs()));
        each().fold(of_sums, |worst, (class, i)| {
            let at = class * samples + i;
            let tilt = self.slopes[at] + level[i] / f64::max(free[i], 1.0);
            worst.max(if self.duals[at] < bound(i, class, classes) { tilt.abs() } else { tilt })
        })
    }
}

/// The multiplier `v` of one row: `sum over k of min(u[k], -(rest[k] + v) / curvature) = 0`.
///
/// The sum falls with `v` and is concave, so Newton's method from the far right, where all variables are free, never passes the root, and
/// ends after finitely many steps: each step can only take variables out of the free ones.
fn level(rest: &[f64], curvature: f64, own: usize) -> f64 {
    let mut level = f64::INFINITY;
    loop {
        let (mut free, mut held) = (0.0, 0.0);
        let mut sum = 0.0;
        for (class, &rest) in rest.iter().enumerate() {
            let bound = if class == own { C } else { 0.0 };
            if -rest - curvature * bound < level {
                free += 1.0;
                sum += rest;
            } else {
                held += bound;
            }
        }
        let next = (curvature * held - sum) / free;
        // Not `>=`: NaN must end it too.
        if !(next < level) {
            return level;
        }
        level = next;
    }
}

/// `to += factor * from`.
fn add(to: &mut [f64], factor: f64, from: &[f64]) {
    if factor != 0.0 {
        to.iter_mut().zip(from).for_each(|(to, from)| *to += factor * from);
    }
}
