//! What views are drawn of, and how: the arguments that `views` and `bench` share.

use std::path::PathBuf;

use metacl::augment::recipe::Recipe;
use metacl::augment::{TaskPolicy, ViewPolicy};
use metacl::episode::{EpisodeError, EpisodeSpec, Order, Planner};
use metacl::shard::Storage;

use super::Failure;
use super::dataset::{self, Place};
use super::limits::Limits;

/// A split and a recipe.
#[derive(clap::Args)]
pub(super) struct Source {
    /// Dataset, split folder or .mcs file, or its URL
    data: PathBuf,
    /// How views are drawn
    #[arg(long, value_enum)]
    pub(super) recipe: RecipeName,
    /// Seed of what is drawn
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(super) seed: u64,
    /// Split of a dataset [default: train, or the only one]
    #[arg(long, value_name = "NAME")]
    split: Option<String>,
    #[command(flatten)]
    limits: Limits,
}

impl Source {
    /// Where the data lies.
    pub(super) fn place(&self, storage: &Storage) -> Result<Place, Failure> {
        dataset::split(&self.data, self.split.as_deref(), storage)
    }

    /// What a record may ask of the decoder.
    pub(super) fn limits(&self) -> metacl::decode::Limits {
        self.limits.decoder()
    }

    /// Draws `views` of each of `samples` samples.
    pub(super) fn planner(
        &self,
        samples: u64,
        batch: u32,
        order: Order,
        views: Vec<ViewPolicy>,
    ) -> Result<Planner, Failure> {
        let (task, view) = (TaskPolicy::Upright, self.recipe.recipe().spec());
        let spec = EpisodeSpec { seed: self.seed, batch, order, views, task, view, rank: (0, 1) };
        Planner::new(spec, samples).map_err(|error: EpisodeError| Failure::Failed(error.to_string()))
    }
}

/// The workloads that data loaders are compared by.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum RecipeName {
    /// One view of 224 px: crop 0.08..1, mirror
    Rrc,
    /// Two views of 224 px: crop, mirror, jitter 0.8 0.8 0.8 0.2, gray, blur
    Simclr,
    /// Two views of 32 px: crop, mirror, jitter 0.4 0.4 0.4 0.1, gray
    Cifar,
}

impl RecipeName {
    pub(super) fn recipe(self) -> Recipe {
        match self {
            Self::Rrc => Recipe::Rrc,
            Self::Simclr => Recipe::Simclr,
            Self::Cifar => Recipe::Cifar,
        }
    }
}
