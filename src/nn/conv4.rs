//! Conv-4, the few-shot standard: four times convolution 3x3, batch norm, ReLU, max-pool 2 (Snell et al., NeurIPS 2017; the blocks of
//! MetaOptNet's `ProtoNetEmbedding`, Lee et al., CVPR 2019), with two stated differences.
//!
//! - The convolutions have no bias: the batch norm takes it out again.
//! - The last map is averaged to 2x2 and flattened: `4 * filters` features. At 32 pixels the map *is* 2x2, so nothing is averaged and
//!   this is the flattening of both sources. Larger images give features of the same length, so the projector does not grow with the
//!   square of the area; at 16 pixels the single position is repeated. A global average would also throw the coarse layout away.

use tch::Tensor;

use super::init::Law;
use super::layers::{Conv, ConvSpec};
use super::norm::{BatchNorm, Mode};
use super::weights::{Role, Weights};

const BLOCKS: usize = 4;
/// Side of the map that becomes the feature.
const GRID: i64 = 2;
/// Four halvings must leave a pixel.
pub(super) const SMALLEST_IMAGE: u32 = 1 << BLOCKS;

/// Length of a feature.
pub(super) const fn features(filters: i64) -> i64 {
    GRID * GRID * filters
}

#[derive(Debug)]
pub(super) struct Conv4 {
    blocks: Vec<(Conv, BatchNorm)>,
}

impl Conv4 {
    /// Registers `{name}.{conv1,bn1,..,conv4,bn4}`: norms have `bn` in their names, so LARS leaves them alone.
    pub(super) fn new(weights: &mut Weights, name: &str, filters: i64) -> Self {
        let mut block = |n| {
            let inputs = if n == 1 { 3 } else { filters };
            let spec = ConvSpec { inputs, outputs: filters, kernel: 3, stride: 1 };
            let conv = Conv::new(weights, &format!("{name}.conv{n}"), spec, Law::FanIn(inputs * 3 * 3));
            (conv, BatchNorm::new(weights, &format!("{name}.bn{n}"), filters, Role::Parameter))
        };
        Self { blocks: (1..=BLOCKS).map(&mut block).collect() }
    }

    /// Values that training keeps of one image of `side` pixels until the backward pass: what norm, pooling and ReLU saw, and where the
    /// pooling took its values from, in 64 bits.
    pub(super) fn kept(&self, mut side: i64) -> i64 {
        let mut kept = 0;
        for (conv, _) in &self.blocks {
            let (_, values) = conv.output(side);
            side /= 2;
            kept += 2 * values + 3 * conv.output(side).1;
        }
        kept
    }

    /// `[rows, 3, height, width]`, both sides at least 16, to `[rows, 4 * filters]`.
    pub(super) fn forward(&self, x: &Tensor, mode: Mode) -> Tensor {
        let mut x = x.shallow_clone();
        for (conv, norm) in &self.blocks {
            // ReLU after the pooling: the same values and gradients, on a quarter of the elements.
            x = norm.forward(&conv.forward(&x), mode).max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false).relu_();
        }
        x.adaptive_avg_pool2d([GRID, GRID]).flatten(1, -1)
    }
}
