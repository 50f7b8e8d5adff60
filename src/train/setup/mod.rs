//! From a config to a run: opens the data, builds the task, resumes, trains, judges.
//!
//! - `pretrain`: an encoder and a head on episodes. `linear`: a linear layer on a saved encoder, or both of them on few labels.
//! - `seeds`: that several times over. `few_shot`: labelled episodes. `subject`: the saved encoder. `parts`: what the stages need,
//!   out of a config. `place`: devices. `ranks`: several processes. `dry_run`: what a run would do and need, as text. `surroundings`: what the report shows
//!   beside numbers. `step_bench`: how long steps take.

mod dry_run;
mod few_shot;
mod linear;
mod parts;
mod place;
mod pretrain;
mod ranks;
mod seeds;
mod step_bench;
mod subject;
mod surroundings;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tch::Device;

pub(super) use self::parts::arch as network;
use self::parts::shape;
use self::place::Place;
use self::ranks::Cores;
pub use self::step_bench::{StepBench, StepFigures, step_bench};
use super::checkpoint::Checkpoint;
use super::judge::comparable;
use super::task::Task;
use super::{Console, Position, Records, Rhythm, TrainError, train};
use crate::config::{self, Config, Loaded, Problem, Value};
use crate::dist::Comm;
use crate::dist::launch::Placed;
use crate::episode::Planner;
use crate::nn::Encoder;
use crate::optim::{Optimizer, Schedule};
use crate::shard::{Location, ShardSet, Storage, Verify};

/// Runs what `loaded` asks for, as the process `placed` among others; the run's folder goes under `logs`, written by rank 0. `storage` is asked for data at a URL. Setting `stop` ends it after a checkpoint.
///
/// # Errors
/// Everything that keeps the run from starting or going on.
pub fn run(
    loaded: &Loaded,
    mut console: Console,
    logs: &Path,
    placed: &Placed,
    storage: &Storage,
    stop: &AtomicBool,
) -> Result<(), TrainError> {
    if loaded.config.dry_run {
        return dry_run::dry_run(&loaded.config, storage, &mut console);
    }
    let place = Place::find(&loaded.config, placed.local_rank)?;
    let comm = ranks::meet(placed, place.device, &loaded.config)?;
    let done = among(&comm, loaded, console, logs, place, storage, stop);
    if let Err(error) = &done {
        // The others end too, and name this rank.
        comm.abort(&error.to_string());
    }
    done
}

/// What every kind of run is given.
#[derive(Clone, Copy)]
struct Given<'a> {
    loaded: &'a Loaded,
    logs: &'a Path,
    place: &'a Place,
    storage: &'a Storage,
    comm: &'a Arc<dyn Comm>,
    stop: &'a AtomicBool,
}

/// The run of this rank of `comm`.
fn among(
    comm: &Arc<dyn Comm>,
    loaded: &Loaded,
    console: Console,
    logs: &Path,
    place: Place,
    storage: &Storage,
    stop: &AtomicBool,
) -> Result<(), TrainError> {
    let place = place.open(&loaded.config, Cores::among(&**comm)?)?;
    let given = Given { loaded, logs, place: &place, storage, comm, stop };
    match loaded.config.problem {
        Problem::SimClr | Problem::Byol | Problem::Simsiam => pretrain::pretrain(given, console),
        Problem::FewShotEval => few_shot::evaluate(given, console),
        _ => seeds::evaluate(given, console),
    }
}

/// The splits of the dataset.
struct Data {
    train: Arc<ShardSet>,
    test: Option<Arc<ShardSet>>,
}

impl Data {
    fn open(config: &Config, storage: &Storage) -> Result<Self, TrainError> {
        let dataset = config.data_location()?;
        Ok(Self { train: open_split(config, &dataset, "train", storage)?, test: Self::held_out(config, storage)? })
    }

    fn held_out(config: &Config, storage: &Storage) -> Result<Option<Arc<ShardSet>>, TrainError> {
        let dataset = config.data_location()?;
        for split in ["test", "val"] {
            let there = match dataset.join(split) {
                Location::Disk(folder) => folder.is_dir(),
                url => storage.has_shards(&url)?,
            };
            if there {
                return open_split(config, &dataset, split, storage).map(Some);
            }
        }
        Ok(None)
    }
}

fn open_split(
    config: &Config,
    dataset: &Location,
    split: &str,
    storage: &Storage,
) -> Result<Arc<ShardSet>, TrainError> {
    let verify = match config.verify {
        config::Verify::Always => Verify::Always,
        config::Verify::First => Verify::First,
        config::Verify::Never => Verify::Never,
    };
    let set = ShardSet::open_split_at(dataset, split, storage)?.with_verify(verify);
    // Orders are shuffled: the first steps would wait for one page after the other.
    set.fetch_index()?;
    Ok(Arc::new(set))
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
    ckpt: Option<&Checkpoint>,
) -> Result<Position, TrainError> {
    let newest = records.newest_checkpoint()?;
    let Some(checkpoint) = newest.as_ref().or(ckpt) else { return Ok(Position::default()) };
    let path = &checkpoint.path;
    task.load(&checkpoint.model).map_err(|source| TrainError::Weights { path: path.clone(), source: source.into() })?;
    if !config.eval_only {
        optimizer
            .load_state(&checkpoint.optimizer)
            .map_err(|source| TrainError::OptimizerState { path: path.clone(), source: source.into() })?;
    }
    records.resume(checkpoint)
}

fn same_classes(config: &Config, train: &ShardSet, test: &ShardSet) -> Result<(), TrainError> {
    if comparable(train, test) {
        return Ok(());
    }
    let (train, test) = (train.classes().len(), test.classes().len());
    Err(TrainError::Classes { dataset: config.data_path.to_string(), train, test })
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
    place: &Place,
    comm: &Arc<dyn Comm>,
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
        knn_freq: config.knn_freq.filter(|&frequency| frequency > 0),
        save_freq: config.save_freq,
    };
    let steps_per_epoch = planner.steps_per_epoch();
    records.begin(&position, steps_per_epoch)?;
    records.watch_memory(place.device)?;
    records.surroundings(&position, surroundings::environment(config, data, place), || {
        surroundings::views(config, &planner, data, place)
    })?;
    let steps = position.iter..iters;
    let feed = if task.needs_images() {
        place.feeder.start_mixing(data, planner, steps, task.row_mixing())?
    } else {
        place.feeder.plans(data, planner, steps)?
    };
    train(task, optimizer, feed, &rhythm, records, position, comm, stop)
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
    TrainError::NoTestSplit { dataset: config.data_path.to_string() }
}
