//! Which backbone a state belongs to, told by its tensors; and taking over a backbone alone.

use std::collections::HashMap;

use tch::Tensor;

use super::NnError;
use super::encoder::{Arch, Encoder, EncoderSpec, Stem};
use super::weights::Role;

/// Before the names of a backbone's tensors in a state.
pub const BACKBONE: &str = "convnet.";
/// Side of the small stem's convolution.
const SMALL_STEM: i64 = 3;

impl EncoderSpec {
    /// The spec of the encoder whose tensors `state` holds; `None` where there is no backbone of ours.
    ///
    /// Told by names and shapes, not by what a file says of itself, so that imported and older files are known too.
    pub fn of_state(state: &HashMap<String, Tensor>) -> Option<Self> {
        let shape = |name: &str| state.get(&format!("{BACKBONE}{name}")).map(Tensor::size);
        let first = shape("conv1.weight")?;
        if shape("layer1.0.conv1.weight").is_some() {
            let stem = if first.last() == Some(&SMALL_STEM) { Stem::Cifar } else { Stem::ImageNet };
            let deep = shape("layer1.0.conv3.weight").is_some();
            return Some(Self { arch: if deep { Arch::ResNet50 } else { Arch::ResNet18 }, stem });
        }
        shape("conv4.weight")?;
        let filters = u32::try_from(*first.first()?).ok()?;
        Some(Self { arch: Arch::Conv4 { filters }, stem: Stem::Cifar })
    }
}

impl Encoder {
    /// Takes over the backbone of `state`; whatever else the state holds (projector, predictor, a linear layer) is left alone.
    ///
    /// # Errors
    /// Where a tensor of the backbone is missing, unknown, or of another shape or kind. Nothing is changed then.
    pub fn load_backbone(&self, state: &HashMap<String, Tensor>) -> Result<(), NnError> {
        let lacks = |name: &str| name.starts_with(BACKBONE) && !state.contains_key(name);
        // The classifier `convnet.fc` is no part of the features, and bare backbones come without.
        if let Some(weight) = self.weights().iter().find(|weight| weight.role != Role::Unused && lacks(&weight.name)) {
            return Err(NnError::Missing { name: weight.name.clone() });
        }
        let mut whole: HashMap<_, _> = self.weights().state().into_iter().collect();
        // The classifier may also be of another number of classes.
        let unused = |name: &String| self.weights().iter().any(|w| w.role == Role::Unused && &w.name == name);
        let backbone = state.iter().filter(|(name, _)| name.starts_with(BACKBONE) && !unused(name));
        whole.extend(backbone.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())));
        self.weights().load(&whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    fn encoder(spec: EncoderSpec) -> Encoder {
        Encoder::new(spec, Kind::Float, Device::Cpu, 1, Default::default())
    }

    #[test]
    fn every_spec_is_told_by_its_tensors() {
        for stem in [Stem::Cifar, Stem::ImageNet] {
            for arch in [Arch::ResNet18, Arch::ResNet50] {
                let spec = EncoderSpec { arch, stem };
                let blank = Encoder::blank(spec, Kind::Float, Device::Cpu);
                assert_eq!(EncoderSpec::of_state(&blank.weights().state().into_iter().collect()), Some(spec));
            }
        }
        let spec = EncoderSpec { arch: Arch::Conv4 { filters: 8 }, stem: Stem::Cifar };
        let state = encoder(spec).weights().state().into_iter().collect();
        assert_eq!(EncoderSpec::of_state(&state), Some(spec));
        assert_eq!(EncoderSpec::of_state(&HashMap::from([("linear.bias".to_owned(), Tensor::from(1.0))])), None);
    }

    #[test]
    fn a_backbone_comes_over_without_its_head_and_not_without_a_part() {
        let spec = EncoderSpec { arch: Arch::Conv4 { filters: 4 }, stem: Stem::Cifar };
        let source = encoder(spec);
        let mut state: HashMap<_, _> = source.weights().state().into_iter().collect();
        state.retain(|name, _| name.starts_with(BACKBONE));
        state.insert("predictor.fc1.weight".to_owned(), Tensor::from(1.0));
        let taken = Encoder::blank(spec, Kind::Float, Device::Cpu);
        taken.load_backbone(&state).unwrap();
        let images = Tensor::rand([2, 3, 32, 32], (Kind::Float, Device::Cpu));
        let features = |encoder: &Encoder| encoder.features(&images, super::super::Mode::Eval);
        assert!(features(&taken).equal(&features(&source)));

        let name = state.keys().filter(|name| name.starts_with(BACKBONE)).min().unwrap().clone();
        state.remove(&name);
        assert_eq!(taken.load_backbone(&state), Err(NnError::Missing { name }));
    }
}
