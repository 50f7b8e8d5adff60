//! A linear probe on frozen embeddings: multinomial logistic regression.
//!
//! Features are standardised with the training set's mean and deviation, so that encoders (and raw pixels) whose features differ in
//! scale meet the same optimizer. Adam, linear decay to zero, a shuffled pass an epoch.

use tch::{Kind, Reduction, Tensor};

use super::embed::Embedding;
use super::shares::{Counter, Shares};
use crate::episode::{Order, sampler::Sampler};
use crate::optim::schedule::Shape;
use crate::optim::{Adam, Optimizer, Rule, Schedule};

/// How the probe is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinearProbe {
    /// Passes over the training embeddings.
    pub epochs: u32,
    /// Rows of an update.
    pub batch: u64,
    /// Learning rate at the start.
    pub lr: f64,
    /// L2 decay, in the gradient.
    pub weight_decay: f64,
    /// Seed of the order.
    pub seed: u64,
}

impl Default for LinearProbe {
    fn default() -> Self {
        Self { epochs: 60, batch: 256, lr: 1e-2, weight_decay: 1e-4, seed: 0 }
    }
}

/// Shares of `test` that a probe trained on `train` gets right.
pub fn linear_probe(train: &Embedding, test: &Embedding, classes: i64, probe: LinearProbe) -> Shares {
    let (mean, deviation) = {
        let _no_grad = tch::no_grad_guard();
        let mean = train.features.mean_dim([0i64].as_slice(), true, Kind::Float);
        (mean, train.features.std_dim([0i64].as_slice(), false, true).clamp_min(1e-6))
    };
    let standardise = |features: &Tensor| (features - &mean) / &deviation;
    let (x, y) = (standardise(&train.features), &train.labels);
    let (rows, width) = (x.size()[0] as u64, x.size()[1]);

    let order = Order::Shuffled { seed: probe.seed };
    let sampler =
        Sampler::new(rows, probe.batch.min(rows), order).expect("a batch is at most the rows, of which there are some");
    let steps = u64::from(probe.epochs) * sampler.batches_per_epoch();
    let options = (Kind::Float, x.device());
    let weight = Tensor::zeros([classes, width], options).set_requires_grad(true);
    let bias = Tensor::zeros([classes], options).set_requires_grad(true);
    let parameters = [("weight", &weight), ("bias", &bias)];
    let parameters = parameters.map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()));
    let rule = Rule::Adam(Adam { weight_decay: probe.weight_decay });
    let mut adam = Optimizer::new(rule, parameters.into());
    let schedule = Schedule { shape: Shape::Linear, base_lr: probe.lr, iters: steps, warmup: 0.0 };

    for step in 0..steps {
        let index: Vec<i64> = sampler.step(step).samples.into_iter().map(i64::from).collect();
        let index = Tensor::from_slice(&index).to_device(x.device());

        let logits = x.index_select(0, &index).linear(&weight, Some(&bias));
        let loss = logits.cross_entropy_loss::<Tensor>(&y.index_select(0, &index), None, Reduction::Mean, -100, 0.0);
        adam.zero_grad();
        loss.backward();
        adam.step(schedule.lr(step));
    }

    let _no_grad = tch::no_grad_guard();
    let mut counter = Counter::default();
    counter.count(&standardise(&test.features).linear(&weight, Some(&bias)), &test.labels);
    counter.shares()
}
