//! A step's batch, on its way and finished.

use std::sync::Arc;

use super::LoadError;
use super::slot::RowBuffer;
use super::stand_in::Replaced;
use super::stats::Meter;
use super::sync::{AtomicUsize, Mutex, Sender, locked};
use crate::episode::EpisodePlan;

/// One step on its way.
pub(super) struct Job {
    pub(super) plan: EpisodePlan,
    pub(super) slot: usize,
    pub(super) images_left: AtomicUsize,
    /// The error of the lowest source image that failed, so that what is reported does not depend on the threads.
    pub(super) failure: Mutex<Option<(usize, LoadError)>>,
    /// Plans in which another sample takes the place of a corrupt one.
    pub(super) stand_ins: Mutex<Vec<(Replaced, EpisodePlan)>>,
}

/// What loader and batches need of the shared part, whatever the producer.
pub(super) trait Ring<S>: Send + Sync {
    fn slot(&self, slot: usize) -> &S;
    fn meter(&self) -> &Meter;
    fn stop(&self);
}

/// A finished batch; dropping it frees its slot for a later step.
pub struct Batch<S = RowBuffer> {
    job: Arc<Job>,
    /// Where samples were replaced: the plan as it came to be, and which they were.
    replaced: Option<Box<(EpisodePlan, Vec<Replaced>)>>,
    ring: Arc<dyn Ring<S>>,
    free: Sender<()>,
}

impl<S> Batch<S> {
    pub(super) fn new(job: Arc<Job>, ring: Arc<dyn Ring<S>>, free: Sender<()>) -> Self {
        let mut stand_ins = std::mem::take(&mut *locked(&job.stand_ins));
        stand_ins.sort_by_key(|(replaced, _)| replaced.image);
        let replaced = (!stand_ins.is_empty()).then(|| {
            let mut plan = job.plan.clone();
            stand_ins.iter().for_each(|(replaced, theirs)| plan.take_image(replaced.image, theirs));
            Box::new((plan, stand_ins.into_iter().map(|(replaced, _)| replaced).collect()))
        });
        Self { job, replaced, ring, free }
    }

    /// What it shows.
    pub fn plan(&self) -> &EpisodePlan {
        self.replaced.as_ref().map_or(&self.job.plan, |replaced| &replaced.0)
    }

    /// Corrupt samples in whose place others stand, by source image; [`plan`](Self::plan) names the others.
    pub fn replaced(&self) -> &[Replaced] {
        self.replaced.as_ref().map_or(&[], |replaced| &replaced.1)
    }

    /// Its memory: all images are in it, and nobody writes until this value is dropped.
    pub fn slot(&self) -> &S {
        self.ring.slot(self.job.slot)
    }
}

impl<S> Drop for Batch<S> {
    fn drop(&mut self) {
        // Fails when the loader is gone: then nobody needs the slot.
        let _ = self.free.try_send(());
    }
}
