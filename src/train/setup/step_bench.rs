//! How long training steps take, with batches of the loader or with one batch that stays on the device: the network alone.
//!
//! Lives here: steps and stopwatch. Nothing is written; weights are thrown away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tch::{Kind, Tensor};

use super::Data;
use super::parts::{episodes, optimizer, pretraining};
use super::place::Place;
use super::pretrain::learner;
use super::ranks::Cores;
use crate::config::{Config, ConfigError, Origin, Value};
use crate::device::{Feed, interop};
use crate::dist::{Single, World};
use crate::episode::Planner;
use crate::optim::Optimizer;
use crate::shard::Storage;
use crate::train::TrainError;
use crate::train::pretrain::Learner;

/// How much is timed.
#[derive(Clone, Copy, Debug)]
pub struct StepBench {
    /// Steps before the clock starts.
    pub warmup: u64,
    /// Stretches that are timed, each with one wait for the device, at its end.
    pub blocks: u64,
    /// Steps of each.
    pub steps: u64,
    /// One batch of noise that lies on the device, in place of the loader's.
    pub synthetic: bool,
}

/// What steps take. Medians over the blocks.
#[derive(Clone, Debug, Serialize)]
pub struct StepFigures {
    /// `Cpu`, `Cuda(0)`.
    pub device: String,
    /// The card's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<String>,
    /// Network, as in the config.
    pub arch: String,
    /// Kind of number of the forward pass, as in the config.
    pub precision: String,
    /// `synthetic` or `loader`.
    pub batches: &'static str,
    /// Where views are rendered, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub views: Option<String>,
    /// Pixels a side.
    pub image_size: u32,
    /// Images of a batch.
    pub batch_size: u64,
    /// Views of a batch, those that tricks add left out.
    pub rows: usize,
    /// Steps that were timed.
    pub steps: u64,
    /// Milliseconds.
    pub step_ms: f64,
    /// Milliseconds, of the fastest and of the slowest block.
    pub step_ms_range: [f64; 2],
    /// Images a second.
    pub images_per_s: f64,
    /// Views a second.
    pub views_per_s: f64,
    /// Share of the time that was waited for the loader, 0..=1.
    pub data_wait_share: f64,
    /// Most bytes of torch's tensors at once; absent on the CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
    /// Of the last step.
    pub loss: f64,
}

/// Times the training steps that `config` describes.
///
/// # Errors
/// Where the run itself would be refused, for a config that evaluates, and what the loader finds.
pub fn step_bench(config: &Config, storage: &Storage, bench: &StepBench) -> Result<StepFigures, TrainError> {
    if !config.pretrains() {
        let (value, rule) =
            (config.problem.show(), "steps of pre-training are timed: sim-clr, byol or simsiam".to_owned());
        return Err(ConfigError::Rule { origin: Origin::Default, key: "problem", value, rule }.into());
    }
    let place = Place::find(config, 0)?.open(config, Cores::of_one())?;
    let (spec, _) = pretraining(config, place.device)?;
    let learner = learner(
        config,
        spec,
        episodes(config, config.seed.unwrap_or(0), World::single()),
        place.device,
        Arc::new(Single::default()),
    );
    let source = source(config, storage, bench, &learner, &place)?;
    let optimizer = optimizer(config, learner.trained());
    let mut stretch = Stretch { learner, optimizer, source, lr: config.lr, step: 0 };

    interop::reset_peak_memory(place.device)?;
    stretch.run(bench.warmup)?;
    let waited = stretch.waited();
    let (mut seconds, mut loss) = (Vec::new(), f64::NAN);
    for _ in 0..bench.blocks.max(1) {
        let start = Instant::now();
        loss = stretch.run(bench.steps.max(1))?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    let waited = (stretch.waited() - waited).as_secs_f64();
    let total: f64 = seconds.iter().sum();
    seconds.sort_by(f64::total_cmp);
    let ms = |seconds: f64| 1e3 * seconds / bench.steps.max(1) as f64;
    let step_ms = ms(seconds[seconds.len() / 2]);
    let rows = stretch.learner.episodes.layout().rows();
    Ok(StepFigures {
        device: format!("{:?}", place.device),
        gpu: place.gpu.as_ref().map(|gpu| gpu.name.clone()),
        arch: config.arch.show(),
        precision: config.precision.show(),
        batches: if bench.synthetic { "synthetic" } else { "loader" },
        views: (!bench.synthetic).then(|| place.to_string()),
        image_size: config.image_size(),
        batch_size: config.batch_size,
        rows,
        steps: bench.blocks.max(1) * bench.steps.max(1),
        step_ms,
        step_ms_range: [ms(seconds[0]), ms(seconds[seconds.len() - 1])],
        images_per_s: 1e3 * config.batch_size as f64 / step_ms,
        views_per_s: 1e3 * rows as f64 / step_ms,
        data_wait_share: (waited / total).min(1.0),
        peak_memory_bytes: interop::peak_memory(place.device)?,
        loss,
    })
}

/// Where batches come from.
enum Source {
    /// Always this one.
    Noise(Tensor),
    Feed(Box<Feed>),
}

fn source(
    config: &Config,
    storage: &Storage,
    bench: &StepBench,
    learner: &Learner,
    place: &Place,
) -> Result<Source, TrainError> {
    let episodes = &learner.episodes;
    if bench.synthetic {
        let (rows, side) = (episodes.layout().rows() as i64, i64::from(episodes.view.size));
        return Ok(Source::Noise(Tensor::rand([rows, 3, side, side], (Kind::Float, place.device))));
    }
    let data = Data::open(config, storage)?;
    let planner = Planner::new(episodes.clone(), data.train.len())?;
    let steps = bench.warmup + bench.blocks.max(1) * bench.steps.max(1);
    let feed = place.feeder.start_mixing(&data.train, planner, 0..steps, learner.row_mixing())?;
    Ok(Source::Feed(Box::new(feed)))
}

/// Steps one after the other.
struct Stretch {
    learner: Learner,
    optimizer: Optimizer,
    source: Source,
    lr: f64,
    step: u64,
}

impl Stretch {
    /// `steps` steps, and the loss of the last one, which waits for the device.
    fn run(&mut self, steps: u64) -> Result<f64, TrainError> {
        let mut loss = None;
        for _ in 0..steps {
            let layout = self.learner.episodes.layout();
            let (images, with_mixed) = match &mut self.source {
                Source::Noise(images) => (images.shallow_clone(), None),
                Source::Feed(feed) => match feed.next().transpose()? {
                    Some(batch) => (batch.images(), batch.with_mixed()),
                    None => break,
                },
            };
            let forward = self.learner.forward(&images, with_mixed, layout, self.step);
            self.optimizer.zero_grad();
            self.optimizer.scale(&forward.loss).backward();
            self.optimizer.step(self.lr);
            self.step += 1;
            self.learner.objective.updated(&self.learner.encoder, self.step);
            loss = Some(forward.loss.detach());
        }
        Ok(loss.map_or(f64::NAN, |loss| loss.double_value(&[])))
    }

    /// Time that was spent waiting for the loader so far.
    fn waited(&self) -> Duration {
        match &self.source {
            Source::Noise(_) => Duration::ZERO,
            Source::Feed(feed) => feed.stats().consumer_wait,
        }
    }
}
