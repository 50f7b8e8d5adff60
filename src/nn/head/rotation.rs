//! Rotation loss (Gidaris et al., ICLR 2018): which quarter turn an image has made, out of four.

use tch::Tensor;

use super::HeadOut;

/// Judges `logits: [rows, 4]` against `turns: [rows]`, int64, counter-clockwise quarter turns 0..4. All rows are judged.
pub fn judge(logits: &Tensor, turns: &Tensor) -> HeadOut {
    HeadOut::of_logits(logits, turns)
}
