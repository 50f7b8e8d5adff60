//! The records of one run: its folder, log, checkpoints, clock and console, behind one face for the loop.

mod checkpoints;
mod people;
mod quarantine;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tch::Device;
use tempfile::TempDir;

use super::log::{Accuracies, RunLog, Summary, TrainLine, write_summary};
use super::progress::{Progress, Reporter};
use super::run_dir::RunDir;
use super::task::{Forward, Metrics};
use super::{TrainError, judge};
use crate::config::{Config, Loaded};
use crate::device::interop;
use crate::episode::EpisodePlan;
use crate::loader::Quarantine;

/// The source that every run has: the dataset, by its identity.
const DATA: &str = "data";
/// On a terminal the progress line is renewed this often between log lines.
const REFRESH: Duration = Duration::from_secs(1);

/// Where a run stands: with weights and optimizer state, all that resuming needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Micro-batches done.
    pub iter: u64,
    /// Losses since the last log line, summed.
    pub loss_sum: f64,
    /// How many they are.
    pub loss_count: u64,
    /// Images trained on.
    pub images: u64,
    /// Seconds of training, evaluations left out.
    pub train_seconds: f64,
    /// Of them, waiting for data.
    pub wait_seconds: f64,
    /// Loss of the last log line.
    pub train_loss: Option<f64>,
    /// What the last evaluation found.
    #[serde(default)]
    pub evaluated: Metrics,
}

/// Where people read.
pub struct Console {
    /// Gets the lines.
    pub out: Box<dyn Write>,
    /// Whether a line may be overwritten.
    pub is_terminal: bool,
}

/// The records of a run, held by this process.
pub struct Records {
    run: RunDir,
    config: Config,
    /// What the run depends on besides its config, by what it is: digests.
    sources: BTreeMap<&'static str, String>,
    log: Option<RunLog>,
    reporter: Reporter<Box<dyn Write>>,
    refreshes: bool,
    steps_per_epoch: u64,
    clock: Clock,
    shown: Option<(Progress, Instant)>,
    /// Of a rank that follows: the folder that its records go to and vanish with, and the checkpoint that rank 0 goes on from.
    following: Option<(TempDir, Option<PathBuf>)>,
    /// The network's device, and most bytes of tensors at once up to the last log line.
    memory: (Device, Option<u64>),
    /// The corrupt samples that were met.
    quarantine: Option<Arc<Quarantine>>,
}

/// Time and images since the last log line or checkpoint.
struct Clock {
    since: Instant,
    steps: u64,
    images: u64,
    wait: Duration,
    /// Waiting time of the loader up to the last log line.
    wait_before: Duration,
}

impl Clock {
    fn new(wait_before: Duration) -> Self {
        Self { since: Instant::now(), steps: 0, images: 0, wait: Duration::ZERO, wait_before }
    }
}

impl Drop for Records {
    /// Leaves the console at the start of a line, for whoever writes next, and no corrupt sample unlisted.
    fn drop(&mut self) {
        let _ = self.list_fresh_corrupt();
        let _ = self.reporter.end_line();
    }
}

impl Records {
    /// Takes the run's folder under `logs`. `data` is the dataset's identity.
    ///
    /// # Errors
    /// Where the folder cannot be had, see [`RunDir::open`].
    pub fn open(loaded: &Loaded, logs: &Path, data: u128, console: Console) -> Result<Self, TrainError> {
        let mut config = loaded.config.clone();
        let run = RunDir::open(logs, &loaded.name, &mut config, any_seed())?;
        let mut records = Self {
            run,
            config,
            sources: BTreeMap::from([(DATA, format!("{data:032x}"))]),
            log: None,
            reporter: Reporter::new(console.out, console.is_terminal),
            refreshes: console.is_terminal,
            steps_per_epoch: 1,
            clock: Clock::new(Duration::ZERO),
            shown: None,
            following: None,
            memory: (Device::Cpu, None),
            quarantine: None,
        };
        for note in &loaded.notes {
            records.say(&format!("note: {note}"));
        }
        records.say(&format!("run {}", records.run.path().display()));
        let damaged = records.run.damaged_checkpoints().map(|error| format!("warning: set aside: {error}"));
        damaged.collect::<Vec<_>>().iter().for_each(|line| records.say(line));
        Ok(records)
    }

    /// The records of a rank that follows rank 0, which has told `seed` and the checkpoint to go on from: nothing is printed or kept.
    ///
    /// # Errors
    /// Where there is no folder for temporary files.
    pub fn follow(loaded: &Loaded, data: u128, seed: u64, newest: Option<PathBuf>) -> Result<Self, TrainError> {
        let folder = tempfile::tempdir().map_err(TrainError::Launch)?;
        let config = Config { seed: Some(seed), run_id: None, fresh: false, ..loaded.config.clone() };
        let loaded = Loaded { config, notes: Vec::new(), ..loaded.clone() };
        let console = Console { out: Box::new(io::sink()), is_terminal: false };
        let mut records = Self::open(&loaded, folder.path(), data, console)?;
        records.following = Some((folder, newest));
        Ok(records)
    }

    /// The checkpoint that the run goes on from.
    pub fn newest_path(&self) -> Option<&Path> {
        match &self.following {
            Some((_, newest)) => newest.as_deref(),
            None => self.run.newest_checkpoint(),
        }
    }

    /// The run's seed: the config's, or the one drawn at its start.
    pub fn seed(&self) -> u64 {
        self.config.seed.expect("opening the folder sets it")
    }

    /// The run's folder.
    pub fn path(&self) -> &Path {
        self.run.path()
    }

    /// The run goes on only while `what` (say, `encoder`) has this digest; to be told before it goes on.
    pub fn depends_on(&mut self, what: &'static str, digest: String) {
        self.sources.insert(what, digest);
    }

    /// Prints a line. A console that is gone does not end a run.
    pub fn say(&mut self, line: &str) {
        let _ = self.reporter.say(line);
    }

    /// Opens the log at `position` and starts the clock.
    ///
    /// # Errors
    /// Where the log cannot be opened.
    pub fn begin(&mut self, position: &Position, steps_per_epoch: u64) -> Result<(), TrainError> {
        let resumed = (position.iter > 0).then_some(position.iter);
        self.log = Some(self.open_log(resumed)?);
        self.steps_per_epoch = steps_per_epoch;
        self.clock.since = Instant::now();
        Ok(())
    }

    /// Logs the peak of torch's memory on `device`, from now on; nothing on the CPU.
    ///
    /// # Errors
    /// Where torch does not answer.
    pub fn watch_memory(&mut self, device: Device) -> Result<(), TrainError> {
        self.memory = (device, None);
        Ok(interop::reset_peak_memory(device)?)
    }

    /// Counts one step of `plan`; `wait` is the loader's waiting time so far.
    pub fn count(&mut self, plan: &EpisodePlan, wait: Duration) {
        self.clock.steps += 1;
        self.clock.images += plan.batch as u64;
        self.clock.wait = wait.saturating_sub(self.clock.wait_before);
        if let Some((progress, at)) = &mut self.shown
            && self.refreshes
        {
            progress.iter += 1;
            if at.elapsed() >= REFRESH {
                let _ = self.reporter.show(progress);
                *at = Instant::now();
            }
        }
    }

    /// Writes a training line at `position`, whose sums it takes and resets.
    ///
    /// # Errors
    /// Where the log cannot be written; [`TrainError::Diverged`] after a line whose loss is no number.
    pub fn train_line(
        &mut self,
        position: &mut Position,
        iters: u64,
        forward: &Forward,
        accuracy_name: &str,
        lr: f64,
    ) -> Result<(), TrainError> {
        let (seconds, wait) = (self.clock.since.elapsed().as_secs_f64(), self.clock.wait.as_secs_f64());
        let loss = forward.loss.double_value(&[]);
        let images_per_s = self.clock.images as f64 / seconds;
        let data_wait_share = (wait / seconds).min(1.0);
        let terms: Vec<_> = forward.terms.iter().map(|(name, term)| (*name, term.double_value(&[]))).collect();
        let mut others = vec![
            ("train_loss_mean", position.loss_sum / position.loss_count as f64),
            (accuracy_name, forward.accuracy.double_value(&[])),
            ("train_epoch", position.iter as f64 / self.steps_per_epoch as f64),
        ];
        self.memory.1 = interop::peak_memory(self.memory.0)?;
        others.extend(self.memory.1.map(|bytes| ("peak_memory_bytes", bytes as f64)));
        others.extend(forward.figures.iter().map(|(name, figure)| (*name, figure.double_value(&[]))));
        let line = TrainLine {
            iter: position.iter,
            train_loss: loss,
            lr,
            images_per_s,
            data_wait_share,
            terms: &terms,
            others: &others,
        };
        self.log(position.iter)?.training(&line)?;
        if let Some(warning) = &forward.warning {
            self.say(&format!("warning: iteration {}: {warning}", position.iter));
        }
        let progress = Progress {
            iter: position.iter,
            iters,
            images_per_s,
            data_wait_share,
            loss,
            lr,
            seconds_per_iter: seconds / self.clock.steps as f64,
        };
        let _ = self.reporter.show(&progress);
        self.shown = Some((progress, Instant::now()));

        self.book(position);
        position.train_loss = Some(loss);
        (position.loss_sum, position.loss_count) = (0.0, 0);
        if loss.is_finite() { Ok(()) } else { Err(TrainError::Diverged { iter: position.iter, loss }) }
    }

    /// Moves the clock's time into `position`.
    fn book(&mut self, position: &mut Position) {
        position.images += self.clock.images;
        position.train_seconds += self.clock.since.elapsed().as_secs_f64();
        position.wait_seconds += self.clock.wait.as_secs_f64();
        self.clock = Clock::new(self.clock.wait_before + self.clock.wait);
    }

    /// Runs an evaluation with the clock stopped and logs what it finds.
    ///
    /// # Errors
    /// What the evaluation finds; where the log cannot be written.
    pub fn evaluation_line(
        &mut self,
        position: &mut Position,
        evaluate: impl FnOnce() -> Result<Metrics, TrainError>,
    ) -> Result<(), TrainError> {
        let start = Instant::now();
        let metrics = evaluate()?;
        if !metrics.is_empty() {
            let iter = position.iter;
            self.log(iter)?.evaluation(iter, &metrics)?;
            let numbers: Vec<_> = metrics.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
            self.say(&format!("iteration {iter}: {}", numbers.join("  ")));
            position.evaluated = metrics;
        }
        self.clock.since += start.elapsed();
        Ok(())
    }

    /// Writes `summary.json` and prints what it says.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn summary(&mut self, position: &Position, accuracies: Option<Accuracies>) -> Result<(), TrainError> {
        if self.following.is_some() {
            return Ok(());
        }
        let evaluated =
            |name: &str| position.evaluated.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
        let seen = Accuracies {
            knn_top1: evaluated("knn_top1"),
            linear_top1: evaluated("linear_top1").or(evaluated("test_acc")),
            knn_top5: evaluated("knn_top5"),
            linear_top5: evaluated("linear_top5").or(evaluated("test_acc5")),
            ..Accuracies::default()
        };
        let trained = position.train_seconds > 0.0;
        let summary = Summary {
            about: self.about(position),
            iter: position.iter,
            train_loss: position.train_loss,
            images_per_s: trained.then(|| position.images as f64 / position.train_seconds),
            data_wait_share: trained.then(|| (position.wait_seconds / position.train_seconds).min(1.0)),
            train_seconds: position.train_seconds,
            peak_memory_bytes: self.memory.1,
            corrupt_samples: self.quarantine.as_ref().map_or(0, |quarantine| quarantine.len() as u64),
            accuracies: accuracies.unwrap_or(seen),
        };
        summary.write(self.run.path())?;
        for line in judge::table(&summary.accuracies) {
            self.say(&line);
        }
        let Position { iter, train_seconds, .. } = position;
        let path = self.run.path().join("summary.json");
        self.say(&format!("{iter} iterations, {train_seconds:.0} s of training; {}", path.display()));
        self.report();
        Ok(())
    }

    /// Writes `summary` as `summary.json`, for runs that train nothing themselves, and says where.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn other_summary(&mut self, summary: &impl Serialize) -> Result<(), TrainError> {
        if self.following.is_some() {
            return Ok(());
        }
        write_summary(self.run.path(), summary)?;
        self.say(&self.run.path().join("summary.json").display().to_string());
        self.report();
        Ok(())
    }

    fn open_log(&self, resumed: Option<u64>) -> Result<RunLog, TrainError> {
        let folder = self.run.path();
        let log = RunLog::open(folder, resumed)?;
        Ok(if self.config.tensorboard { log.with_events(folder, resumed)? } else { log })
    }

    /// The log; where no training began, with what it holds up to `iter`.
    fn log(&mut self, iter: u64) -> Result<&mut RunLog, TrainError> {
        if self.log.is_none() {
            self.log = Some(self.open_log(Some(iter))?);
        }
        Ok(self.log.as_mut().expect("opened above"))
    }
}

/// A seed for a run that names none; written into its config.
fn any_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    // The standard library's own source of keys; 32 bits are enough and easy to type.
    RandomState::new().hash_one(0) & 0xffff_ffff
}
