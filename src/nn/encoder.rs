//! The encoder of the published code: backbone, projector and rotation head, with its names.

use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use super::autocast::Precision;
use super::conv4::{self, Conv4};
use super::head::unit_rows;
use super::init::InitStyle;
use super::layers::Linear;
use super::norm::Mode;
use super::projector::{Projector, ProjectorSpec};
use super::resnet::{Depth, ResNet};
use super::weights::{Role, Weights, channels_last};
use super::{NnError, resnet};
use crate::dist::Comm;

/// Rotations that the rotation head tells apart.
const ROTATIONS: i64 = 4;

/// Which backbone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// 512 features.
    ResNet18,
    /// 2048 features.
    ResNet50,
    /// `4 * filters` features; images of at least 16 pixels.
    Conv4 {
        /// Channels of every block; 32 is the project's default.
        filters: u32,
    },
}

impl Arch {
    /// Length of a feature `h`.
    pub fn features(self) -> i64 {
        match self {
            Arch::ResNet18 => Depth::RESNET18.features(),
            Arch::ResNet50 => Depth::RESNET50.features(),
            Arch::Conv4 { filters } => conv4::features(i64::from(filters)),
        }
    }

    /// Its published name.
    pub const fn name(self) -> &'static str {
        match self {
            Arch::ResNet18 => "ResNet18",
            Arch::ResNet50 => "ResNet50",
            Arch::Conv4 { .. } => "Conv4",
        }
    }

    /// Whether images of `size` pixels a side leave anything to pool.
    ///
    /// # Errors
    /// [`NnError::ImageSize`] where they do not.
    pub fn check_image_size(self, size: u32) -> Result<(), NnError> {
        let least = if let Arch::Conv4 { .. } = self { conv4::SMALLEST_IMAGE } else { 1 };
        if size < least { Err(NnError::ImageSize { arch: self.name(), size, least }) } else { Ok(()) }
    }
}

/// How a ResNet begins; Conv-4 has one beginning for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stem {
    /// 3x3 convolution of stride 1, no pooling.
    Cifar,
    /// 7x7 convolution of stride 2, 3x3 max-pooling of stride 2.
    ImageNet,
}

/// What makes one encoder's tensors those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncoderSpec {
    /// The backbone.
    pub arch: Arch,
    /// Its beginning.
    pub stem: Stem,
}

#[derive(Debug)]
enum Backbone {
    ResNet(ResNet),
    Conv4(Conv4),
}

/// Images to features `h`, features to embeddings `z`, embeddings to rotation logits.
#[derive(Debug)]
pub struct Encoder {
    spec: EncoderSpec,
    weights: Weights,
    backbone: Backbone,
    projector: Projector,
    rot_head: Linear,
    projector_spec: ProjectorSpec,
    precision: Precision,
    /// Channels innermost; unset: as the device likes it.
    channels_last: Option<bool>,
}

impl Encoder {
    /// A fresh encoder of the published form whose values are a function of (`spec`, `seed`, `style`).
    pub fn new(spec: EncoderSpec, kind: Kind, device: Device, seed: u64, style: InitStyle) -> Self {
        let encoder = Self::blank(spec, kind, device);
        encoder.weights.initialise(seed, style);
        encoder
    }

    /// An encoder of the published form whose random tensors are zero, for [`Weights::load`].
    pub fn blank(spec: EncoderSpec, kind: Kind, device: Device) -> Self {
        Self::blank_with(spec, ProjectorSpec::published(spec.arch.features()), kind, device)
    }

    /// An encoder with a projector of another form whose random tensors are zero.
    pub fn blank_with(spec: EncoderSpec, projector_spec: ProjectorSpec, kind: Kind, device: Device) -> Self {
        let mut weights = Weights::new(kind, device);
        let all = &mut weights;
        let backbone = match spec.arch {
            Arch::ResNet18 => Backbone::ResNet(ResNet::new(all, "convnet", resnet::Depth::RESNET18, spec.stem)),
            Arch::ResNet50 => Backbone::ResNet(ResNet::new(all, "convnet", resnet::Depth::RESNET50, spec.stem)),
            Arch::Conv4 { filters } => Backbone::Conv4(Conv4::new(all, "convnet", i64::from(filters))),
        };
        let projector = Projector::new(all, "projection", spec.arch.features(), projector_spec);
        let rot_head = Linear::new(all, "rot_head", projector_spec.outputs, ROTATIONS, true, Role::Parameter);
        Self {
            spec,
            weights,
            backbone,
            projector,
            rot_head,
            projector_spec,
            precision: Precision::F32,
            channels_last: None,
        }
    }

    /// The same encoder, whose forward passes in [`Mode::Train`] run in `precision`, which its device can do ([`Precision::check`]). Results
    /// are f32 all the same.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }.laid_out()
    }

    /// The same encoder, whose images and convolution weights have their channels innermost in memory, or not; unset: both on a GPU in
    /// reduced precision, as its tensor cores want them, on the CPU images alone, else neither. Values and names stay as they are.
    pub fn with_channels_last(self, channels_last: Option<bool>) -> Self {
        Self { channels_last, ..self }.laid_out()
    }

    /// The same encoder, whose batch norms in [`Mode::Train`] normalise by the rows of all ranks of `comm`, and so do those of networks made
    /// from it later ([`Bootstrap`](super::Bootstrap)). Every training pass and its backward pass are then operations of all ranks, in one
    /// order; failures stay with `comm`.
    ///
    /// # Panics
    /// Where it is synchronised already.
    pub fn synchronised(self, comm: Arc<dyn Comm>) -> Self {
        assert!(self.weights.peers().set(comm).is_ok(), "an encoder is synchronised once");
        self
    }

    fn laid_out(self) -> Self {
        let reduced = self.precision != Precision::F32 && self.weights.options().1.is_cuda();
        self.weights.lay_out(self.channels_last.unwrap_or(reduced));
        self
    }

    /// An equal encoder with tensors of its own.
    pub(super) fn twin(&self) -> Self {
        let (kind, device) = self.weights.options();
        let twin = Self::blank_with(self.spec, self.projector_spec, kind, device)
            .with_precision(self.precision)
            .with_channels_last(self.channels_last);
        twin.weights.copy_from(&self.weights);
        match self.weights.peers().get() {
            Some(comm) => twin.synchronised(Arc::clone(comm)),
            None => twin,
        }
    }

    /// What it was made from.
    pub fn spec(&self) -> EncoderSpec {
        self.spec
    }

    /// The form of its projector.
    pub fn projector(&self) -> ProjectorSpec {
        self.projector_spec
    }

    /// Its tensors by name.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Images `[rows, 3, height, width]` in 0..=1 to features `h`: `[rows, arch.features()]`.
    pub fn features(&self, images: &Tensor, mode: Mode) -> Tensor {
        let innermost = match (self.channels_last, images.device(), self.precision) {
            (Some(asked), ..) => asked,
            (None, Device::Cpu, _) | (None, _, Precision::Bf16 | Precision::F16) => true,
            _ => false,
        };
        // Every later map keeps the images' layout.
        let images = if innermost { channels_last(images) } else { images.contiguous() };
        self.precise(mode, || match &self.backbone {
            Backbone::ResNet(net) => net.forward(&images, mode),
            Backbone::Conv4(net) => net.forward(&images, mode),
        })
    }

    /// Bytes that training keeps of one image of `side` pixels until the backward pass, an estimate: the backbone's activations.
    pub fn bytes_per_image(&self, side: u32) -> u64 {
        let kept = match &self.backbone {
            Backbone::ResNet(net) => net.kept(side.into()),
            Backbone::Conv4(net) => net.kept(side.into()),
        };
        let bytes = if self.precision == Precision::F32 { self.weights.options().0.elt_size_in_bytes() } else { 2 };
        kept as u64 * bytes as u64
    }

    /// Features `h` to embeddings `z`: `[rows, 128]` as published, not normalised.
    pub fn project(&self, h: &Tensor, mode: Mode) -> Tensor {
        self.precise(mode, || self.projector.forward(h, mode))
    }

    /// Runs a forward pass in the precision of `mode`; evaluation is always exact.
    pub(super) fn precise(&self, mode: Mode, forward: impl FnOnce() -> Tensor) -> Tensor {
        if self.precision == Precision::F32 || mode == Mode::Eval {
            return forward();
        }
        self.precision.run(self.weights.options().1, forward).to_kind(Kind::Float)
    }

    /// Embeddings `z` to logits of the four quarter turns, `[rows, 4]`: linear on `z / (|z| sqrt(temperature))`.
    pub fn rotation_logits(&self, z: &Tensor, temperature: f64) -> Tensor {
        self.rot_head.forward(&(unit_rows(z) / temperature.sqrt()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked out by hand for 32 pixels: maps of 64 x 32 x 32 and so on, twice each, shortcuts once.
    #[test]
    fn kept_bytes_are_those_of_the_maps() {
        let bytes =
            |arch, stem| Encoder::blank(EncoderSpec { arch, stem }, Kind::Float, Device::Cpu).bytes_per_image(32);
        let map = 64 * 32 * 32;
        let stages = 10 * map + (8 + 1) * map / 2 + (8 + 1) * map / 4 + (8 + 1) * map / 8;
        assert_eq!(bytes(Arch::ResNet18, Stem::Cifar), 4 * stages);
        let conv4 = [(32, 16), (16, 8), (8, 4), (4, 2)].map(|(side, half)| 32 * (2 * side * side + 3 * half * half));
        assert_eq!(bytes(Arch::Conv4 { filters: 32 }, Stem::Cifar), 4 * conv4.iter().sum::<u64>());
    }
}
