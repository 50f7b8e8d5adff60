//! ResNet-18 and ResNet-50 (He et al., CVPR 2016) as torchvision builds them: stride on the 3x3 convolution, no zero-initialised norms.
//!
//! The CIFAR stem is a 3x3 convolution of stride 1 without max-pooling (SimCLR, appendix B.9); the ImageNet stem torchvision's own.

use tch::Tensor;

use super::encoder::Stem;
use super::init::Law;
use super::layers::{Conv, ConvSpec, Linear};
use super::norm::{BatchNorm, Mode};
use super::weights::{Role, Weights};

const STEM_WIDTH: i64 = 64;
const CLASSES: i64 = 1000;

/// Blocks of the four stages and their kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Depth {
    blocks: [usize; 4],
    bottleneck: bool,
}

impl Depth {
    pub(super) const RESNET18: Self = Self { blocks: [2, 2, 2, 2], bottleneck: false };
    pub(super) const RESNET50: Self = Self { blocks: [3, 4, 6, 3], bottleneck: true };

    /// Channels a stage of `width` puts out.
    const fn outputs(self, width: i64) -> i64 {
        if self.bottleneck { 4 * width } else { width }
    }

    /// Length of a feature.
    pub(super) const fn features(self) -> i64 {
        self.outputs(8 * STEM_WIDTH)
    }
}

#[derive(Debug)]
pub(super) struct ResNet {
    stem: Stem,
    first: Unit,
    blocks: Vec<Block>,
}

impl ResNet {
    /// Registers `{name}.{conv1,bn1,layer1..4,fc}`.
    pub(super) fn new(weights: &mut Weights, name: &str, depth: Depth, stem: Stem) -> Self {
        // The published code replaces torchvision's first convolution on CIFAR, so that one starts with PyTorch's default.
        let (kernel, stride, law) = match stem {
            Stem::Cifar => (3, 1, Law::FanIn(3 * 3 * 3)),
            Stem::ImageNet => (7, 2, Law::FanOut),
        };
        let spec = ConvSpec { inputs: 3, outputs: STEM_WIDTH, kernel, stride };
        let first = Unit::new(weights, [&format!("{name}.conv1"), &format!("{name}.bn1")], spec, law);

        let mut inputs = STEM_WIDTH;
        let mut blocks = Vec::new();
        for (stage, &count) in depth.blocks.iter().enumerate() {
            let width = STEM_WIDTH << stage;
            for index in 0..count {
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                let place = format!("{name}.layer{}.{index}", stage + 1);
                blocks.push(Block::new(weights, &place, depth, inputs, width, stride));
                inputs = depth.outputs(width);
            }
        }
        // Only its names are wanted: torchvision's state holds a classifier.
        Linear::new(weights, &format!("{name}.fc"), inputs, CLASSES, true, Role::Unused);
        Self { stem, first, blocks }
    }

    /// Values that training keeps of one image of `side` pixels until the backward pass: what convolutions, norms and ReLUs saw.
    pub(super) fn kept(&self, side: i64) -> i64 {
        let (mut side, mut kept) = self.first.kept(side);
        if self.stem == Stem::ImageNet {
            side = (side + 1) / 2;
            // The output, and where each value came from in 64 bits.
            kept += 3 * STEM_WIDTH * side * side;
        }
        for block in &self.blocks {
            let (next, values) = block.kept(side);
            side = next;
            kept += values;
        }
        kept
    }

    /// `[rows, 3, height, width]` to `[rows, features]`: the mean over positions.
    pub(super) fn forward(&self, x: &Tensor, mode: Mode) -> Tensor {
        let mut x = self.first.forward(x, mode).relu_();
        if self.stem == Stem::ImageNet {
            x = x.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false);
        }
        for block in &self.blocks {
            x = block.forward(&x, mode);
        }
        x.adaptive_avg_pool2d([1, 1]).flatten(1, -1)
    }
}

/// A convolution and its batch norm.
#[derive(Debug)]
struct Unit {
    conv: Conv,
    norm: BatchNorm,
}

impl Unit {
    fn new(weights: &mut Weights, [conv, norm]: [&str; 2], spec: ConvSpec, law: Law) -> Self {
        let conv = Conv::new(weights, conv, spec, law);
        Self { conv, norm: BatchNorm::new(weights, norm, spec.outputs, Role::Parameter) }
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> Tensor {
        self.norm.forward(&self.conv.forward(x), mode)
    }

    /// Side of the output, and values kept: what the convolution gave and what ReLU made of it.
    fn kept(&self, side: i64) -> (i64, i64) {
        let (side, values) = self.conv.output(side);
        (side, 2 * values)
    }
}

/// A residual block: two 3x3 units, or 1x1, 3x3 and 1x1 (bottleneck), beside a shortcut.
#[derive(Debug)]
struct Block {
    units: Vec<Unit>,
    shortcut: Option<Unit>,
}

impl Block {
    fn new(weights: &mut Weights, name: &str, depth: Depth, inputs: i64, width: i64, stride: i64) -> Self {
        let outputs = depth.outputs(width);
        let conv = |inputs, outputs, kernel, stride| ConvSpec { inputs, outputs, kernel, stride };
        let specs = if depth.bottleneck {
            vec![conv(inputs, width, 1, 1), conv(width, width, 3, stride), conv(width, outputs, 1, 1)]
        } else {
            vec![conv(inputs, width, 3, stride), conv(width, width, 3, 1)]
        };
        let mut unit = |names: [String; 2], spec| Unit::new(weights, [&names[0], &names[1]], spec, Law::FanOut);
        let numbered = specs.into_iter().zip(1..);
        let units =
            numbered.map(|(spec, n)| unit([format!("{name}.conv{n}"), format!("{name}.bn{n}")], spec)).collect();
        let shortcut = (stride != 1 || inputs != outputs).then(|| {
            unit([format!("{name}.downsample.0"), format!("{name}.downsample.1")], conv(inputs, outputs, 1, stride))
        });
        Self { units, shortcut }
    }

    fn kept(&self, side: i64) -> (i64, i64) {
        let shortcut = self.shortcut.as_ref().map_or(0, |unit| unit.conv.output(side).1);
        self.units.iter().fold((side, shortcut), |(side, kept), unit| {
            let (side, values) = unit.kept(side);
            (side, kept + values)
        })
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> Tensor {
        let (last, before) = self.units.split_last().expect("a block has two units or three");
        let mut out = x.shallow_clone();
        for unit in before {
            out = unit.forward(&out, mode).relu_();
        }
        // In place: neither the norm nor the sum needs the norm's output for its gradient.
        let mut out = last.forward(&out, mode);
        let _ = match &self.shortcut {
            Some(unit) => out.g_add_(&unit.forward(x, mode)),
            None => out.g_add_(x),
        };
        out.relu_()
    }
}
