//! Bootstrap loss of BYOL (Grill et al., NeurIPS 2020) and SimSiam (Chen and He, CVPR 2021), for any number `m >= 2` of views.
//!
//! ```text
//! loss = 2 * mean over classes and ordered pairs of views a, b of (2 - 2 cos(prediction of a, target of b))
//! ```
//! For two views this is BYOL's symmetrised sum. No gradient reaches the targets. A row is recognised where, among the targets of the next
//! view, that of its own class and no other is nearest; ties count as missed.

use tch::{Kind, Tensor};

use super::{HeadOut, unit_rows};
use crate::episode::RowLayout;

/// Judges `predictions: [rows, d]` against `targets: [rows, d]`.
pub fn judge(predictions: &Tensor, targets: &Tensor, rows: RowLayout) -> HeadOut {
    let (views, classes) = (rows.views as i64, rows.classes as i64);
    let split = |rows: &Tensor| unit_rows(rows).reshape([views, classes, -1]);
    let (predictions, targets) = (split(predictions), split(&targets.detach()));
    // The targets of all other views at once.
    let others = targets.sum_dim_intlist([0].as_slice(), true, None::<Kind>) - &targets;
    let pairs = views * (views - 1) * classes;
    let cosine = (&predictions * others).sum(None::<Kind>) / pairs as f64;
    HeadOut { loss: 4.0 - cosine * 4.0, hits: hits(&predictions.detach(), &targets), solver: None }
}

fn hits(predictions: &Tensor, targets: &Tensor) -> Tensor {
    let next = targets.roll([-1], [0]);
    let similarities = predictions.bmm(&next.transpose(1, 2));
    let own = similarities.diagonal(0, 1, 2).unsqueeze(2);
    similarities.ge_tensor(&own).sum_dim_intlist([2].as_slice(), false, Kind::Int64).eq(1).flatten(0, -1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::head::testing::{close, embeddings, gradient_matches, unit};
    use tch::Device;

    /// The formula, one pair at a time.
    fn oracle(predictions: &[Vec<f64>], targets: &[Vec<f64>], rows: RowLayout) -> f64 {
        let (mut sum, mut pairs) = (0.0, 0);
        for (a, prediction) in predictions.iter().enumerate() {
            for b in rows.positives(a) {
                let (p, t) = (unit(prediction), unit(&targets[b]));
                sum += 2.0 - 2.0 * p.iter().zip(&t).map(|(p, t)| p * t).sum::<f64>();
                pairs += 1;
            }
        }
        2.0 * sum / f64::from(pairs)
    }

    #[test]
    fn equals_the_loops_and_their_slope() {
        for rows in [RowLayout::new(4, 2), RowLayout::new(3, 3), RowLayout::new(1, 2)] {
            let (targets, target) = embeddings(RowLayout::new(rows.classes + 1, rows.views), 5);
            let target = target.narrow(0, 0, rows.rows() as i64);
            let (z, prediction) = embeddings(rows, 5);
            assert!(close(judge(&prediction, &target, rows).loss.double_value(&[]), oracle(&z, &targets, rows), 1e-13));
            gradient_matches(rows, 5, |z| oracle(z, &targets, rows), |z| judge(z, &target, rows).loss);
        }
    }

    #[test]
    fn targets_get_no_gradient() {
        let z = Tensor::randn([4, 3], (Kind::Double, Device::Cpu)).set_requires_grad(true);
        let target = z.copy();
        judge(&z.detach().set_requires_grad(true), &target, RowLayout::new(2, 2)).loss.backward();
        assert!(!z.grad().defined());
    }

    #[test]
    fn equal_views_are_all_recognised_and_collapsed_ones_are_not() {
        let z = Tensor::eye(3, (Kind::Float, Device::Cpu)).repeat([2, 1]);
        let out = judge(&z, &z, RowLayout::new(3, 2));
        assert_eq!((out.loss.double_value(&[]), out.accuracy().double_value(&[])), (0.0, 1.0));
        let one = Tensor::ones([6, 3], (Kind::Float, Device::Cpu));
        assert_eq!(judge(&one, &one, RowLayout::new(3, 2)).accuracy().double_value(&[]), 0.0);
    }
}
