//! What an episode is made of, and the function from a step to its plan.

use std::sync::Arc;

use super::plan::{EpisodeError, EpisodePlan, SampleMeta};
use super::rows::{RowLayout, Shown};
use super::sampler::{Order, Sampler, Step};
use crate::augment::task::draw_class;
use crate::augment::{CropPolicy, TaskPolicy, ViewDrawer, ViewKey, ViewPolicy, ViewSpec};
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
    /// This process and how many there are: each plans its own part of the same global batch, as [`dealt`](super::rows::dealt) says.
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
    /// One for each view of an image.
    drawers: Vec<ViewDrawer>,
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
        let drawers = spec.views.iter().copied().map(ViewDrawer::new).collect();
        Ok(Self { spec, sampler, subset: None, drawers, view_stream, class_stream })
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
        let Step { epoch, batch, mut samples } = self.sampler.share(step, self.spec.rank);
        if let Some(subset) = &self.subset {
            samples.iter_mut().for_each(|place| *place = subset[*place as usize]);
        }
        let images = samples.len();
        let (mut sizes, mut labels) = (Vec::with_capacity(images), Vec::with_capacity(images));
        for &sample in &samples {
            let SampleMeta { size, label } = meta(sample)?;
            self.check_size(sample, size)?;
            sizes.push(size);
            labels.push(label);
        }

        let copies = self.spec.task.classes_per_image() as usize;
        let layout = RowLayout::of_images(images, copies, self.spec.views.len());
        let class = |copy, sample| draw_class(self.spec.task, self.class_stream, epoch, sample, copy);
        let classes =
            (0..copies as u32).flat_map(|copy| samples.iter().map(move |&sample| class(copy, sample))).collect();
        let plan = EpisodePlan { step, epoch, batch, layout, samples, sizes, labels, classes, views: Vec::new() };
        let mut views = Vec::with_capacity(layout.rows());
        for (view, drawer) in self.drawers.iter().enumerate() {
            let asked = layout.shown_by(view).map(|shown| {
                let image = shown.image;
                (image as u32, plan.sizes[image], self.key(epoch, plan.samples[image], shown))
            });
            drawer.draw_each(asked, self.spec.view.size, &mut views);
        }
        if self.spec.task != TaskPolicy::Upright {
            for (row, view) in views.iter_mut().enumerate() {
                *view = view.with_quarter_turns(plan.classes[layout.class_of(row)].quarter_turns);
            }
        }
        Ok(EpisodePlan { views, ..plan })
    }

    /// What the view that a row shows is drawn by, as one of `sample`.
    fn key(&self, epoch: u32, sample: u32, shown: Shown) -> ViewKey {
        let view = (shown.copy * self.drawers.len() + shown.view) as u32;
        ViewKey { stream: self.view_stream, epoch, sample, view }
    }

    /// The sample that takes the place of `sample`, which is corrupt, in `step`, for the `attempt`th time: one that the step, over all ranks, does not
    /// hold, drawn by seed, epoch and sample. `None` where the step holds them all.
    pub fn stand_in(&self, step: u64, sample: u32, attempt: u32) -> Option<u32> {
        let epoch = (step / self.steps_per_epoch()) as u32;
        let draw = Stream::new(self.spec.seed, Purpose::StandIn).draw([epoch, sample, attempt, 0]);
        let place = self.sampler.other(step, |others| draw.integer(others))?;
        Some(self.subset.as_ref().map_or(place, |subset| subset[place as usize]))
    }

    /// Puts `sample` in the place of source `image` of `plan`, under the choices that were drawn for the one before it.
    ///
    /// # Errors
    /// [`EpisodeError::CropDoesNotFit`].
    pub fn replace(
        &self,
        plan: &mut EpisodePlan,
        image: usize,
        sample: u32,
        meta: SampleMeta,
    ) -> Result<(), EpisodeError> {
        self.check_size(sample, meta.size)?;
        let before = std::mem::replace(&mut plan.samples[image], sample);
        (plan.sizes[image], plan.labels[image]) = (meta.size, meta.label);
        let rows: Vec<usize> = plan.rows_of(image).collect();
        for row in rows {
            let shown = plan.layout.shown(row);
            let key = self.key(plan.epoch, before, shown);
            let view = self.drawers[shown.view].draw(image as u32, meta.size, self.spec.view.size, &key);
            plan.views[row] = view.with_quarter_turns(plan.views[row].quarter_turns());
        }
        Ok(())
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
