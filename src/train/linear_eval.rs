//! The published linear evaluation: a linear layer on a frozen encoder, trained on augmented views.

use std::collections::HashMap;
use std::sync::Arc;

use tch::{Device, Kind, Reduction, Tensor};

use super::TrainError;
use super::task::{Forward, Metrics, Task};
use crate::augment::ViewSpec;
use crate::device::images;
use crate::episode::Planner;
use crate::eval::embed::labels_of;
use crate::loader::{Batch, LoaderOptions, load_views};
use crate::nn::{Encoder, Mode, NnError};
use crate::shard::ShardSet;

/// A linear layer, zero at the start, on the features `h` of a frozen encoder in evaluation mode.
pub struct LinearEvaluation {
    /// The frozen encoder.
    pub encoder: Encoder,
    /// `[classes, d]`.
    pub weight: Tensor,
    /// `[classes]`.
    pub bias: Tensor,
    /// Size and filter of the views.
    pub view: ViewSpec,
    /// Training images.
    pub train: Arc<ShardSet>,
    /// Held-out images, of the same classes.
    pub test: Arc<ShardSet>,
    /// Plans the test pass: one view of each image, in order.
    pub test_planner: Planner,
    /// Threads and memory of the test pass.
    pub loader: LoaderOptions,
    /// Where everything lives.
    pub device: Device,
}

impl LinearEvaluation {
    /// Names of the layer's tensors in checkpoints.
    pub const NAMES: [&str; 2] = ["linear.weight", "linear.bias"];

    /// A zero layer for `classes` classes of `width` features.
    pub fn zero_layer(classes: i64, width: i64, device: Device) -> (Tensor, Tensor) {
        let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, device)).set_requires_grad(true);
        (zeros(&[classes, width]), zeros(&[classes]))
    }

    /// Logits and classes of the images of `batch`, which are of `set`.
    fn logits(&self, batch: &Batch, set: &ShardSet) -> Result<(Tensor, Tensor), TrainError> {
        let labels = labels_of(batch.plan(), set)?;
        let h = tch::no_grad(|| self.encoder.features(&images(batch, self.view, self.device), Mode::Eval));
        Ok((h.linear(&self.weight, Some(&self.bias)), Tensor::from_slice(&labels).to_device(self.device)))
    }
}

impl Task for LinearEvaluation {
    fn forward(&self, batch: &Batch) -> Result<Forward, TrainError> {
        let (logits, labels) = self.logits(batch, &self.train)?;
        let loss = cross_entropy(&logits, &labels, Reduction::Mean);
        let accuracy = logits.argmax(1, false).eq_tensor(&labels).to_kind(Kind::Float).mean(Kind::Float);
        Ok(Forward { terms: vec![("head", loss.detach())], loss, accuracy, figures: Vec::new() })
    }

    fn accuracy_name(&self) -> &'static str {
        "train_acc"
    }

    /// Mean over all test images, the short last batch included.
    fn evaluate(&self, _features: bool) -> Result<Metrics, TrainError> {
        let _no_grad = tch::no_grad_guard();
        let steps = self.test_planner.steps_per_epoch();
        let (mut loss, mut right) = (0.0, 0.0);
        for batch in load_views(self.test.clone(), self.test_planner.clone(), self.loader, 0..steps)? {
            let (logits, labels) = self.logits(&batch?, &self.test)?;
            loss += cross_entropy(&logits, &labels, Reduction::Sum).double_value(&[]);
            right += logits.argmax(1, false).eq_tensor(&labels).sum(Kind::Double).double_value(&[]);
        }
        let images = self.test.len() as f64;
        Ok(vec![("test_loss".into(), loss / images), ("test_acc".into(), right / images)])
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        let tensors = [&self.weight, &self.bias];
        Self::NAMES.iter().zip(tensors).map(|(name, tensor)| (name.to_string(), tensor.detach())).collect()
    }

    fn load(&self, state: &HashMap<String, Tensor>) -> Result<(), NnError> {
        for (name, tensor) in Self::NAMES.iter().zip([&self.weight, &self.bias]) {
            let saved = state.get(*name).ok_or_else(|| NnError::Missing { name: name.to_string() })?;
            let (want, got) = (tensor.size(), saved.size());
            if want != got {
                return Err(NnError::Shape { name: name.to_string(), want, got });
            }
            tch::no_grad(|| tensor.shallow_clone().copy_(saved));
        }
        Ok(())
    }
}

fn cross_entropy(logits: &Tensor, labels: &Tensor, reduction: Reduction) -> Tensor {
    logits.cross_entropy_loss::<Tensor>(labels, None, reduction, -100, 0.0)
}
