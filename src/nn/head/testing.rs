//! What the heads' unit tests share: drawn embeddings, and gradients against differences of an oracle.

use tch::Tensor;

use crate::episode::RowLayout;
use crate::rng::{Purpose, Stream};

/// Embeddings with values in -1..1, as rows and as an f64 tensor `[rows, width]`.
pub(super) fn embeddings(rows: RowLayout, width: u32) -> (Vec<Vec<f64>>, Tensor) {
    let stream = Stream::new(11, Purpose::Synthetic);
    let row = |row| (0..width).map(|k| stream.draw([row, k, 0, 0]).between(-1.0, 1.0)).collect();
    let z: Vec<Vec<f64>> = (0..rows.rows() as u32).map(row).collect();
    let tensor = tensor(&z);
    (z, tensor)
}

fn tensor(z: &[Vec<f64>]) -> Tensor {
    Tensor::from_slice(&z.concat()).reshape([z.len() as i64, -1])
}

/// The row at length 1.
pub(super) fn unit(row: &[f64]) -> Vec<f64> {
    let norm = row.iter().map(|v| v * v).sum::<f64>().sqrt();
    row.iter().map(|v| v / norm).collect()
}

/// Equal within `tolerance`, relative to `want` or absolute below 1.
pub(super) fn close(got: f64, want: f64, tolerance: f64) -> bool {
    (got - want).abs() <= tolerance * want.abs().max(1.0)
}

/// Compares the gradient of `loss` with central differences of `oracle` at every element.
pub(super) fn gradient_matches(
    rows: RowLayout,
    width: u32,
    oracle: impl Fn(&[Vec<f64>]) -> f64,
    loss: impl Fn(&Tensor) -> Tensor,
) {
    const STEP: f64 = 1e-5;
    let (mut z, leaf) = embeddings(rows, width);
    let leaf = leaf.set_requires_grad(true);
    loss(&leaf).backward();
    let gradient = leaf.grad();
    for row in 0..z.len() {
        for k in 0..z[row].len() {
            let at = z[row][k];
            let mut shifted = |step| {
                z[row][k] = at + step;
                oracle(&z)
            };
            let slope = (shifted(STEP) - shifted(-STEP)) / (2.0 * STEP);
            z[row][k] = at;
            // Truncation is of the order of STEP^2, rounding of 1e-16 / STEP.
            let got = gradient.double_value(&[row as i64, k as i64]);
            assert!(close(got, slope, 1e-8), "row {row}, element {k}: {got} against {slope}");
        }
    }
}
