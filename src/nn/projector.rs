//! Projection head of SimCLR (Chen et al., ICML 2020): linear, batch norm, ReLU, linear, and as published another batch norm without a
//! trained bias. BYOL's (Grill et al., NeurIPS 2020) ends with the second linear layer, and its first has a bias.

use tch::Tensor;

use super::layers::Linear;
use super::norm::{BatchNorm, Mode};
use super::weights::{Role, Weights};

/// Width of an embedding, as published.
const EMBEDDING: i64 = 128;

/// Widths of a projector, and how it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProjectorSpec {
    /// Hidden units.
    pub hidden: i64,
    /// Width of an embedding.
    pub outputs: i64,
    /// Ends with a batch norm; the linear layers then have no bias.
    pub last_norm: bool,
}

impl ProjectorSpec {
    /// The published one for features of `width`: as many hidden units, embeddings of 128.
    pub const fn published(width: i64) -> Self {
        Self { hidden: width, outputs: EMBEDDING, last_norm: true }
    }
}

#[derive(Debug)]
pub(super) struct Projector {
    fc1: Linear,
    bn1: BatchNorm,
    fc2: Linear,
    bn2: Option<BatchNorm>,
}

impl Projector {
    /// Registers `{name}.{fc1,bn1,fc2}` and perhaps `{name}.bn2` for features of `width`.
    pub(super) fn new(weights: &mut Weights, name: &str, width: i64, spec: ProjectorSpec) -> Self {
        let ProjectorSpec { hidden, outputs, last_norm } = spec;
        Self {
            fc1: Linear::new(weights, &format!("{name}.fc1"), width, hidden, !last_norm, Role::Parameter),
            bn1: BatchNorm::new(weights, &format!("{name}.bn1"), hidden, Role::Parameter),
            fc2: Linear::new(weights, &format!("{name}.fc2"), hidden, outputs, false, Role::Parameter),
            bn2: last_norm.then(|| BatchNorm::new(weights, &format!("{name}.bn2"), outputs, Role::Frozen)),
        }
    }

    /// `h: [rows, width]` to `z: [rows, outputs]`, not normalised.
    pub(super) fn forward(&self, h: &Tensor, mode: Mode) -> Tensor {
        let hidden = self.bn1.forward(&self.fc1.forward(h), mode).relu_();
        let z = self.fc2.forward(&hidden);
        match &self.bn2 {
            Some(norm) => norm.forward(&z, mode),
            None => z,
        }
    }
}
