//! Convolution and linear layer: a weight and how it is applied.

use tch::Tensor;

use super::init::Law;
use super::weights::{Role, Weights};

/// Two-dimensional convolution without bias (a batch norm follows), padded so that stride 1 keeps the size.
#[derive(Debug)]
pub(super) struct Conv {
    weight: Tensor,
    stride: i64,
    padding: i64,
}

/// Channels in, channels out, side of the kernel, stride.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConvSpec {
    pub(super) inputs: i64,
    pub(super) outputs: i64,
    pub(super) kernel: i64,
    pub(super) stride: i64,
}

impl Conv {
    /// Registers `{name}.weight`, `[outputs, inputs, kernel, kernel]`.
    pub(super) fn new(weights: &mut Weights, name: &str, spec: ConvSpec, law: Law) -> Self {
        let ConvSpec { inputs, outputs, kernel, stride } = spec;
        let shape = [outputs, inputs, kernel, kernel];
        let weight = weights.add(format!("{name}.weight"), &shape, Role::Parameter, law);
        Self { weight, stride, padding: kernel / 2 }
    }

    /// Side of the output for an input of `side`, and its values for one row.
    pub(super) fn output(&self, side: i64) -> (i64, i64) {
        let side = (side + self.stride - 1) / self.stride;
        (side, self.weight.size()[0] * side * side)
    }

    /// `[rows, inputs, height, width]` to `[rows, outputs, height / stride, width / stride]`, rounded up.
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let (stride, padding) = ([self.stride; 2], [self.padding; 2]);
        x.conv2d(&self.weight, None::<&Tensor>, stride, padding, [1, 1], 1)
    }
}

/// Linear layer.
#[derive(Debug)]
pub(super) struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// Registers `{name}.weight`, `[outputs, inputs]`, and with `biased` `{name}.bias`, `[outputs]`.
    pub(super) fn new(weights: &mut Weights, name: &str, inputs: i64, outputs: i64, biased: bool, role: Role) -> Self {
        let law = Law::FanIn(inputs);
        let weight = weights.add(format!("{name}.weight"), &[outputs, inputs], role, law);
        let bias = biased.then(|| weights.add(format!("{name}.bias"), &[outputs], role, law));
        Self { weight, bias }
    }

    /// `[rows, inputs]` to `[rows, outputs]`.
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, self.bias.as_ref())
    }
}
