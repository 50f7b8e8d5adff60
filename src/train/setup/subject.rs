//! The encoder under judgement: out of `encoder_ckpt`, or random where none is named.

use std::path::Path;

use tch::{Device, Kind};

use super::parts::{arch, encoder_spec, init};
use crate::config::{Config, Family};
use crate::eval::{Normalise, Subject};
use crate::nn::{Arch, Encoder, EncoderSpec, Stem};
use crate::train::TrainError;
use crate::train::checkpoint::{Checkpoint, CheckpointError};

/// The checkpoint that `encoder_ckpt` names, if it names one.
pub(super) fn saved_encoder(config: &Config) -> Result<Option<Checkpoint>, TrainError> {
    let named = (!config.encoder_ckpt.is_empty()).then(|| Checkpoint::read(Path::new(&config.encoder_ckpt)));
    Ok(named.transpose()?)
}

/// What the encoder of `saved` is, or the random one where there is none; it must take the config's images.
pub(super) fn spec(config: &Config, saved: Option<&Checkpoint>) -> Result<EncoderSpec, TrainError> {
    let spec = match saved {
        Some(saved) => EncoderSpec::of_state(&saved.model)
            .ok_or_else(|| CheckpointError::NoBackbone { path: saved.path.clone(), arch: saved.meta.arch.clone() })?,
        None => encoder_spec(config, arch(config.random_arch())),
    };
    spec.arch.check_image_size(config.image_size())?;
    Ok(spec)
}

/// The encoder of `saved`, or a random one of `seed`, behind the config's normalisation.
pub(super) fn subject(
    config: &Config,
    saved: Option<&Checkpoint>,
    seed: u64,
    device: Device,
) -> Result<Subject, TrainError> {
    let spec = spec(config, saved)?;
    let encoder = match saved {
        Some(saved) => {
            let encoder = Encoder::blank(spec, Kind::Float, device).with_channels_last(config.channels_last);
            encoder
                .load_backbone(&saved.model)
                .map_err(|source| TrainError::Weights { path: saved.path.clone(), source: source.into() })?;
            encoder
        }
        None => Encoder::new(spec, Kind::Float, device, seed, init(config)).with_channels_last(config.channels_last),
    };
    let normalise = config.mean.zip(config.std).map(|(mean, std)| Normalise::new(mean, std, device));
    Ok(Subject { encoder, normalise })
}

/// A line for an encoder that was made for images of the other family's size.
pub(super) fn stem_note(config: &Config, spec: EncoderSpec) -> Option<String> {
    let (stem, data, size) = match (spec.arch, spec.stem, config.data) {
        (Arch::Conv4 { .. }, ..) => return None,
        (_, Stem::ImageNet, Family::Cifar) => ("7x7 stem, for photographs", "imagenet", 224),
        (_, Stem::Cifar, Family::Imagenet) => ("3x3 stem, for small images", "cifar", 32),
        _ => return None,
    };
    let now = config.image_size();
    Some(format!("note: the encoder has the {stem}; it gets views of {now} pixels: --data {data} gives {size}"))
}
