//! From a config to a run: opens the data, builds the task, resumes, trains, judges.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tch::{Device, Kind};

use super::checkpoint::Checkpoint;
use super::judge::{comparable, judge};
use super::linear_eval::LinearEvaluation;
use super::pretrain::Pretraining;
use super::task::Task;
use super::{Console, Position, Records, Rhythm, TrainError, train};
use crate::augment::ViewSpec;
use crate::config::{self, Config, Loaded, Problem, Value};
use crate::device;
use crate::dist::World;
use crate::episode::{EpisodeSpec, Order, Planner, RowLayout};
use crate::eval::embed::EmbedSpec;
use crate::loader::{LoaderOptions, load_views};
use crate::nn::head::Shots;
use crate::nn::{Arch, Encoder, EncoderSpec, Head, InitStyle, Stem};
use crate::optim::schedule::Shape;
use crate::optim::{Adam, Lars, Optimizer, Rule, Schedule, Sgd};
use crate::shard::{ShardSet, Verify};

/// Momentum of `sgd`, as published.
const SGD_MOMENTUM: f64 = 0.9;
/// Most bytes of raw pixels that the final evaluation embeds; it needs about three times as much.
const MOST_PIXEL_BYTES: u64 = 4 << 30;
/// Filters of the Conv-4 blocks, the few-shot standard's small variant.
const CONV4_FILTERS: u32 = 32;

/// Runs what `loaded` asks for; the run's folder goes under `logs`. Setting `stop` ends it after a checkpoint.
///
/// # Errors
/// Everything that keeps the run from starting or going on.
pub fn run(loaded: &Loaded, console: Console, logs: &Path, stop: &AtomicBool) -> Result<(), TrainError> {
    if let Some(threads) = loaded.config.threads {
        tch::set_num_threads(threads as i32);
    }
    match loaded.config.problem {
        Problem::SimClr => pretrain(loaded, console, logs, stop),
        _ => evaluate(loaded, console, logs, stop),
    }
}

/// The splits of the dataset.
struct Data {
    train: Arc<ShardSet>,
    test: Option<Arc<ShardSet>>,
}

impl Data {
    fn open(config: &Config) -> Result<Self, TrainError> {
        let folder = config.data_folder()?;
        let verify = match config.verify {
            config::Verify::Always => Verify::Always,
            config::Verify::First => Verify::First,
            config::Verify::Never => Verify::Never,
        };
        let open =
            |split: &str| Ok::<_, TrainError>(Arc::new(ShardSet::open_split(&folder, split)?.with_verify(verify)));
        let train = open("train")?;
        let held_out = ["test", "val"].into_iter().find(|split| folder.join(split).is_dir());
        Ok(Self { train, test: held_out.map(open).transpose()? })
    }
}

fn pretrain(loaded: &Loaded, console: Console, logs: &Path, stop: &AtomicBool) -> Result<(), TrainError> {
    let config = &loaded.config;
    let data = Data::open(config)?;
    match &data.test {
        None if config.final_eval || config.eval_only => return Err(no_test(config)),
        Some(test) if config.final_eval => {
            same_classes(config, &data.train, test)?;
            pixels_fit(config, &data.train)?;
        }
        _ => {}
    }
    let ckpt = named_checkpoint(config)?;
    let device = device::best();
    let spec = encoder_spec(config, arch(config.arch));
    spec.arch.check_image_size(config.image_size())?;
    let head = head(config);
    // What does not fit is refused before a folder is made; the seed changes nothing about that.
    let unseeded = episodes(config, 0);
    head.check(RowLayout::new(unseeded.batch as usize, unseeded.views.len()))?;
    Planner::new(unseeded, data.train.len())?;

    let mut records = Records::open(loaded, logs, data.train.identity(), console)?;
    let seed = records.seed();
    let episodes = episodes(config, seed);
    let planner = Planner::new(episodes.clone(), data.train.len())?;
    let fresh = || Encoder::new(spec, Kind::Float, device, seed, init(config));
    let task = Pretraining {
        encoder: fresh(),
        head,
        episodes,
        embed: embed_spec(config, seed, device)?,
        loader: loader_options(config),
        device,
        train: data.train.clone(),
        test: data.test.clone(),
    };
    let mut optimizer = Optimizer::new(rule(config), task.encoder.weights().trained());
    let position = start(&mut records, &task, &mut optimizer, config, ckpt)?;

    records.say(&format!(
        "{}; batches of {} images, {} views each",
        config.logit_scale(),
        config.batch_size,
        config.views()
    ));
    records.say(&describe(&task.encoder, &data, device));
    let position = go(&mut records, &task, &mut optimizer, planner, &data.train, position, config, stop)?;

    let ended = Some(position.iter) == config.iters || config.eval_only;
    let judgement = match &data.test {
        Some(test) if config.final_eval && ended => {
            records.say("final evaluation: trained encoder, untrained encoder, raw pixels");
            Some(judge(&task.encoder, &fresh(), &data.train, test, &task.embed)?)
        }
        _ => None,
    };
    records.summary(&position, judgement)
}

fn evaluate(loaded: &Loaded, console: Console, logs: &Path, stop: &AtomicBool) -> Result<(), TrainError> {
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

/// The checkpoint that `--ckpt` names.
fn named_checkpoint(config: &Config) -> Result<Option<Checkpoint>, TrainError> {
    if config.ckpt.is_empty() {
        return Ok(None);
    }
    let checkpoint = Checkpoint::read(Path::new(&config.ckpt))?;
    checkpoint.expect_arch(&config.arch.show())?;
    Ok(Some(checkpoint))
}

/// Takes over the newest checkpoint of the run, or else the one that `--ckpt` names: weights, optimizer state and position; for
/// `eval_only` no optimizer state.
fn start(
    records: &mut Records,
    task: &dyn Task,
    optimizer: &mut Optimizer,
    config: &Config,
    ckpt: Option<Checkpoint>,
) -> Result<Position, TrainError> {
    let Some(checkpoint) = records.newest_checkpoint()?.or(ckpt) else { return Ok(Position::default()) };
    let path = &checkpoint.path;
    task.load(&checkpoint.model).map_err(|source| TrainError::Weights { path: path.clone(), source: source.into() })?;
    if !config.eval_only {
        optimizer
            .load_state(&checkpoint.optimizer)
            .map_err(|source| TrainError::OptimizerState { path: path.clone(), source: source.into() })?;
    }
    records.resume(&checkpoint)
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

fn same_classes(config: &Config, train: &ShardSet, test: &ShardSet) -> Result<(), TrainError> {
    if comparable(train, test) {
        return Ok(());
    }
    let (train, test) = (train.classes().len(), test.classes().len());
    Err(TrainError::Classes { dataset: config.data_path.clone(), train, test })
}

/// Trains from `position` to the end, unless the config only evaluates.
#[allow(clippy::too_many_arguments)]
fn go(
    records: &mut Records,
    task: &dyn Task,
    optimizer: &mut Optimizer,
    planner: Planner,
    data: &Arc<ShardSet>,
    mut position: Position,
    config: &Config,
    stop: &AtomicBool,
) -> Result<Position, TrainError> {
    if config.eval_only {
        records.evaluation_line(&mut position, || task.evaluate(!config.final_eval))?;
        return Ok(position);
    }
    let iters = config.iters.ok_or(TrainError::Unset { key: "iters", what: "say how many steps to train" })?;
    let rhythm = Rhythm {
        schedule: Schedule { shape: shape(config), base_lr: config.lr, iters, warmup: config.warmup },
        iters,
        accu_iter: config.accu_iter,
        accu_mean: config.accu_mean,
        log_freq: config.log_freq,
        eval_freq: config.eval_freq,
        save_freq: config.save_freq,
    };
    let steps_per_epoch = planner.steps_per_epoch();
    records.begin(&position, steps_per_epoch)?;
    let loader = load_views(data.clone(), planner, loader_options(config), position.iter..iters)?;
    train(task, optimizer, loader, &rhythm, records, position, stop)
}

fn episodes(config: &Config, seed: u64) -> EpisodeSpec {
    let policies = config.view_policies();
    let world = World::single();
    let views = (0..config.views()).map(|view| if view < config.n_supp { policies.support } else { policies.query });
    EpisodeSpec {
        seed,
        batch: images(config.batch_size),
        order: Order::Shuffled { seed },
        views: views.collect(),
        task: config.task_policy(),
        view: ViewSpec::bicubic(config.image_size()),
        rank: (world.rank(), world.size()),
    }
}

fn embed_spec(config: &Config, seed: u64, device: Device) -> Result<EmbedSpec, TrainError> {
    Ok(EmbedSpec {
        policy: config.eval_policies()?.test,
        view: ViewSpec::bicubic(config.image_size()),
        batch: images(config.test_bs),
        samples: config.eval_samples.unwrap_or(0),
        seed,
        loader: loader_options(config),
        device,
    })
}

/// A batch size as plans count it; one that is larger does not fit any dataset either.
fn images(batch: u64) -> u32 {
    u32::try_from(batch).unwrap_or(u32::MAX)
}

fn loader_options(config: &Config) -> LoaderOptions {
    let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    LoaderOptions { workers: config.workers.map_or_else(cores, |workers| workers as usize), ..LoaderOptions::default() }
}

fn arch(arch: config::Arch) -> Arch {
    match arch {
        config::Arch::ResNet18 => Arch::ResNet18,
        config::Arch::ResNet50 | config::Arch::Linear => Arch::ResNet50,
        config::Arch::Conv4 => Arch::Conv4 { filters: CONV4_FILTERS },
    }
}

fn encoder_spec(config: &Config, arch: Arch) -> EncoderSpec {
    EncoderSpec { arch, stem: if config.has_small_stem() { Stem::Cifar } else { Stem::ImageNet } }
}

fn init(config: &Config) -> InitStyle {
    match config.init {
        config::Init::Torch => InitStyle::Torch,
        config::Init::Tf => InitStyle::Tf,
    }
}

fn head(config: &Config) -> Head {
    let temperature = config.temperature();
    match config.head {
        config::Head::Pn => Head::Proto {
            temperature,
            shots: Shots { n_supp: config.n_supp as usize, n_query: config.n_query as usize },
        },
        // `config::check` let no other head pass.
        _ => Head::Contrastive { temperature },
    }
}

fn rule(config: &Config) -> Rule {
    let weight_decay = config.weight_decay;
    match config.opt {
        config::Opt::Sgd => Rule::Sgd(Sgd { momentum: SGD_MOMENTUM, weight_decay }),
        config::Opt::Adam => Rule::Adam(Adam { weight_decay }),
        config::Opt::Lars => {
            Rule::Lars(Lars { exclude_all_bn: config.lars_exclude_all_bn, ..Lars::published(weight_decay) })
        }
    }
}

fn shape(config: &Config) -> Shape {
    match config.lr_schedule {
        config::LrSchedule::WarmupAnneal => Shape::WarmupAnneal,
        config::LrSchedule::Linear => Shape::Linear,
        config::LrSchedule::Const => Shape::Const,
        config::LrSchedule::Step => Shape::Step,
    }
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
        .load(&saved.model)
        .map_err(|source| TrainError::Weights { path: saved.path, source: source.into() })?;
    Ok(encoder)
}

fn describe(encoder: &Encoder, data: &Data, device: Device) -> String {
    let scalars: usize = encoder.weights().trained().iter().map(|(_, tensor)| tensor.numel()).sum();
    let held_out = data.test.as_ref().map_or("no held-out images".into(), |test| format!("{} held out", test.len()));
    format!(
        "{} with {:.2} M parameters on {device:?}; {} training images, {held_out}",
        encoder.spec().arch.name(),
        scalars as f64 / 1e6,
        data.train.len()
    )
}

fn no_test(config: &Config) -> TrainError {
    TrainError::NoTestSplit { dataset: config.data_path.clone() }
}
