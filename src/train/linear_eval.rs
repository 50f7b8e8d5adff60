//! The published linear evaluation: a linear layer on an encoder, which is frozen, or trained along (`finetune`).

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use tch::{Device, Kind, Reduction, Tensor};

use super::TrainError;
use super::task::{Forward, Metrics, Task};
use crate::device::{Batch, Feeder};
use crate::dist::{Comm, DistError, Reduce, gather, rows};
use crate::episode::Planner;
use crate::eval::embed::labels_of;
use crate::eval::{Counter, Embedding, Subject};
use crate::nn::{BACKBONE, Mode, NnError, Role, Weight};
use crate::shard::ShardSet;

/// Rows of embeddings judged at once.
const CHUNK: i64 = 8192;

/// Where features come from.
pub enum Input {
    /// Each batch goes through the encoder.
    Images,
    /// Both splits went through it before; rows are samples.
    Embedded {
        /// Of the training split.
        train: Rc<Embedding>,
        /// Of the held-out split.
        test: Rc<Embedding>,
    },
}

/// A linear layer, zero at the start, on the features `h` of an encoder.
///
/// A frozen encoder is in evaluation mode. One that is trained too is in training mode in training (its running statistics move)
/// and in evaluation mode in the test pass.
pub struct LinearEvaluation {
    /// The encoder.
    pub subject: Subject,
    /// Train the encoder too.
    pub finetune: bool,
    /// Where features come from; [`Input::Embedded`] only for a frozen encoder.
    pub input: Input,
    /// `[classes, d]`.
    pub weight: Tensor,
    /// `[classes]`.
    pub bias: Tensor,
    /// Training images.
    pub train: Arc<ShardSet>,
    /// Held-out images, of the same classes.
    pub test: Arc<ShardSet>,
    /// Plans the test pass: one view of each image, in order.
    pub test_planner: Planner,
    /// Loads and renders the test pass; knows where everything lives.
    pub feeder: Feeder,
    /// Who else has a part of each batch, perhaps a larger one.
    pub comm: Arc<dyn Comm>,
}

impl LinearEvaluation {
    /// Names of the layer's tensors in checkpoints.
    pub const NAMES: [&str; 2] = ["linear.weight", "linear.bias"];

    /// A zero layer for `classes` classes of `width` features.
    pub fn zero_layer(classes: i64, width: i64, device: Device) -> (Tensor, Tensor) {
        let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, device)).set_requires_grad(true);
        (zeros(&[classes, width]), zeros(&[classes]))
    }

    /// What is trained, by name: the layer, and of a trained encoder the backbone.
    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        let layer = self.layer().map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()));
        let backbone = self.encoder_weights().filter(|weight| weight.role == Role::Parameter);
        backbone.map(|weight| (weight.name.clone(), weight.tensor.shallow_clone())).chain(layer).collect()
    }

    fn layer(&self) -> [(&'static str, &Tensor); 2] {
        [(Self::NAMES[0], &self.weight), (Self::NAMES[1], &self.bias)]
    }

    /// The backbone's tensors where it is trained, else none.
    fn encoder_weights(&self) -> impl Iterator<Item = &Weight> {
        let all = self.finetune.then(|| self.subject.encoder.weights().iter());
        all.into_iter().flatten().filter(|weight| weight.name.starts_with(BACKBONE))
    }

    fn classify(&self, h: &Tensor) -> Tensor {
        h.linear(&self.weight, Some(&self.bias))
    }

    /// Logits and classes of the images of a training batch.
    fn logits(&self, batch: &Batch) -> Result<(Tensor, Tensor), TrainError> {
        if let Input::Embedded { train, .. } = &self.input {
            let samples: Vec<i64> = batch.plan().samples.iter().map(|&sample| sample.into()).collect();
            let samples = Tensor::from_slice(&samples).to_device(self.feeder.device());
            let h = train.features.index_select(0, &samples);
            return Ok((self.classify(&h), train.labels.index_select(0, &samples)));
        }
        let mode = if self.finetune { Mode::Train } else { Mode::Eval };
        self.through_encoder(batch, &self.train, mode)
    }

    /// Logits and classes of the images of `batch`, which are of `set`.
    fn through_encoder(&self, batch: &Batch, set: &ShardSet, mode: Mode) -> Result<(Tensor, Tensor), TrainError> {
        let labels = Tensor::from_slice(&labels_of(batch.plan(), set)?).to_device(self.feeder.device());
        let features = || self.subject.features(&batch.images(), mode);
        let h = if self.finetune { features() } else { tch::no_grad(features) };
        Ok((self.classify(&h), labels))
    }
}

/// Sums over a test pass.
#[derive(Default)]
struct Judgement {
    loss: f64,
    counter: Counter,
}

impl Judgement {
    fn count(&mut self, logits: &Tensor, labels: &Tensor) {
        self.loss += cross_entropy(logits, labels, Reduction::Sum).double_value(&[]);
        self.counter.count(logits, labels);
    }

    /// Over the `images` of all ranks.
    fn metrics(self, images: u64, comm: &dyn Comm, device: Device) -> Result<Metrics, DistError> {
        let shares = self.counter.of_all(comm, device)?.shares();
        let [loss] = gather::sums(comm, device, [self.loss])?;
        let mut metrics = vec![("test_loss".to_owned(), loss / images as f64), ("test_acc".to_owned(), shares.top1)];
        metrics.extend(shares.top5.map(|top5| ("test_acc5".to_owned(), top5)));
        Ok(metrics)
    }
}

impl Task for LinearEvaluation {
    /// Means over the images of all ranks, to which this one adds its own.
    fn forward(&self, batch: &Batch) -> Result<Forward, TrainError> {
        let (logits, labels) = self.logits(batch)?;
        let images = batch.plan().batch as f64;
        let loss = rows::summed(&*self.comm, &(cross_entropy(&logits, &labels, Reduction::Sum) / images))?;
        let mut accuracy = logits.argmax(1, false).eq_tensor(&labels).to_kind(Kind::Float).sum(Kind::Float) / images;
        self.comm.all_reduce(&mut accuracy, Reduce::Sum)?;
        Ok(Forward { terms: vec![("head", loss.detach())], loss, accuracy, figures: Vec::new(), warning: None })
    }

    fn accuracy_name(&self) -> &'static str {
        "train_acc"
    }

    /// Means over all test images, the short last batch included; ranks share out the batches.
    fn evaluate(&self, _features: bool) -> Result<Metrics, TrainError> {
        let _no_grad = tch::no_grad_guard();
        let mut judgement = Judgement::default();
        match &self.input {
            Input::Embedded { test, .. } => {
                let chunks: Vec<_> =
                    test.features.split(CHUNK, 0).into_iter().zip(test.labels.split(CHUNK, 0)).collect();
                let own = self.comm.world().stretch(chunks.len() as u64);
                for (h, labels) in &chunks[own.start as usize..own.end as usize] {
                    judgement.count(&self.classify(h), labels);
                }
            }
            Input::Images => {
                let steps = self.comm.world().stretch(self.test_planner.steps_per_epoch());
                for batch in self.feeder.start(&self.test, self.test_planner.clone(), steps)? {
                    let (logits, labels) = self.through_encoder(&batch?, &self.test, Mode::Eval)?;
                    judgement.count(&logits, &labels);
                }
            }
        }
        Ok(judgement.metrics(self.test.len(), &*self.comm, self.feeder.device())?)
    }

    fn needs_images(&self) -> bool {
        matches!(self.input, Input::Images)
    }

    /// The layer, and the backbone where it is trained.
    fn state(&self) -> Vec<(String, Tensor)> {
        let layer = self.layer().map(|(name, tensor)| (name.to_owned(), tensor.detach()));
        self.encoder_weights().map(|weight| (weight.name.clone(), weight.tensor.detach())).chain(layer).collect()
    }

    fn load(&self, state: &HashMap<String, Tensor>) -> Result<(), NnError> {
        for (name, tensor) in self.layer() {
            let saved = state.get(name).ok_or_else(|| NnError::Missing { name: name.to_owned() })?;
            let (want, got) = (tensor.size(), saved.size());
            if want != got {
                return Err(NnError::Shape { name: name.to_owned(), want, got });
            }
        }
        if self.finetune {
            self.subject.encoder.load_backbone(state)?;
        }
        for (name, tensor) in self.layer() {
            tch::no_grad(|| tensor.shallow_clone().copy_(&state[name]));
        }
        Ok(())
    }
}

fn cross_entropy(logits: &Tensor, labels: &Tensor, reduction: Reduction) -> Tensor {
    logits.cross_entropy_loss::<Tensor>(labels, None, reduction, -100, 0.0)
}
