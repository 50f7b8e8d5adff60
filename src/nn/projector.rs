//! Projection head of SimCLR (Chen et al., ICML 2020) as published: linear, batch norm, ReLU, linear, batch norm without a trained bias.

use tch::Tensor;

use super::layers::Linear;
use super::norm::{BatchNorm, Mode};
use super::weights::{Role, Weights};

/// Width of an embedding.
pub(super) const EMBEDDING: i64 = 128;

#[derive(Debug)]
pub(super) struct Projector {
    fc1: Linear,
    bn1: BatchNorm,
    fc2: Linear,
    bn2: BatchNorm,
}

impl Projector {
    /// Registers `{name}.{fc1,bn1,fc2,bn2}` for features of `width`.
    pub(super) fn new(weights: &mut Weights, name: &str, width: i64) -> Self {
        Self {
            fc1: Linear::new(weights, &format!("{name}.fc1"), width, width, false, Role::Parameter),
            bn1: BatchNorm::new(weights, &format!("{name}.bn1"), width, Role::Parameter),
            fc2: Linear::new(weights, &format!("{name}.fc2"), width, EMBEDDING, false, Role::Parameter),
            bn2: BatchNorm::new(weights, &format!("{name}.bn2"), EMBEDDING, Role::Frozen),
        }
    }

    /// `h: [rows, width]` to `z: [rows, 128]`, not normalised.
    pub(super) fn forward(&self, h: &Tensor, mode: Mode) -> Tensor {
        let hidden = self.bn1.forward(&self.fc1.forward(h), mode).relu_();
        self.bn2.forward(&self.fc2.forward(&hidden), mode)
    }
}
