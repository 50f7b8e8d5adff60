//! The dual problem of the Crammer-Singer SVM, solved row by row. Plain arithmetic in f64, no tensors.
//!
//! ```text
//! minimise  1/2 tr(A' M A) - sum over i of A[i, y_i],   M = K + I        A: [samples, classes]
//! subject to  A[i, k] <= C [k = y_i],   sum over k of A[i, k] = 0        C = 0.1
//! ```
//! The quadratic form is `(K + I)` for every class, so nothing larger than `samples x samples` is needed. Two kinds of steps in turns, both
//! of which only lower the objective (after More & Toraldo, SIAM J. Optim. 1991):
//!
//! - A sweep solves each sample's row exactly, the others held (`level`): no other constraint ties rows together. It finds which
//!   variables are at their bounds, but is slow where all samples have a common part.
//! - A Newton step on the `face` of the free variables, brought back into the bounds and cut to the lowest point on its
//!   way. It is exact once the bounds are the right ones.

use super::super::Solver;
use super::face::{Face, add, dot};

/// The bound of the true class's variable.
pub const C: f64 = 0.1;

/// The KKT residual at which the solver stops.
const TOLERANCE: f64 = 1e-11;

/// Rounds of a sweep and a Newton step after which it gives up; 5 to 15 are usual.
const MOST_ROUNDS: u32 = 500;

/// Residual of a Newton step, relative to its slope.
const INEXACT: f64 = 1e-2;

/// Changes below this do not reach the slopes: they are rounding.
const NO_CHANGE: f64 = 1e-18;

/// What [`solve`] found.
#[derive(Clone, Debug)]
pub struct Solution {
    /// `A'`, `[classes, samples]`. Variables at their bound equal it exactly.
    pub duals: Vec<f64>,
    /// Rounds, and the largest violation of the KKT conditions.
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
        while solver.iterations < MOST_ROUNDS {
            state.sweep(solver.iterations % 2 == 1);
            state.newton(INEXACT);
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
    Solution { duals: state.duals, solver }
}

/// Variables and slopes, class-major: a change of one variable moves the slopes of its class by a row of `M`.
struct State<'a> {
    samples: usize,
    classes: usize,
    /// `K`, `[samples, samples]`.
    gram: &'a [f64],
    /// `A'`, `[classes, samples]`.
    duals: Vec<f64>,
    /// `(M A - Y)'`, `[classes, samples]`.
    slopes: Vec<f64>,
    /// One row's slopes without its own share.
    rest: Vec<f64>,
}

impl<'a> State<'a> {
    fn new(gram: &'a [f64], classes: usize) -> Self {
        let samples = gram.len().isqrt();
        let zeros = vec![0.0; samples * classes];
        let mut state = Self { samples, classes, gram, duals: zeros.clone(), slopes: zeros, rest: vec![0.0; classes] };
        state.refresh();
        state
    }

    /// The slopes from the variables.
    fn refresh(&mut self) {
        let mut slopes = self.times_matrix(&self.duals);
        for i in 0..self.samples {
            slopes[i % self.classes * self.samples + i] -= 1.0;
        }
        self.slopes = slopes;
    }

    /// `(M A)'` for any `A'`, both `[classes, samples]`.
    fn times_matrix(&self, values: &[f64]) -> Vec<f64> {
        let mut out = values.to_vec();
        for (out, values) in out.chunks_exact_mut(self.samples).zip(values.chunks_exact(self.samples)) {
            for (&value, row) in
                values.iter().zip(self.gram.chunks_exact(self.samples)).filter(|(value, _)| **value != 0.0)
            {
                add(out, value, row);
            }
        }
        out
    }

    /// Solves every row once, the others held.
    fn sweep(&mut self, backwards: bool) {
        for step in 0..self.samples {
            self.solve_row(if backwards { self.samples - 1 - step } else { step });
        }
    }

    fn solve_row(&mut self, i: usize) {
        let Self { samples, classes, .. } = *self;
        let row = &self.gram[i * samples..][..samples];
        let curvature = row[i] + 1.0;
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
                self.slopes[at] += change;
            }
        }
    }

    /// The step to the lowest point of the face, cut back by the bounds and then to where the objective is lowest on its way.
    fn newton(&mut self, tolerance: f64) {
        let face = Face::of(&self.duals, self.samples);
        let slopes = face.project(&self.slopes);
        let mut step = face.solve(self.gram, &slopes, tolerance);
        step.iter_mut().for_each(|step| *step = -*step);
        let whole = self.cut(&mut step);
        let product = self.times_matrix(&step);
        // Where nothing was cut this is 1, but for rounding.
        let share = if whole { 1.0 } else { (-dot(&slopes, &step) / dot(&step, &product)).min(1.0) };
        if share > 0.0 {
            let bounds = (0..self.classes).flat_map(|class| (0..self.samples).map(move |i| (i, class)));
            for ((dual, step), (i, class)) in self.duals.iter_mut().zip(&step).zip(bounds) {
                *dual = (*dual + share * step).min(bound(i, class, self.classes));
            }
            add(&mut self.slopes, share, &product);
        }
    }

    /// Replaces a step by that to the nearest point within the bounds, row by row, variables at bounds held; whether there was no need to.
    fn cut(&mut self, step: &mut [f64]) -> bool {
        let Self { samples, classes, .. } = *self;
        let mut whole = true;
        for i in 0..samples {
            let places = || (0..classes).map(|class| (class, class * samples + i));
            if places().all(|(class, at)| self.duals[at] + step[at] <= bound(i, class, classes)) {
                continue;
            }
            whole = false;
            for (class, at) in places() {
                let held = self.duals[at] >= bound(i, class, classes);
                self.rest[class] = if held { f64::NEG_INFINITY } else { -self.duals[at] - step[at] };
            }
            let level = level(&self.rest, 1.0, i % classes);
            for (class, at) in places() {
                step[at] = (-(self.rest[class] + level)).min(bound(i, class, classes)) - self.duals[at];
            }
        }
        whole
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
        if next >= level || next.is_nan() {
            return level;
        }
        level = next;
    }
}
