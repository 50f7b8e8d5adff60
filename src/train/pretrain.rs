//! The self-supervised task: an encoder and an objective on episodes, with the tricks that are on.

use std::collections::HashMap;
use std::sync::Arc;

use tch::Tensor;

use super::objective::Objective;
use super::step::{Networks, Rows, Tricks};
use super::task::{Forward, Metrics, Task};
use super::{TrainError, judge};
use crate::device::feed::RowMixing;
use crate::device::{Batch, Feeder};
use crate::dist::rows::{joined, summed};
use crate::dist::{Comm, gather};
use crate::episode::mix::draw_mix;
use crate::episode::{EpisodeSpec, Planner, RowLayout};
use crate::eval::embed::EmbedSpec;
use crate::loader::LoadError;
use crate::nn::{Encoder, HeadOut, Mode, NnError};
use crate::shard::ShardSet;

/// What is trained, and how; needs no images to be made.
pub struct Learner {
    /// The network.
    pub encoder: Encoder,
    /// The loss.
    pub objective: Objective,
    /// What is added to it.
    pub tricks: Tricks,
    /// The embeddings' temperature before the rotation head.
    pub temperature: f64,
    /// What a training step is made of; the test pass uses the same transform.
    pub episodes: EpisodeSpec,
    /// Who else has a part of each batch.
    pub comm: Arc<dyn Comm>,
}

/// What is trained, on what, and on what it is tested.
pub struct Pretraining {
    /// What is trained.
    pub learner: Learner,
    /// Training images, the bank of kNN.
    pub train: Arc<ShardSet>,
    /// Held-out images, where the dataset has them.
    pub test: Option<Arc<ShardSet>>,
    /// How images are embedded for kNN.
    pub embed: EmbedSpec,
    /// Loads and renders the test pass; knows where the network lives.
    pub feeder: Feeder,
}

impl Networks for Learner {
    /// Where a rank is gone, this one goes on with its own rows: sharing the gradients of this step says so. Likewise below.
    fn embed(&self, images: &Tensor, layout: RowLayout) -> Rows {
        let own = self.objective.embed(&self.encoder, images, Mode::Train);
        let all = own.0.iter().map(|tensor| joined(&*self.comm, tensor, layout)).collect::<Result<_, _>>();
        all.map_or(own, Rows)
    }

    fn judge(&self, rows: &Rows, layout: RowLayout) -> HeadOut {
        self.objective.judge(rows, layout)
    }

    fn turn_logits(&self, images: &Tensor) -> Tensor {
        let h = self.encoder.features(images, Mode::Train);
        self.encoder.rotation_logits(&self.encoder.project(&h, Mode::Train), self.temperature)
    }

    fn sum(&self, part: Tensor) -> Tensor {
        summed(&*self.comm, &part).unwrap_or(part)
    }
}

impl Learner {
    /// What an optimizer is made of.
    pub fn trained(&self) -> Vec<(String, Tensor)> {
        let mut trained = self.encoder.weights().trained();
        trained.extend(self.objective.trained());
        trained
    }

    /// The forward pass of `step` (0-based) on its images, `[rows, 3, size, size]` in the order of `layout`; `with_mixed`: see [`Tricks::step`].
    pub fn forward(&self, images: &Tensor, with_mixed: Option<Tensor>, layout: RowLayout, step: u64) -> Forward {
        let draws = self.tricks.draw(&self.episodes, layout, step);
        self.tricks.step(self, images, with_mixed, layout, &draws, step + 1)
    }

    /// How a feed mixes rows, where queries are mixed.
    pub fn row_mixing(&self) -> Option<RowMixing> {
        let mixing = self.tricks.mixing?;
        let (seed, size) = (self.episodes.seed, self.episodes.view.size);
        let draw = Arc::new(move |step| draw_mix(seed, step, size));
        Some(RowMixing { supports: mixing.supports, draw })
    }
}

impl Pretraining {
    /// Mean loss and accuracy over one pass of `test`, without tricks, with the training transform (published behaviour). Ranks share out the
    /// batches.
    fn test_pass(&self, test: &Arc<ShardSet>) -> Result<Metrics, TrainError> {
        let _no_grad = tch::no_grad_guard();
        let Learner { encoder, objective, episodes, comm, .. } = &self.learner;
        // A test set smaller than a batch is one batch, less what the head cannot divide into its tasks.
        let most = u64::from(episodes.batch).min(test.len()) as u32;
        let of = |batch| EpisodeSpec { batch, rank: (0, 1), ..episodes.clone() };
        let batch = (1..=most).rev().find(|&batch| objective.fits(of(batch).layout())).unwrap_or(0);
        let planner = Planner::new(of(batch), test.len()).map_err(LoadError::from)?;
        let wanted = if self.embed.samples == 0 { test.len() } else { self.embed.samples };
        let steps = planner.steps_per_epoch().min(wanted.div_ceil(batch.into()));
        let (mut loss, mut accuracy) = (0.0, 0.0);
        for batch in self.feeder.start(test, planner, comm.world().stretch(steps))? {
            let batch = batch?;
            let rows = objective.embed(encoder, &batch.images(), Mode::Eval);
            let out = objective.judge(&rows, batch.plan().layout);
            loss += out.loss.double_value(&[]);
            accuracy += out.accuracy().double_value(&[]);
        }
        let [loss, accuracy] = gather::sums(&**comm, self.feeder.device(), [loss, accuracy])?;
        Ok(vec![("test_loss".into(), loss / steps as f64), ("test_contrast_acc".into(), accuracy / steps as f64)])
    }
}

impl Task for Pretraining {
    fn forward(&self, batch: &Batch) -> Result<Forward, TrainError> {
        let (layout, step) = (batch.plan().layout, batch.plan().step);
        Ok(self.learner.forward(&batch.images(), batch.with_mixed(), layout, step))
    }

    fn updated(&self, it: u64) {
        self.learner.objective.updated(&self.learner.encoder, it);
    }

    fn accuracy_name(&self) -> &'static str {
        "train_contrast_acc"
    }

    fn row_mixing(&self) -> Option<RowMixing> {
        self.learner.row_mixing()
    }

    fn evaluate(&self, features: bool) -> Result<Metrics, TrainError> {
        let Some(test) = &self.test else { return Ok(Metrics::new()) };
        let mut metrics = self.test_pass(test)?;
        if features && judge::comparable(&self.train, test) {
            let encode = |images: &Tensor| self.learner.encoder.features(images, Mode::Eval);
            let (knn, linear) = judge::shares(&self.train, test, &self.embed, &encode)?;
            metrics.extend([judge::metrics("knn", knn), judge::metrics("linear", linear)].concat());
        }
        Ok(metrics)
    }

    fn nearest(&self) -> Result<Metrics, TrainError> {
        let Some(test) = self.test.as_ref().filter(|test| judge::comparable(&self.train, test)) else {
            return Ok(Metrics::new());
        };
        let encode = |images: &Tensor| self.learner.encoder.features(images, Mode::Eval);
        Ok(judge::metrics("knn", judge::nearest(&self.train, test, &self.embed, &encode)?))
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        let mut state = self.learner.encoder.weights().state();
        state.extend(self.learner.objective.state());
        state
    }

    fn load(&self, state: &HashMap<String, Tensor>) -> Result<(), NnError> {
        self.learner.encoder.weights().load(&self.learner.objective.load(state)?)
    }
}
