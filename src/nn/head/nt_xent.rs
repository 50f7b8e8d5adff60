//! Contrastive head, NT-Xent (Chen et al., ICML 2020), for any number `m >= 2` of views.
//!
//! ```text
//! u = rows of z, normalised           [n, d]
//! S = T u u', diagonal -1e9           [n, n]
//! loss = -1 / (n (m - 1)) * sum over rows a and their positives p of log_softmax(S)[a, p]
//! ```
//! A row is recognised where its `m - 1` positives, and nothing else, are its nearest rows. Ties with a negative count as missed, so that
//! collapsed embeddings score zero.

use tch::{Device, Kind, Tensor};

use super::{HeadOut, unit_rows};
use crate::episode::RowLayout;

/// Takes a row out of its own competition; finite, so that no gradient is NaN.
const SELF: f64 = -1e9;

/// Judges `z: [rows, d]`; cosines are MULTIPLIED by `temperature`. All rows are judged.
pub fn judge(z: &Tensor, rows: RowLayout, temperature: f64) -> HeadOut {
    let u = unit_rows(z);
    let mut similarities = (&u * temperature).matmul(&u.tr());
    let _ = similarities.fill_diagonal_(SELF, false);
    let positives = positives(rows, z.device());
    let log_p = similarities.log_softmax(1, None::<Kind>).gather(1, &positives, false);
    HeadOut { loss: -log_p.mean(None::<Kind>), hits: hits(&similarities.detach(), &positives), solver: None }
}

/// [`RowLayout::positives`] of every row, `[rows, views - 1]`, int64; made on the device, since a copy from the host would wait for it.
fn positives(rows: RowLayout, device: Device) -> Tensor {
    let (n, classes) = (rows.rows() as i64, rows.classes as i64);
    let row = Tensor::arange(n, (Kind::Int64, device)).unsqueeze(1);
    let shift = Tensor::arange_start_step(classes, n, classes, (Kind::Int64, device));
    (row + shift).remainder(n)
}

/// Where exactly the positives are as near as the farthest positive.
fn hits(similarities: &Tensor, positives: &Tensor) -> Tensor {
    let farthest = similarities.gather(1, positives, false).amin([1], true);
    let near = similarities.ge_tensor(&farthest).sum_dim_intlist([1].as_slice(), false, Kind::Int64);
    near.eq(positives.size()[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::head::testing::{close, embeddings, gradient_matches, unit};

    const T: f64 = 7.0;

    /// The formula, one pair at a time.
    fn oracle(z: &[Vec<f64>], rows: RowLayout) -> (f64, Vec<bool>) {
        let u: Vec<_> = z.iter().map(|row| unit(row)).collect();
        let n = rows.rows();
        let similarity = |a: usize, b: usize| T * (0..u[a].len()).map(|k| u[a][k] * u[b][k]).sum::<f64>();
        let (mut loss, mut hits) = (0.0, Vec::new());
        for a in 0..n {
            let partition: f64 = (0..n).filter(|&b| b != a).map(|b| similarity(a, b).exp()).sum();
            let (same, other): (Vec<_>, Vec<_>) =
                (0..n).filter(|&b| b != a).partition(|&b| rows.class_of(b) == rows.class_of(a));
            loss -= same.iter().map(|&p| similarity(a, p) - partition.ln()).sum::<f64>();
            hits.push(same.iter().all(|&p| other.iter().all(|&q| similarity(a, p) > similarity(a, q))));
        }
        (loss / (n * (rows.views - 1)) as f64, hits)
    }

    #[test]
    fn equals_the_loops_for_any_number_of_views() {
        for rows in [RowLayout::new(6, 2), RowLayout::new(4, 3), RowLayout::new(3, 5), RowLayout::new(1, 2)] {
            let (z, tensor) = embeddings(rows, 4);
            let (loss, hits) = oracle(&z, rows);
            for (kind, tolerance) in [(Kind::Double, 1e-13), (Kind::Float, 1e-6)] {
                let out = judge(&tensor.to_kind(kind), rows, T);
                assert!(close(out.loss.double_value(&[]), loss, tolerance), "{rows:?} {kind:?}");
                assert_eq!(Vec::<bool>::try_from(&out.hits).unwrap(), hits, "{rows:?} {kind:?}");
            }
        }
    }

    #[test]
    fn gradient_is_the_slope_of_the_loops() {
        let rows = RowLayout::new(3, 3);
        gradient_matches(rows, 4, |z| oracle(z, rows).0, |z| judge(z, rows, T).loss);
    }

    #[test]
    fn positives_are_the_layouts() {
        for rows in [RowLayout::new(1, 2), RowLayout::new(5, 2), RowLayout::new(4, 4)] {
            let made = positives(rows, Device::Cpu);
            assert_eq!(made.size(), [rows.rows() as i64, rows.views as i64 - 1]);
            let wanted: Vec<_> = (0..rows.rows()).flat_map(|row| rows.positives(row)).map(|row| row as i64).collect();
            assert_eq!(Vec::<i64>::try_from(made.flatten(0, -1)).unwrap(), wanted, "{rows:?}");
        }
    }

    #[test]
    fn collapsed_embeddings_are_missed() {
        let out = judge(&Tensor::ones([8, 4], (Kind::Float, Device::Cpu)), RowLayout::new(4, 2), T);
        assert_eq!(out.accuracy().double_value(&[]), 0.0);
    }
}
