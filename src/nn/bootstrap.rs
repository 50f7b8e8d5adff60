//! The networks beside the encoder that BYOL (Grill et al., NeurIPS 2020) and SimSiam (Chen and He, CVPR 2021) train with.
//!
//! - Predictor: of the projector's form; tensors `predictor.*`.
//! - Target: BYOL's is a second encoder and projector that follows the first by exponential moving average; tensors `target.*`. SimSiam's is
//!   the encoder itself, without gradient.
//!
//! The target runs in the encoder's mode: in training it normalises by the batch, and its running statistics are its own.

use std::collections::HashMap;
use std::f64::consts::PI;

use tch::{Tensor, no_grad};

use super::NnError;
use super::encoder::Encoder;
use super::init::InitStyle;
use super::norm::Mode;
use super::projector::{Projector, ProjectorSpec};
use super::weights::Weights;

const PREDICTOR: &str = "predictor";
const TARGET: &str = "target.";

/// Predictor, and target where it is a network of its own.
#[derive(Debug)]
pub struct Bootstrap {
    weights: Weights,
    predictor: Projector,
    target: Option<Encoder>,
}

impl Bootstrap {
    /// BYOL's networks for `encoder`: a predictor with `hidden` units, and a target that equals the encoder.
    pub fn byol(encoder: &Encoder, hidden: i64, seed: u64, style: InitStyle) -> Self {
        let target = encoder.twin();
        Self { target: Some(target), ..Self::simsiam(encoder, hidden, seed, style) }
    }

    /// SimSiam's: a predictor with `hidden` units alone.
    pub fn simsiam(encoder: &Encoder, hidden: i64, seed: u64, style: InitStyle) -> Self {
        let width = encoder.projector().outputs;
        let mut weights = encoder.weights().none();
        let spec = ProjectorSpec { hidden, outputs: width, last_norm: false };
        let predictor = Projector::new(&mut weights, PREDICTOR, width, spec);
        weights.initialise(seed, style);
        Self { weights, predictor, target: None }
    }

    /// Embeddings `z`, their predictions, and targets without gradient, each `[rows, width]`.
    pub fn embed(&self, encoder: &Encoder, images: &Tensor, mode: Mode) -> [Tensor; 3] {
        let z = encoder.project(&encoder.features(images, mode), mode);
        let predictions = encoder.precise(mode, || self.predictor.forward(&z, mode));
        let targets = match &self.target {
            Some(target) => no_grad(|| target.project(&target.features(images, mode), mode)),
            None => z.detach(),
        };
        [z, predictions, targets]
    }

    /// Moves the target towards `encoder` after an update, at `progress` in 0..=1 of the run: the share that is kept rises from `momentum` to
    /// 1, `1 - (1 - momentum) (cos(pi progress) + 1) / 2`.
    pub fn follow(&self, encoder: &Encoder, momentum: f64, progress: f64) {
        let Some(target) = &self.target else { return };
        let taken = (1.0 - momentum) * ((PI * progress).cos() + 1.0) / 2.0;
        let pairs = target.weights().trained().into_iter().zip(encoder.weights().trained());
        no_grad(|| {
            for ((_, mut own), (_, other)) in pairs {
                let _ = own.lerp_(&other, taken);
            }
        });
    }

    /// The predictor's parameters, by name.
    pub fn trained(&self) -> Vec<(String, Tensor)> {
        self.weights.trained()
    }

    /// Every tensor, by name.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        let target = self.target.iter().flat_map(|target| target.weights().state());
        let target = target.map(|(name, tensor)| (format!("{TARGET}{name}"), tensor));
        self.weights.state().into_iter().chain(target).collect()
    }

    /// Takes its own tensors out of `state` and gives back the others.
    ///
    /// # Errors
    /// Where one is missing, unknown, or of another shape or kind.
    pub fn load(&self, state: &HashMap<String, Tensor>) -> Result<HashMap<String, Tensor>, NnError> {
        let (mut predictor, mut target, mut others) = (HashMap::new(), HashMap::new(), HashMap::new());
        for (name, tensor) in state {
            let tensor = tensor.shallow_clone();
            match name.strip_prefix(TARGET) {
                Some(name) if self.target.is_some() => target.insert(name.to_owned(), tensor),
                _ if name.starts_with(PREDICTOR) => predictor.insert(name.clone(), tensor),
                _ => others.insert(name.clone(), tensor),
            };
        }
        self.weights.load(&predictor)?;
        if let Some(own) = &self.target {
            own.weights().load(&target).map_err(of_target)?;
        }
        Ok(others)
    }
}

/// The error about a target's tensor, under its name in the checkpoint.
fn of_target(mut error: NnError) -> NnError {
    if let NnError::Missing { name }
    | NnError::Unexpected { name }
    | NnError::Shape { name, .. }
    | NnError::Kind { name, .. } = &mut error
    {
        name.insert_str(0, TARGET);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Arch, EncoderSpec, Stem};
    use tch::{Device, Kind};

    fn encoder(seed: u64) -> Encoder {
        let spec = EncoderSpec { arch: Arch::Conv4 { filters: 4 }, stem: Stem::Cifar };
        let projector = ProjectorSpec { hidden: 6, outputs: 5, last_norm: false };
        let encoder = Encoder::blank_with(spec, projector, Kind::Double, Device::Cpu);
        encoder.weights().initialise(seed, InitStyle::Torch);
        encoder
    }

    fn images() -> Tensor {
        Tensor::arange(4 * 768, (Kind::Double, Device::Cpu)).reshape([4, 3, 16, 16]).sin() * 0.5 + 0.5
    }

    #[test]
    fn the_target_starts_as_the_encoder_and_follows_it_ever_more_slowly() {
        let online = encoder(1);
        let byol = Bootstrap::byol(&online, 7, 1, InitStyle::Torch);
        let [z, predictions, targets] = byol.embed(&online, &images(), Mode::Train);
        assert_eq!((z.size(), predictions.size()), (vec![4, 5], vec![4, 5]));
        assert_eq!(z.detach(), targets);
        assert!(predictions.requires_grad() && !targets.requires_grad());

        online.weights().copy_from(encoder(2).weights());
        let first = |byol: &Bootstrap| {
            let target = byol.target.as_ref().expect("BYOL has one").weights().trained();
            target[0].1.double_value(&[0, 0, 0, 0])
        };
        let (before, towards) = (first(&byol), online.weights().trained()[0].1.double_value(&[0, 0, 0, 0]));
        byol.follow(&online, 0.9, 0.5);
        // Half-way: 1 - 0.1 / 2 is kept.
        assert!((first(&byol) - (0.95 * before + 0.05 * towards)).abs() < 1e-15);
        let at_the_end = first(&byol);
        byol.follow(&online, 0.9, 1.0);
        assert_eq!(first(&byol), at_the_end);
    }

    #[test]
    fn simsiam_aims_at_the_encoder_itself() {
        let online = encoder(1);
        let [z, _, targets] =
            Bootstrap::simsiam(&online, 2, 1, InitStyle::Torch).embed(&online, &images(), Mode::Train);
        assert!(z.requires_grad() && !targets.requires_grad());
        assert_eq!(z.detach(), targets);
    }

    #[test]
    fn a_state_is_parted_and_a_foreign_one_refused() {
        let online = encoder(1);
        let byol = Bootstrap::byol(&online, 7, 1, InitStyle::Torch);
        let mut state: HashMap<_, _> = byol.state().into_iter().chain(online.weights().state()).collect();
        let others = byol.load(&state).expect("its own state");
        assert_eq!(online.weights().load(&others), Ok(()));
        state.remove("target.convnet.conv1.weight");
        assert!(matches!(byol.load(&state), Err(NnError::Missing { name }) if name == "target.convnet.conv1.weight"));
    }
}
