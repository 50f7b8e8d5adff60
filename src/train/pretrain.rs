//! The self-supervised task: an encoder and a head on episodes.

use std::collections::HashMap;
use std::sync::Arc;

use tch::{Device, Tensor};

use super::task::{Forward, Metrics, Task};
use super::{TrainError, judge};
use crate::augment::ViewSpec;
use crate::device::images;
use crate::episode::{EpisodeSpec, Planner};
use crate::eval::embed::EmbedSpec;
use crate::loader::{Batch, LoadError, LoaderOptions, load_views};
use crate::nn::{Encoder, Head, HeadOut, Mode, NnError};
use crate::shard::ShardSet;

/// What is trained and on what it is tested.
pub struct Pretraining {
    /// The network.
    pub encoder: Encoder,
    /// The loss.
    pub head: Head,
    /// What a training step is made of; the test pass uses the same transform.
    pub episodes: EpisodeSpec,
    /// Training images, the bank of kNN.
    pub train: Arc<ShardSet>,
    /// Held-out images, where the dataset has them.
    pub test: Option<Arc<ShardSet>>,
    /// How images are embedded for kNN.
    pub embed: EmbedSpec,
    /// Threads and memory of the test pass.
    pub loader: LoaderOptions,
    /// Where the network lives.
    pub device: Device,
}

impl Pretraining {
    fn view(&self) -> ViewSpec {
        self.episodes.view
    }

    fn judge(&self, batch: &Batch, mode: Mode) -> HeadOut {
        let images = images(batch, self.view(), self.device);
        let z = self.encoder.project(&self.encoder.features(&images, mode), mode);
        self.head.judge(&z, batch.plan().layout)
    }

    /// Mean loss and accuracy over one pass of `test`, with the training transform (published behaviour).
    fn test_pass(&self, test: &Arc<ShardSet>) -> Result<Metrics, TrainError> {
        let _no_grad = tch::no_grad_guard();
        // A test set smaller than a batch is one batch.
        let batch = u64::from(self.episodes.batch).min(test.len()) as u32;
        let planner =
            Planner::new(EpisodeSpec { batch, ..self.episodes.clone() }, test.len()).map_err(LoadError::from)?;
        let wanted = if self.embed.samples == 0 { test.len() } else { self.embed.samples };
        let steps = planner.steps_per_epoch().min(wanted.div_ceil(batch.into()));
        let (mut loss, mut accuracy) = (0.0, 0.0);
        for batch in load_views(test.clone(), planner, self.loader, 0..steps)? {
            let out = self.judge(&batch?, Mode::Eval);
            loss += out.loss.double_value(&[]);
            accuracy += out.accuracy().double_value(&[]);
        }
        Ok(vec![("test_loss".into(), loss / steps as f64), ("test_contrast_acc".into(), accuracy / steps as f64)])
    }
}

impl Task for Pretraining {
    fn forward(&self, batch: &Batch) -> Result<Forward, TrainError> {
        let out = self.judge(batch, Mode::Train);
        let accuracy = out.accuracy();
        Ok(Forward { terms: vec![("head", out.loss.detach())], loss: out.loss, accuracy })
    }

    fn accuracy_name(&self) -> &'static str {
        "train_contrast_acc"
    }

    fn evaluate(&self, features: bool) -> Result<Metrics, TrainError> {
        let Some(test) = &self.test else { return Ok(Metrics::new()) };
        let mut metrics = self.test_pass(test)?;
        if features && judge::comparable(&self.train, test) {
            let encode = |images: &Tensor| self.encoder.features(images, Mode::Eval);
            let (knn, linear) = judge::shares(&self.train, test, &self.embed, &encode)?;
            metrics.extend([judge::metrics("knn", knn), judge::metrics("linear", linear)].concat());
        }
        Ok(metrics)
    }

    fn nearest(&self) -> Result<Metrics, TrainError> {
        let Some(test) = self.test.as_ref().filter(|test| judge::comparable(&self.train, test)) else {
            return Ok(Metrics::new());
        };
        let encode = |images: &Tensor| self.encoder.features(images, Mode::Eval);
        Ok(judge::metrics("knn", judge::nearest(&self.train, test, &self.embed, &encode)?))
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        self.encoder.weights().state()
    }

    fn load(&self, state: &HashMap<String, Tensor>) -> Result<(), NnError> {
        self.encoder.weights().load(state)
    }
}
