//! Pre-training: an encoder and a head on episodes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tch::Device;

use super::parts::{blank_encoder, embed_spec, episodes, init, objective, optimizer, pretraining, tricks};
use super::place::Place;
use super::{Data, describe, go, named_checkpoint, no_test, same_classes, start};
use crate::augment::ViewSpec;
use crate::config::{Config, Loaded};
use crate::dist::agree::agree;
use crate::dist::c10d::{Backend, Meeting};
use crate::dist::launch::Placed;
use crate::dist::{C10d, Comm, Single};
use crate::episode::{EpisodeSpec, Planner};
use crate::nn::{Encoder, EncoderSpec};
use crate::shard::{ShardSet, Storage};
use crate::train::judge::judge;
use crate::train::pretrain::{Learner, Pretraining};
use crate::train::{Console, Records, TrainError};

/// Most bytes of raw pixels that the final evaluation embeds; it needs about three times as much.
const MOST_PIXEL_BYTES: u64 = 4 << 30;
/// How long ranks wait for each other, evaluations by rank 0 included: torch's own default. A rank that is gone shows sooner.
const TIMEOUT: Duration = Duration::from_secs(30 * 60);

pub(super) fn pretrain(
    loaded: &Loaded,
    console: Console,
    logs: &Path,
    placed: &Placed,
    storage: &Storage,
    stop: &AtomicBool,
) -> Result<(), TrainError> {
    let place = Place::open(&loaded.config, placed.local_rank)?;
    let comm = meet(placed, place.device)?;
    let done = rank(loaded, console, logs, &place, storage, &comm, stop);
    if let Err(error) = &done {
        // The others end too, and name this rank.
        comm.abort(&error.to_string());
    }
    done
}

/// This process among those of `placed`.
fn meet(placed: &Placed, device: Device) -> Result<Arc<dyn Comm>, TrainError> {
    if placed.world.size() == 1 {
        return Ok(Arc::new(Single::default()));
    }
    let backend = if device.is_cuda() { Backend::Nccl } else { Backend::Gloo };
    let (host, port, world) = (placed.host.clone(), placed.port, placed.world);
    let meeting = Meeting { host, port, world, timeout: TIMEOUT, backend, device, interface: None };
    Ok(Arc::new(C10d::join(meeting)?))
}

/// The records of this rank: rank 0 keeps them, and tells the others the seed and what the run goes on from.
fn records_of(
    loaded: &Loaded,
    console: Console,
    logs: &Path,
    data: u128,
    comm: &dyn Comm,
) -> Result<Records, TrainError> {
    let world = comm.world();
    if world.is_first() {
        let mut records = Records::open(loaded, logs, data, console)?;
        let newest = records.newest_path().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        comm.exchange(format!("{}\n{newest}", records.seed()).as_bytes())?;
        records.share(world.size());
        return Ok(records);
    }
    let told = comm.exchange(&[])?.swap_remove(0);
    let told = String::from_utf8_lossy(&told);
    let (seed, newest) = told.split_once('\n').unwrap_or((&told, ""));
    let newest = (!newest.is_empty()).then(|| PathBuf::from(newest));
    // Rank 0 wrote a number.
    Records::follow(loaded, data, seed.parse().unwrap_or_default(), newest)
}

fn rank(
    loaded: &Loaded,
    console: Console,
    logs: &Path,
    place: &Place,
    storage: &Storage,
    comm: &Arc<dyn Comm>,
    stop: &AtomicBool,
) -> Result<(), TrainError> {
    let (config, device, world) = (&loaded.config, place.device, comm.world());
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

    let facts = [
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("config", format!("{:032x}", config.digest())),
        ("dataset", format!("{:032x}", data.train.identity())),
    ];
    agree(&**comm, &facts)?;
    let mut records = records_of(loaded, console, logs, data.train.identity(), &**comm)?;
    place.introduce(&mut records)?;
    if world.size() > 1 {
        records.say(&format!(
            "{} processes, each with {} images of a batch",
            world.size(),
            config.batch_size / u64::from(world.size())
        ));
    }
    let seed = records.seed();
    let episodes = episodes(config, seed, world);
    let planner = Planner::new(episodes.clone(), data.train.len())?;
    let task = Pretraining {
        learner: learner(config, spec, episodes, device, comm.clone()),
        embed: embed_spec(config, seed, &place.feeder)?,
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
    let position =
        go(&mut records, &task, &mut optimizer, planner, &data.train, position, config, place, &**comm, stop)?;

    let ended = Some(position.iter) == config.iters || config.eval_only;
    let judgement = match &data.test {
        Some(test) if config.final_eval && ended && world.is_first() => {
            records.say("final evaluation: trained encoder, untrained encoder, raw pixels");
            Some(judge(&task.learner.encoder, &fresh(config, spec, seed, device), &data.train, test, &task.embed)?)
        }
        _ => None,
    };
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
