//! Why a run cannot start or go on.

use std::path::PathBuf;

use super::checkpoint::CheckpointError;
use super::exchange::ExchangeError;
use super::labels::LabelsError;
use super::log::LogError;
use super::report::ReportError;
use super::run_dir::RunDirError;
use crate::config::ConfigError;
use crate::device::interop::InteropError;
use crate::device::{FeedError, RouteError};
use crate::dist::DistError;
use crate::episode::EpisodeError;
use crate::eval::EvalError;
use crate::loader::LoadError;
use crate::nn::NnError;
use crate::nn::head::HeadError;
use crate::optim::OptimError;
use crate::shard::ShardError;

/// Everything that ends a run, each with the values of the stage it comes from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum TrainError {
    #[error(transparent)]
    Config(Box<ConfigError>),
    #[error(transparent)]
    Shard(#[from] ShardError),
    #[error(transparent)]
    Episode(#[from] EpisodeError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Network(#[from] NnError),
    #[error(transparent)]
    Head(#[from] HeadError),
    #[error(transparent)]
    Dist(Box<DistError>),
    /// A rank's process.
    #[error("cannot start a process for a rank: {0}; give a smaller --nproc")]
    Launch(std::io::Error),
    #[error(transparent)]
    Feed(Box<FeedError>),
    #[error(transparent)]
    Route(#[from] RouteError),
    #[error(transparent)]
    Device(#[from] InteropError),
    #[error(transparent)]
    Evaluation(#[from] EvalError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Exchange(Box<ExchangeError>),
    #[error(transparent)]
    Report(Box<ReportError>),
    #[error(transparent)]
    RunDir(Box<RunDirError>),
    #[error(transparent)]
    Log(#[from] LogError),
    /// A key that this problem cannot do without.
    #[error("{key} is not set: {what}")]
    Unset { key: &'static str, what: &'static str },
    /// The training views cannot be drawn as a picture.
    #[error("no picture of the training views: {reason}; --report false goes without")]
    Sheet { reason: String },
    /// Held-out images are missing where they are needed.
    #[error("{dataset} has neither a `test` nor a `val` split: evaluation needs held-out images")]
    NoTestSplit { dataset: String },
    /// The run was started on other data.
    #[error("{path}: this run was trained on data {saved}, this dataset is {now}: give the same dataset, or another --run_id", path = path.display())]
    OtherData { path: PathBuf, saved: String, now: String },
    /// A file that the run depends on was replaced.
    #[error(
        "{path}: this run was started with another {what} (checksum {saved}, now {now}): put it back, or give another --run_id",
        path = path.display()
    )]
    Replaced { path: PathBuf, what: &'static str, saved: String, now: String },
    #[error(transparent)]
    Labels(Box<LabelsError>),
    /// A checkpoint that does not say where its run stands.
    #[error("{path}: no position in the checkpoint: {reason}", path = path.display())]
    Position { path: PathBuf, reason: serde_json::Error },
    /// The raw-pixel baseline of the final evaluation does not fit into memory.
    #[error(
        "final_eval compares with the raw pixels of {samples} images, {bytes} bytes: give --eval_samples {fits} or less"
    )]
    TooManyPixels { samples: u64, bytes: u64, fits: u64 },
    /// Classes are missing or differ.
    #[error(
        "{dataset}: {train} classes in `train`, {test} held out: evaluation needs the same classes in both; convert them together"
    )]
    Classes { dataset: String, train: usize, test: usize },
    /// A checkpoint's tensors are not those of the network.
    #[error("{path}: {source}", path = path.display())]
    Weights { path: PathBuf, source: Box<NnError> },
    /// The loss is no number any more.
    #[error("train_loss is {loss} at iteration {iter}: lower lr or raise warmup, in a new run (another --run_id)")]
    Diverged { iter: u64, loss: f64 },
    /// A checkpoint's optimizer state is of another optimizer.
    #[error("{path}: {source}", path = path.display())]
    OptimizerState { path: PathBuf, source: Box<OptimError> },
}

// Boxed, because they are larger than everything else here.
impl From<ConfigError> for TrainError {
    fn from(error: ConfigError) -> Self {
        Self::Config(Box::new(error))
    }
}

impl From<FeedError> for TrainError {
    /// What could not be loaded is the same error, whoever renders.
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::Load(error) => Self::Load(error),
            error => Self::Feed(Box::new(error)),
        }
    }
}

impl From<LabelsError> for TrainError {
    fn from(error: LabelsError) -> Self {
        Self::Labels(Box::new(error))
    }
}

impl From<ExchangeError> for TrainError {
    fn from(error: ExchangeError) -> Self {
        Self::Exchange(Box::new(error))
    }
}

impl From<ReportError> for TrainError {
    fn from(error: ReportError) -> Self {
        Self::Report(Box::new(error))
    }
}

impl From<RunDirError> for TrainError {
    fn from(error: RunDirError) -> Self {
        Self::RunDir(Box::new(error))
    }
}

impl TrainError {
    /// Whether another command line or config, not another machine or dataset, is what helps.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Config(_) | Self::Head(_) | Self::Unset { .. } | Self::Episode(_) => true,
            Self::TooManyPixels { .. } | Self::Route(_) => true,
            Self::Network(NnError::ImageSize { .. } | NnError::Precision { .. }) => true,
            Self::Load(LoadError::Episode(_)) | Self::Evaluation(EvalError::Load(LoadError::Episode(_))) => true,
            Self::RunDir(error) => {
                matches!(**error, RunDirError::NotFresh { .. } | RunDirError::OtherConfig { .. })
            }
            _ => false,
        }
    }
}

impl From<DistError> for TrainError {
    fn from(error: DistError) -> Self {
        Self::Dist(Box::new(error))
    }
}
