//! Pre-training: an encoder and a head on episodes.

use std::sync::Arc;

use tch::Device;

use super::parts::{blank_encoder, embed_spec, episodes, init, objective, optimizer, pretraining, tricks};
use super::{Data, Given, describe, go, named_checkpoint, no_test, ranks, same_classes, start};
use crate::augment::ViewSpec;
use crate::config::Config;
use crate::dist::Comm;
use crate::episode::{EpisodeSpec, Planner};
use crate::nn::{Encoder, EncoderSpec};
use crate::shard::ShardSet;
use crate::train::judge::judge;
use crate::train::pretrain::{Learner, Pretraining};
use crate::train::{Console, TrainError};

/// Most bytes of raw pixels that the final evaluation embeds; it needs about three times as much.
const MOST_PIXEL_BYTES: u64 = 4 << 30;

pub(super) fn pretrain(given: Given<'_>, console: Console) -> Result<(), TrainError> {
    let Given { loaded, logs, place, storage, comm, stop } = given;
    let (config, device, world) = (&loaded.config, place.device, comm.world());
    config.batch_share(world.size().into())?;
    let data = Data::open(config, storage)?;
    match &data.test {
        None if config.final_eval || config.eval_only => return Err(no_test(config)),
        Some(test) if config.final_eval => {
            same_classes(config, &data.train, test)?;
            pixels_fit(config, &data.train)?;
        }
        _ => {}
    }
    let ckpt = named_checkpoint(config)?;
    let (spec, unseeded) = pretraining(config, device)?;
    Planner::new(unseeded, data.train.len())?;

    let mut records = ranks::records(loaded, console, logs, data.train.identity(), &[], &**comm)?;
    place.introduce(&mut records)?;
    let seed = records.seed();
    let episodes = episodes(config, seed, world);
    let planner = Planner::new(episodes.clone(), data.train.len())?;
    let task = Pretraining {
        learner: learner(config, spec, episodes, device, comm.clone()),
        embed: embed_spec(config, seed, &place.feeder, comm)?,
        feeder: place.feeder.clone(),
        train: data.train.clone(),
        test: data.test.clone(),
    };
    let mut optimizer = optimizer(config, task.learner.trained());
    let position = start(&mut records, &task, &mut optimizer, config, ckpt.as_ref())?;

    records.say(&format!(
        "{}; batches of {} images, {} views each",
        config.logit_scale(),
        config.batch_size,
        config.views()
    ));
    records.say(&describe(&task.learner.encoder, &data, device));
    let position = go(&mut records, &task, &mut optimizer, planner, &data.train, position, config, place, comm, stop)?;

    let ended = Some(position.iter) == config.iters || config.eval_only;
    let judgement = match &data.test {
        Some(test) if config.final_eval && ended => {
            records.say("final evaluation: trained encoder, untrained encoder, raw pixels");
            Some(judge(&task.learner.encoder, &fresh(config, spec, seed, device), &data.train, test, &task.embed)?)
        }
        _ => None,
    };
    records.list_corrupt(&**comm)?;
    records.summary(&position, judgement)
}

/// What `episodes` train, from its seed.
pub(super) fn learner(
    config: &Config,
    spec: EncoderSpec,
    episodes: EpisodeSpec,
    device: Device,
    comm: Arc<dyn Comm>,
) -> Learner {
    let seed = episodes.seed;
    let encoder = fresh(config, spec, seed, device);
    let several = comm.world().size() > 1 && config.sync_bn;
    let encoder = if several { encoder.synchronised(comm.clone()) } else { encoder };
    let (tricks, temperature) = (tricks(config), config.temperature());
    Learner { objective: objective(config, &encoder, seed), encoder, tricks, temperature, episodes, comm }
}

fn fresh(config: &Config, spec: EncoderSpec, seed: u64, device: Device) -> Encoder {
    let encoder = blank_encoder(config, spec, device);
    encoder.weights().initialise(seed, init(config));
    encoder
}

/// The final evaluation holds the training views as f32, the raw pixels that encoders are compared with.
fn pixels_fit(config: &Config, train: &ShardSet) -> Result<(), TrainError> {
    let samples = config.eval_samples.unwrap_or(u64::MAX).min(train.len());
    let bytes = samples.saturating_mul(4 * ViewSpec::bicubic(config.image_size()).bytes() as u64);
    if bytes > MOST_PIXEL_BYTES {
        let fits = samples * MOST_PIXEL_BYTES / bytes;
        return Err(TrainError::TooManyPixels { samples, bytes, fits });
    }
    Ok(())
}
