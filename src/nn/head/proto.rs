//! Prototype head (Snell et al., NeurIPS 2017) for any shots.
//!
//! ```text
//! x = rows of z, normalised, / sqrt(T)           [rows, d]
//! c_k = mean of class k's support rows of x      [classes, d], not renormalised
//! logit[q, k] = -|x_q - c_k|^2                   [queries, classes]
//! loss = mean cross-entropy of the queries against their classes
//! ```
//! With one shot a logit is `(2 cos - 2) / T`. A query is recognised where its class has the largest logit.

use tch::Tensor;

use super::{HeadOut, Shots, query_labels, unit_rows};
use crate::episode::RowLayout;

/// Judges `z: [rows, d]`; squared distances are DIVIDED by `temperature`. Only query rows are judged.
pub fn judge(z: &Tensor, rows: RowLayout, shots: Shots, temperature: f64) -> HeadOut {
    let logits = logits(z, rows, shots, temperature);
    HeadOut::of_logits(&logits, &query_labels(rows.classes, shots, z.device()))
}

/// Negative squared distances, `[n_query * classes, classes]`, queries in row order.
pub fn logits(z: &Tensor, rows: RowLayout, shots: Shots, temperature: f64) -> Tensor {
    let x = unit_rows(z) / temperature.sqrt();
    let (classes, n_supp, n_query) = (rows.classes as i64, shots.n_supp as i64, shots.n_query as i64);
    let prototypes =
        x.narrow(0, 0, n_supp * classes).reshape([n_supp, classes, -1]).mean_dim([0].as_slice(), false, None);
    let queries = x.narrow(0, n_supp * classes, n_query * classes);
    // |x - c|^2 multiplied out: a matrix product in place of a [queries, classes, d] difference.
    let squares = |rows: &Tensor| rows.square().sum_dim_intlist([1].as_slice(), true, None);
    queries.matmul(&prototypes.tr()) * 2.0 - squares(&queries) - squares(&prototypes).tr()
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;
    use crate::nn::head::testing::{close, embeddings, gradient_matches, unit};

    const T: f64 = 0.3;

    /// The formula, one query at a time.
    fn oracle(z: &[Vec<f64>], rows: RowLayout, shots: Shots) -> (f64, Vec<bool>) {
        let x: Vec<Vec<f64>> = z.iter().map(|row| unit(row).iter().map(|v| v / T.sqrt()).collect()).collect();
        let d = x[0].len();
        let prototype = |class: usize, k: usize| {
            let views = (0..shots.n_supp).map(|view| x[rows.row(view, class)][k]);
            views.sum::<f64>() / shots.n_supp as f64
        };
        let (mut loss, mut hits) = (0.0, Vec::new());
        let queries = rows.query(shots.n_supp, shots.n_query);
        for q in queries.clone() {
            let logit = |class| -(0..d).map(|k| (x[q][k] - prototype(class, k)).powi(2)).sum::<f64>();
            let own = logit(rows.class_of(q));
            loss += (0..rows.classes).map(|class| logit(class).exp()).sum::<f64>().ln() - own;
            hits.push((0..rows.classes).all(|class| logit(class) <= own));
        }
        (loss / queries.len() as f64, hits)
    }

    fn cases() -> impl Iterator<Item = (RowLayout, Shots)> {
        let shots = [(1, 1), (3, 1), (1, 3), (2, 2)].map(|(n_supp, n_query)| Shots { n_supp, n_query });
        shots.into_iter().map(|shots| (RowLayout::new(4, shots.n_supp + shots.n_query), shots))
    }

    #[test]
    fn equals_the_loops_for_any_shots() {
        for (rows, shots) in cases() {
            let (z, tensor) = embeddings(rows, 5);
            let (loss, hits) = oracle(&z, rows, shots);
            for (kind, tolerance) in [(Kind::Double, 1e-13), (Kind::Float, 2e-6)] {
                let out = judge(&tensor.to_kind(kind), rows, shots, T);
                assert!(close(out.loss.double_value(&[]), loss, tolerance), "{shots:?} {kind:?}");
                assert_eq!(Vec::<bool>::try_from(&out.hits).unwrap(), hits, "{shots:?} {kind:?}");
            }
        }
    }

    #[test]
    fn gradient_is_the_slope_of_the_loops() {
        for (rows, shots) in cases() {
            gradient_matches(rows, 5, |z| oracle(z, rows, shots).0, |z| judge(z, rows, shots, T).loss);
        }
    }
}
