//! Samples in the place of corrupt ones.

use super::LoadError;
use super::views::meta_of;
use crate::episode::{EpisodePlan, Planner};
use crate::shard::ShardSet;

/// What becomes of a batch that holds a sample whose record is damaged or does not decode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnCorrupt {
    /// The batch is an error.
    #[default]
    Error,
    /// Another sample takes its place, as [`Planner::stand_in`] draws it, with the choices drawn for the one that it stands for.
    Substitute,
}

/// A sample that could not be had, and the one that stands in its place.
#[derive(Debug)]
pub struct Replaced {
    /// Source image of the batch.
    pub image: usize,
    /// The corrupt sample.
    pub sample: u32,
    /// Its stand-in.
    pub by: u32,
    /// What is wrong with it.
    pub error: LoadError,
}

/// Stand-ins that are tried before the corrupt sample's error is the batch's.
pub(super) const ATTEMPTS: u32 = 16;

/// `plan` with the stand-in of source `image` for the `attempt`th time; `None` where there is none.
pub(super) fn stand_in(
    set: &ShardSet,
    planner: &Planner,
    policy: OnCorrupt,
    plan: &EpisodePlan,
    image: usize,
    attempt: u32,
) -> Result<Option<EpisodePlan>, LoadError> {
    if policy == OnCorrupt::Error {
        return Ok(None);
    }
    let Some(sample) = planner.stand_in(plan.step, plan.samples[image], attempt) else { return Ok(None) };
    let mut plan = plan.clone();
    planner.replace(&mut plan, image, sample, meta_of(set.info(sample.into())?))?;
    Ok(Some(plan))
}
