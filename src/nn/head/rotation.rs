//! Rotation loss (Gidaris et al., ICLR 2018): which quarter turn an image has made, out of four.

use tch::{Reduction, Tensor};

/// What the rows `logits: [rows, 4]` with the labels `turns: [rows]`, int64, counter-clockwise quarter turns 0..4, add to the mean
/// cross-entropy over `all` rows, of which there may be more elsewhere; a scalar, 0 for no rows.
pub fn loss(logits: &Tensor, turns: &Tensor, all: usize) -> Tensor {
    logits.cross_entropy_loss(turns, None::<&Tensor>, Reduction::Sum, -100, 0.0) / all as f64
}
