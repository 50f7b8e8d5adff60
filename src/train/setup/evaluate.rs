//! Evaluation: a linear layer on a saved encoder.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use tch::{Device, Kind};

use super::parts::{arch, encoder_spec, images, init, loader_options, rule};
use super::{Data, describe, go, named_checkpoint, no_test, same_classes, start};
use crate::augment::ViewSpec;
use crate::config::{Config, Loaded};
use crate::device;
use crate::episode::{EpisodeSpec, Order, Planner};
use crate::nn::Encoder;
use crate::optim::Optimizer;
use crate::train::checkpoint::Checkpoint;
use crate::train::linear_eval::LinearEvaluation;
use crate::train::{Console, Records, TrainError};

pub(super) fn evaluate(loaded: &Loaded, console: Console, logs: &Path, stop: &AtomicBool) -> Result<(), TrainError> {
    let config = &loaded.config;
    let data = Data::open(config)?;
    let test = data.test.clone().ok_or_else(|| no_test(config))?;
    same_classes(config, &data.train, &test)?;
    let ckpt = named_checkpoint(config)?;
    let device = device::best();
    let view = ViewSpec::bicubic(config.image_size());
    let policies = config.eval_policies()?;
    let test_episodes = EpisodeSpec::in_order(images(config.test_bs), policies.test, view);
    let test_planner = Planner::new(test_episodes, test.len())?;
    let saved = (!config.encoder_ckpt.is_empty()).then(|| Checkpoint::read(Path::new(&config.encoder_ckpt)));
    let saved = saved.transpose()?;

    let mut records = Records::open(loaded, logs, data.train.identity(), console)?;
    let seed = records.seed();
    let encoder = frozen_encoder(config, saved, seed, device)?;
    let width = encoder.spec().arch.features();
    let (weight, bias) = LinearEvaluation::zero_layer(data.train.classes().len() as i64, width, device);
    let task = LinearEvaluation {
        encoder,
        weight,
        bias,
        view,
        test_planner,
        train: data.train.clone(),
        test,
        loader: loader_options(config),
        device,
    };
    let parameters = LinearEvaluation::NAMES.iter().zip([&task.weight, &task.bias]);
    let parameters = parameters.map(|(name, tensor)| (name.to_string(), tensor.shallow_clone())).collect();
    let mut optimizer = Optimizer::new(rule(config), parameters);
    let position = start(&mut records, &task, &mut optimizer, config, ckpt)?;

    let episodes = EpisodeSpec {
        seed,
        batch: images(config.batch_size.min(data.train.len())),
        order: Order::ShuffledToTheEnd { seed },
        ..EpisodeSpec::in_order(1, policies.train, view)
    };
    let planner = Planner::new(episodes, data.train.len())?;
    records.say(&describe(&task.encoder, &data, device));
    let position = go(&mut records, &task, &mut optimizer, planner, &data.train, position, config, stop)?;
    records.summary(&position, None)
}

/// The encoder of `encoder_ckpt`, or a random one where none is named.
fn frozen_encoder(
    config: &Config,
    saved: Option<Checkpoint>,
    seed: u64,
    device: Device,
) -> Result<Encoder, TrainError> {
    let Some(saved) = saved else {
        let spec = encoder_spec(config, arch(config.random_arch()));
        return Ok(Encoder::new(spec, Kind::Float, device, seed, init(config)));
    };
    let encoder = Encoder::blank(encoder_spec(config, arch(saved.arch()?)), Kind::Float, device);
    encoder
        .weights()
        // Features are all that is needed; projectors differ, and some losses save networks of their own beside the encoder.
        .load_part("convnet.", &saved.model)
        .map_err(|source| TrainError::Weights { path: saved.path, source: source.into() })?;
    Ok(encoder)
}
