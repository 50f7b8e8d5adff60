//! What an episode is made of, and the function from a step to its plan.

use std::sync::Arc;

use super::plan::{EpisodeError, EpisodePlan, SampleMeta};
use super::rows::{RowLayout, dealt};
use super::sampler::{Order, Sampler, Step};
use crate::augment::task::draw_class;
use crate::augment::{CropPolicy, TaskPolicy, ViewKey, ViewPolicy, ViewSpec, draw_view};
use crate::image::Size;
use crate::rng::{Purpose, Stream};

/// Everything that fixes the batches of a run, besides the data.
#[derive(Clone, Debug)]
pub struct EpisodeSpec {
    /// The run's seed.
    pub seed: u64,
    /// Images of one step, over all ranks.
    pub batch: u32,
    /// Order of the samples.
    pub order: Order,
    /// One policy for each view of an image: support views first, then query views.
    pub views: Vec<ViewPolicy>,
    /// Large rotations of whole classes.
    pub task: TaskPolicy,
    /// Size and filter of the views.
    pub view: ViewSpec,
    /// This process and how many there are: each plans its own part of the same global batch, as [`dealt`] says.
    pub rank: (u32, u32),
}

impl EpisodeSpec {
    /// Classes and views of one step, over all ranks.
    pub fn layout(&self) -> RowLayout {
        RowLayout::of_images(self.batch as usize, self.task.classes_per_image() as usize, self.views.len())
    }

    /// One view of every sample, in the order of the dataset: for evaluation.
    pub fn in_order(batch: u32, policy: ViewPolicy, view: ViewSpec) -> Self {
        Self {
            seed: 0,
            batch,
            order: Order::Sequential,
            views: vec![policy],
            task: TaskPolicy::Upright,
            view,
            rank: (0, 1),
        }
    }
}

/// Plans steps: a pure function of its spec and the dataset's index.
#[derive(Clone, Debug)]
pub struct Planner {
    spec: EpisodeSpec,
    sampler: Sampler,
    /// Samples that take part, by place in the order; all where there is none.
    subset: Option<Arc<[u32]>>,
    view_stream: Stream,
    class_stream: Stream,
}

impl Planner {
    /// A planner over a dataset of `samples` samples.
    ///
    /// # Errors
    /// [`EpisodeError`] where the spec asks for what the dataset or the ranks cannot give.
    pub fn new(spec: EpisodeSpec, samples: u64) -> Result<Self, EpisodeError> {
        let (rank, world) = spec.rank;
        if spec.views.is_empty() || spec.view.size == 0 {
            return Err(EpisodeError::NothingToDraw { views: spec.views.len(), size: spec.view.size });
        }
        // Rows of unequal parts cannot be joined; where the last batch of an epoch is short anyway, nobody joins them.
        let joined = matches!(spec.order, Order::Shuffled { .. });
        if world == 0 || rank >= world || joined && !spec.batch.is_multiple_of(world) {
            return Err(EpisodeError::UnevenBatch { batch: spec.batch, world, rank });
        }
        let sampler = Sampler::new(samples, spec.batch.into(), spec.order)
            .ok_or(EpisodeError::BatchTooLarge { batch: spec.batch, samples })?;
        let view_stream = Stream::new(spec.seed, Purpose::View);
        let class_stream = Stream::new(spec.seed, Purpose::Class);
        Ok(Self { spec, sampler, subset: None, view_stream, class_stream })
    }

    /// A planner over the samples `subset` of a dataset alone: its epochs are theirs, and each keeps the views it has in the whole.
    ///
    /// # Errors
    /// As [`new`](Self::new), for a dataset of as many samples.
    pub fn over(spec: EpisodeSpec, subset: Arc<[u32]>) -> Result<Self, EpisodeError> {
        let planner = Self::new(spec, subset.len() as u64)?;
        Ok(Self { subset: Some(subset), ..planner })
    }

    /// The spec it was made from.
    pub fn spec(&self) -> &EpisodeSpec {
        &self.spec
    }

    /// Most images of a batch of this process, of a dataset of `samples`: a short last batch may be all there is.
    pub fn most_images(&self, samples: u64) -> usize {
        u64::from(self.spec.batch).min(samples).div_ceil(self.spec.rank.1.into()) as usize
    }

    /// Most rows of a batch of this process, likewise.
    pub fn most_rows(&self, samples: u64) -> usize {
        self.most_images(samples) * self.spec.task.classes_per_image() as usize * self.spec.views.len()
    }

    /// Steps in one pass over the data.
    pub fn steps_per_epoch(&self) -> u64 {
        self.sampler.batches_per_epoch()
    }

    /// Plans `step` (0-based); `meta` gives size and label of a sample.
    ///
    /// # Errors
    /// What `meta` returns, and [`EpisodeError::CropDoesNotFit`] where a policy cannot be met by an image.
    pub fn plan<E: From<EpisodeError>>(
        &self,
        step: u64,
        meta: impl Fn(u32) -> Result<SampleMeta, E>,
    ) -> Result<EpisodePlan, E> {
        let Step { epoch, samples } = self.sampler.step(step);
        let batch = samples.len();
        let mut samples = self.own_part(&samples);
        if let Some(subset) = &self.subset {
            samples.iter_mut().for_each(|place| *place = subset[*place as usize]);
        }
        let metas = samples.iter().map(|&sample| meta(sample)).collect::<Result<Vec<_>, E>>()?;
        for (&sample, meta) in samples.iter().zip(&metas) {
            self.check_size(sample, meta.size)?;
        }

        let images = samples.len();
        let views = self.spec.views.len();
        let copies = self.spec.task.classes_per_image() as usize;
        let layout = RowLayout::of_images(images, copies, views);
        let classes: Vec<_> = (0..images * copies)
            .map(|class| {
                let (copy, image) = (class / images, class % images);
                draw_class(self.spec.task, self.class_stream, epoch, samples[image], copy as u32)
            })
            .collect();

        let mut plans = Vec::with_capacity(layout.rows());
        for (view, policy) in self.spec.views.iter().enumerate() {
            for (class, task) in classes.iter().enumerate() {
                let (copy, image) = (class / images, class % images);
                let key = ViewKey {
                    stream: self.view_stream,
                    epoch,
                    sample: samples[image],
                    view: (copy * views + view) as u32,
                };
                let drawn = draw_view(policy, image as u32, metas[image].size, self.spec.view.size, &key);
                plans.push(drawn.with_quarter_turns(task.quarter_turns));
            }
        }
        let labels = metas.iter().map(|meta| meta.label).collect();
        let sizes = metas.iter().map(|meta| meta.size).collect();
        Ok(EpisodePlan { step, epoch, batch, layout, samples, sizes, labels, classes, views: plans })
    }

    /// This rank's images of the global batch; of a short one as evenly as it goes, perhaps none.
    fn own_part(&self, samples: &[u32]) -> Vec<u32> {
        let (rank, world) = (self.spec.rank.0 as usize, self.spec.rank.1 as usize);
        let rounds = samples.len().div_ceil(world);
        (0..rounds).filter_map(|nth| samples.get(dealt(rounds, world, rank, nth)).copied()).collect()
    }

    /// Sizes that plans cannot express or that a policy cannot crop are refused before anything is drawn.
    fn check_size(&self, sample: u32, size: Size) -> Result<(), EpisodeError> {
        let out = self.spec.view.size;
        for policy in &self.spec.views {
            let pad = if let CropPolicy::RandomPadded { pad } = policy.crop { pad } else { 0 };
            let longest = size.width.max(size.height).saturating_add(2 * pad);
            let shortest = size.width.min(size.height);
            let padded_crop_fits = pad == 0 || (pad < shortest && out <= shortest + 2 * pad);
            if shortest == 0 || longest > i16::MAX as u32 || !padded_crop_fits {
                return Err(EpisodeError::CropDoesNotFit { sample, size, pad, out });
            }
        }
        Ok(())
    }
}
