//! Ridge regression head, R2D2 (Bertinetto et al., ICLR 2019), for any shots, without its learned scale and bias.
//!
//! ```text
//! x = rows of z, normalised, / sqrt(T)          [rows, d]
//! X = support rows [s, d], Y = their classes, one-hot [s, classes], Q = query rows [q, d]
//! dual form,   s <= d:  logits = Q X' (X X' + lambda I)^-1 Y
//! primal form, s >  d:  logits = Q (X' X + lambda I)^-1 X' Y
//! loss = mean cross-entropy of the queries against their classes
//! ```
//! The two forms are equal; the smaller system is solved, by Cholesky, and differentiated through. Where rounding leaves a system that is
//! not positive definite (lambda near 0), all logits are NaN: a loss that stops a run, not one that misleads it.

use tch::Tensor;

use super::{HeadOut, Shots, query_labels, unit_rows};
use crate::episode::RowLayout;

/// Judges `z: [rows, d]`; inner products are DIVIDED by `temperature`, `reg` is lambda. Only query rows are judged.
pub fn judge(z: &Tensor, rows: RowLayout, shots: Shots, temperature: f64, reg: f64) -> HeadOut {
    let logits = logits(z, rows, shots, temperature, reg);
    HeadOut::of_logits(&logits, &query_labels(rows.classes, shots, z.device()))
}

/// What the ridge regression answers, `[n_query * classes, classes]`, queries in row order.
pub fn logits(z: &Tensor, rows: RowLayout, shots: Shots, temperature: f64, reg: f64) -> Tensor {
    let x = unit_rows(z) / temperature.sqrt();
    let (classes, n_supp, n_query) = (rows.classes as i64, shots.n_supp as i64, shots.n_query as i64);
    let support = x.narrow(0, 0, n_supp * classes);
    let queries = x.narrow(0, n_supp * classes, n_query * classes);
    let one_hot = Tensor::eye(classes, (x.kind(), x.device())).repeat([n_supp, 1]);
    if support.size()[0] <= support.size()[1] {
        let answers = solve(&support.matmul(&support.tr()), reg, &one_hot);
        queries.matmul(&support.tr().matmul(&answers))
    } else {
        queries.matmul(&solve(&support.tr().matmul(&support), reg, &support.tr().matmul(&one_hot)))
    }
}

/// `(gram + reg I)^-1 right`.
fn solve(gram: &Tensor, reg: f64, right: &Tensor) -> Tensor {
    let ridge = Tensor::eye(gram.size()[0], (gram.kind(), gram.device())) * reg;
    let (factor, failed) = (gram + ridge).linalg_cholesky_ex(false, false);
    right.cholesky_solve(&factor.masked_fill(&failed.ne(0), f64::NAN), false)
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;
    use crate::nn::head::testing::{close, embeddings, gradient_matches, unit};

    const T: f64 = 0.4;

    /// `(shots, width)`: dual and primal forms of each kind of shots.
    fn cases() -> impl Iterator<Item = (RowLayout, Shots, u32)> {
        let shots = [(1, 1), (3, 1), (1, 3), (2, 2)].map(|(n_supp, n_query)| Shots { n_supp, n_query });
        let widths = shots.into_iter().flat_map(|shots| [(shots, 3), (shots, 13)]);
        widths.map(|(shots, width)| (RowLayout::new(4, shots.n_supp + shots.n_query), shots, width))
    }

    /// The columns of `matrix^-1 right`, by Gauss elimination with pivoting.
    fn eliminate(mut matrix: Vec<Vec<f64>>, mut right: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
        let size = matrix.len();
        for column in 0..size {
            let by_size = |a: &usize, b: &usize| matrix[*a][column].abs().total_cmp(&matrix[*b][column].abs());
            let pivot = (column..size).max_by(by_size).unwrap();
            matrix.swap(column, pivot);
            right.swap(column, pivot);
            let (pivot, answer) = (matrix[column].clone(), right[column].clone());
            for row in (0..size).filter(|&row| row != column) {
                let factor = matrix[row][column] / pivot[column];
                matrix[row].iter_mut().zip(&pivot).for_each(|(to, from)| *to -= factor * from);
                right[row].iter_mut().zip(&answer).for_each(|(to, from)| *to -= factor * from);
            }
        }
        (0..size).map(|row| right[row].iter().map(|value| value / matrix[row][row]).collect()).collect()
    }

    /// The dual formula, one number at a time.
    fn oracle(z: &[Vec<f64>], rows: RowLayout, shots: Shots, reg: f64) -> (f64, Vec<bool>) {
        let u: Vec<_> = z.iter().map(|row| unit(row)).collect();
        let inner = |a: usize, b: usize| u[a].iter().zip(&u[b]).map(|(x, y)| x * y).sum::<f64>() / T;
        let support = || rows.support(shots.n_supp);
        let ridge = |a: usize, b: usize| if a == b { reg } else { 0.0 };
        let gram = support().map(|a| support().map(|b| inner(a, b) + ridge(a, b)).collect()).collect();
        let one_hot = |a| (0..rows.classes).map(|class| f64::from(u8::from(rows.class_of(a) == class))).collect();
        let answers = eliminate(gram, support().map(one_hot).collect());
        let (mut loss, mut hits) = (0.0, Vec::new());
        let queries = rows.query(shots.n_supp, shots.n_query);
        for q in queries.clone() {
            let logit = |class: usize| support().map(|a| inner(q, a) * answers[a][class]).sum::<f64>();
            let own = logit(rows.class_of(q));
            loss += (0..rows.classes).map(|class| logit(class).exp()).sum::<f64>().ln() - own;
            hits.push((0..rows.classes).all(|class| logit(class) <= own));
        }
        (loss / queries.len() as f64, hits)
    }

    #[test]
    fn equals_the_loops_in_both_forms() {
        for (rows, shots, width) in cases() {
            for reg in [0.05, 50.0] {
                let (z, tensor) = embeddings(rows, width);
                let (loss, hits) = oracle(&z, rows, shots, reg);
                for (kind, tolerance) in [(Kind::Double, 1e-12), (Kind::Float, 1e-5)] {
                    let out = judge(&tensor.to_kind(kind), rows, shots, T, reg);
                    assert!(close(out.loss.double_value(&[]), loss, tolerance), "{shots:?} {width} {reg} {kind:?}");
                    assert_eq!(Vec::<bool>::try_from(&out.hits).unwrap(), hits, "{shots:?} {width} {reg} {kind:?}");
                }
            }
        }
    }

    #[test]
    fn gradient_is_the_slope_of_the_loops() {
        for (rows, shots, width) in cases() {
            let loss = |z: &Tensor| judge(z, rows, shots, T, 0.5).loss;
            gradient_matches(rows, width, |z| oracle(z, rows, shots, 0.5).0, loss);
        }
    }

    /// Equal rows and no ridge: the system has no solution.
    #[test]
    fn a_singular_system_gives_nan() {
        let shots = Shots { n_supp: 1, n_query: 1 };
        let z = Tensor::ones([8, 16], (Kind::Double, tch::Device::Cpu));
        let loss = |z: &Tensor, reg| judge(z, RowLayout::new(4, 2), shots, T, reg).loss.double_value(&[]);
        assert!(loss(&z, 0.0).is_nan());
        assert!(loss(&z, 1.0).is_finite());
        assert!(loss(&(z * f64::NAN), 1.0).is_nan());
    }
}
