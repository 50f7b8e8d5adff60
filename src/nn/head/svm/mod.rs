//! Support vector head: the multi-class SVM of Crammer & Singer (JMLR 2001) as MetaOptNet (Lee et al., CVPR 2019) uses it, any shots.
//!
//! The classes are cut into `tasks` contiguous groups, each a task of its own with `n = classes / tasks` ways:
//! ```text
//! x = rows of z, normalised; X = the task's support rows [s, d], Q = its query rows [q, d], K = X X'
//! A = the dual variables [s, n] of an SVM on X, see [`dual`]
//! logits = T Q X' A                                     [q, n]
//! loss = mean cross-entropy of all tasks' queries against their classes
//! ```
//! [`dual`] solves for `A`, [`adjoint`] differentiates it; both work in f64 on the CPU, one task after the other, and so does the rest of
//! the head, in f64, on the embeddings' device.
//!
//! **Gradient.** `A` depends on `K`. With `g = dloss/dA`, the optimality conditions give `dloss = -<w, dK A>`, where `w` solves the
//! adjoint system. So `-<w, K A>` with `w` and `A` held constant has the wanted gradient; it is added less its own value, which leaves the
//! loss as it is, and scales with the loss wherever that is weighted.

pub mod adjoint;
pub mod dual;
mod face;

use tch::{Device, Kind, Tensor};

use super::{HeadOut, Shots, Solver, query_labels, unit_rows};
use crate::episode::RowLayout;

/// Judges `z: [rows, d]`; logits are MULTIPLIED by `temperature`. `tasks` divides the classes. Only query rows are judged.
pub fn judge(z: &Tensor, rows: RowLayout, shots: Shots, temperature: f64, tasks: usize) -> HeadOut {
    let batch = Tasks::of(z, rows, shots, tasks);
    let (duals, solver) = batch.solve();
    let logits = batch.logits(&duals) * temperature;
    let labels = query_labels(batch.ways as usize, Shots { n_query: shots.n_query * tasks, ..shots }, z.device());
    let mut out = HeadOut::of_logits(&batch.in_row_order(&logits), &labels);
    out.solver = Some(solver);
    if out.loss.requires_grad() {
        let slope = batch.slope(&logits.detach()) * temperature;
        let surrogate = batch.surrogate(&duals, &slope);
        out.loss = out.loss.g_add(&(&surrogate - surrogate.detach()));
    }
    out.loss = out.loss.to_kind(z.kind());
    out
}

/// What the SVMs answer, `[n_query * classes, classes / tasks]`, f64, queries in row order, columns within the query's task.
/// Not differentiated through the SVM, only through the queries and its support vectors.
pub fn logits(z: &Tensor, rows: RowLayout, shots: Shots, temperature: f64, tasks: usize) -> Tensor {
    let batch = Tasks::of(z, rows, shots, tasks);
    let (duals, _) = batch.solve();
    batch.in_row_order(&(batch.logits(&duals) * temperature))
}

/// A batch cut into tasks.
struct Tasks {
    /// `[tasks, n_supp * ways, d]`, f64, unit rows, shot-major.
    support: Tensor,
    /// `[tasks, n_query * ways, d]`, the same way.
    query: Tensor,
    ways: i64,
}

impl Tasks {
    fn of(z: &Tensor, rows: RowLayout, shots: Shots, tasks: usize) -> Self {
        let x = unit_rows(&z.to_kind(Kind::Double));
        let (classes, tasks) = (rows.classes as i64, tasks as i64);
        let ways = classes / tasks;
        let part = |first: usize, views: usize| {
            let views = views as i64;
            let rows = x.narrow(0, first as i64 * classes, views * classes).reshape([views, tasks, ways, -1]);
            rows.transpose(0, 1).reshape([tasks, views * ways, -1])
        };
        Self { support: part(0, shots.n_supp), query: part(shots.n_supp, shots.n_query), ways }
    }

    /// The tasks' dual variables, `[tasks, s, ways]`, constants.
    fn solve(&self) -> (Tensor, Solver) {
        let grams = self.grams();
        let (mut duals, mut worst) = (Vec::new(), Solver { iterations: 0, residual: 0.0 });
        for gram in &grams {
            let solution = dual::solve(gram, self.ways as usize);
            worst = worst.or_worse(solution.solver);
            duals.extend(solution.duals);
        }
        (self.per_support(&duals), worst)
    }

    /// `K` of each task, in row order.
    fn grams(&self) -> Vec<Vec<f64>> {
        let x = self.support.detach();
        host(&x.bmm(&x.transpose(1, 2)))
    }

    /// `[tasks, s, ways]` on the device, of each task's `[ways, s]`.
    fn per_support(&self, values: &[f64]) -> Tensor {
        let size = self.support.size();
        let by_way = Tensor::from_slice(values).reshape([size[0], self.ways, size[1]]);
        by_way.transpose(1, 2).to_device(self.support.device())
    }

    /// `[tasks, q, ways]`, before the temperature: the queries against each class's weights `X' A`.
    fn logits(&self, duals: &Tensor) -> Tensor {
        self.query.bmm(&self.support.transpose(1, 2).bmm(duals))
    }

    /// `dloss/dA` for a temperature of 1, `[tasks, s, ways]`, a constant; `logits` as the loss saw them.
    fn slope(&self, logits: &Tensor) -> Tensor {
        let shots = self.query.size()[1] / self.ways;
        let wanted = Tensor::eye(self.ways, (Kind::Double, logits.device())).repeat([shots, 1]);
        let queries = self.query.size()[0] * self.query.size()[1];
        let of_logits = (logits.softmax(-1, None::<Kind>) - wanted) / queries as f64;
        self.support.detach().bmm(&self.query.detach().transpose(1, 2).bmm(&of_logits))
    }

    /// A scalar whose gradient is the loss's through the duals; its value means nothing.
    fn surrogate(&self, duals: &Tensor, slope: &Tensor) -> Tensor {
        let by_way = |per_support: &Tensor| host(&per_support.transpose(1, 2));
        let tasks = self.grams().into_iter().zip(by_way(duals)).zip(by_way(slope));
        let weights: Vec<f64> =
            tasks.flat_map(|((gram, duals), slope)| adjoint::solve(&gram, &duals, &slope)).collect();
        let x = self.support.transpose(1, 2);
        -(x.bmm(&self.per_support(&weights)) * x.bmm(duals)).sum(Kind::Double)
    }

    /// `[tasks, q, ways]` as `[tasks * q, ways]`, in the batch's row order.
    fn in_row_order(&self, logits: &Tensor) -> Tensor {
        let tasks = logits.size()[0];
        logits.reshape([tasks, -1, self.ways, self.ways]).transpose(0, 1).reshape([-1, self.ways])
    }
}

/// The entries of the first axis, each as numbers in row order.
fn host(batch: &Tensor) -> Vec<Vec<f64>> {
    let of = |one: Tensor| {
        let mut values = vec![0.0; one.numel()];
        let elements = values.len();
        one.contiguous().copy_data(&mut values, elements);
        values
    };
    batch.to_device(Device::Cpu).unbind(0).into_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::head::testing::{close, embeddings, gradient_matches, unit};

    const T: f64 = 10.0;

    /// The formulas, one number at a time; only the dual problem is the solver's, which `tests/svm_solver.rs` judges.
    fn oracle(z: &[Vec<f64>], rows: RowLayout, shots: Shots, tasks: usize) -> (f64, Vec<bool>) {
        let u: Vec<_> = z.iter().map(|row| unit(row)).collect();
        let inner = |a: usize, b: usize| u[a].iter().zip(&u[b]).map(|(x, y)| x * y).sum::<f64>();
        let ways = rows.classes / tasks;
        let (mut loss, mut hits) = (0.0, Vec::new());
        let queries = rows.query(shots.n_supp, shots.n_query);
        for q in queries.clone() {
            let first = rows.class_of(q) / ways * ways;
            let support: Vec<_> =
                rows.support(shots.n_supp).filter(|&a| (first..first + ways).contains(&rows.class_of(a))).collect();
            let gram: Vec<f64> = support.iter().flat_map(|&a| support.iter().map(move |&b| inner(a, b))).collect();
            let duals = dual::solve(&gram, ways).duals;
            let dual = |i: usize, way: usize| duals[way * support.len() + i];
            let logit = |way| T * support.iter().enumerate().map(|(i, &a)| dual(i, way) * inner(q, a)).sum::<f64>();
            let own = logit(rows.class_of(q) - first);
            loss += (0..ways).map(|way| logit(way).exp()).sum::<f64>().ln() - own;
            hits.push((0..ways).all(|way| logit(way) <= own));
        }
        (loss / queries.len() as f64, hits)
    }

    fn cases() -> impl Iterator<Item = (RowLayout, Shots, usize)> {
        let cases = [(1, 1, 1), (3, 1, 1), (1, 3, 2), (2, 2, 3), (2, 1, 2)];
        cases
            .into_iter()
            .map(|(n_supp, n_query, tasks)| (RowLayout::new(6, n_supp + n_query), Shots { n_supp, n_query }, tasks))
    }

    #[test]
    fn equals_the_loops_for_any_shots_and_tasks() {
        for (rows, shots, tasks) in cases() {
            let (z, tensor) = embeddings(rows, 5);
            let (loss, hits) = oracle(&z, rows, shots, tasks);
            for (kind, tolerance) in [(Kind::Double, 1e-11), (Kind::Float, 1e-6)] {
                let out = judge(&tensor.to_kind(kind), rows, shots, T, tasks);
                assert_eq!(out.loss.kind(), kind);
                assert!(close(out.loss.double_value(&[]), loss, tolerance), "{shots:?} {tasks} {kind:?}");
                assert_eq!(Vec::<bool>::try_from(&out.hits).unwrap(), hits, "{shots:?} {tasks} {kind:?}");
            }
        }
    }

    /// Through the logits and through the duals.
    #[test]
    fn gradient_is_the_slope_of_the_loops() {
        for (rows, shots, tasks) in cases() {
            let loss = |z: &Tensor| judge(z, rows, shots, T, tasks).loss;
            gradient_matches(rows, 5, |z| oracle(z, rows, shots, tasks).0, loss);
        }
    }

    /// Two heads on one batch, weighted, as in query mixing.
    #[test]
    fn a_weighted_sum_has_the_weighted_gradient() {
        let (rows, shots) = (RowLayout::new(6, 2), Shots { n_supp: 1, n_query: 1 });
        let gradient = |loss: &dyn Fn(&Tensor) -> Tensor| {
            let z = embeddings(rows, 5).1.set_requires_grad(true);
            loss(&z).backward();
            z.grad()
        };
        let judge = |z: &Tensor| judge(z, rows, shots, T, 1).loss;
        let (plain, flipped) = (gradient(&judge), gradient(&|z| judge(&z.flip([1]).square())));
        let both = gradient(&|z| judge(z) * 0.3 + judge(&z.flip([1]).square()) * 0.7);
        assert!((both - (plain * 0.3 + flipped * 0.7)).norm().double_value(&[]) < 1e-12);
    }

    #[test]
    fn not_a_number_stays_one() {
        let (rows, shots) = (RowLayout::new(4, 2), Shots { n_supp: 1, n_query: 1 });
        let z = (embeddings(rows, 5).1 * f64::NAN).set_requires_grad(true);
        let out = judge(&z, rows, shots, T, 2);
        out.loss.backward();
        assert!(out.loss.double_value(&[]).is_nan());
        assert!(!out.solver.unwrap().converged());
    }
}
