//! A linear probe on frozen embeddings: multinomial logistic regression.
//!
//! Features are standardised with the training set's mean and deviation, so that encoders (and raw pixels) whose features differ in
//! scale meet the same optimizer. Adam, linear decay to zero, a shuffled pass an epoch.

use tch::{Kind, Reduction, Tensor};

use super::embed::Embedding;
use crate::optim::schedule::Shape;
use crate::optim::{Adam, Optimizer, Rule, Schedule};
use crate::rng::{Permutation, Purpose, Stream};

/// How the probe is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinearProbe {
    /// Passes over the training embeddings.
    pub epochs: u32,
    /// Rows of an update.
    pub batch: i64,
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

/// Share of `test` that a probe trained on `train` gets right, a fraction.
pub fn linear_top1(train: &Embedding, test: &Embedding, classes: i64, probe: LinearProbe) -> f64 {
    let (mean, deviation) = {
        let _no_grad = tch::no_grad_guard();
        let mean = train.features.mean_dim([0i64].as_slice(), true, Kind::Float);
        (mean, train.features.std_dim([0i64].as_slice(), false, true).clamp_min(1e-6))
    };
    let standardise = |features: &Tensor| (features - &mean) / &deviation;
    let (x, y) = (standardise(&train.features), &train.labels);
    let (rows, width) = (x.size()[0], x.size()[1]);

    let steps_per_epoch = (rows / probe.batch).max(1);
    let steps = i64::from(probe.epochs) * steps_per_epoch;
    let options = (Kind::Float, x.device());
    let weight = Tensor::zeros([classes, width], options).set_requires_grad(true);
    let bias = Tensor::zeros([classes], options).set_requires_grad(true);
    let parameters = [("weight", &weight), ("bias", &bias)];
    let parameters = parameters.map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()));
    let rule = Rule::Adam(Adam { weight_decay: probe.weight_decay });
    let mut adam = Optimizer::new(rule, parameters.into());
    let schedule = Schedule { shape: Shape::Linear, base_lr: probe.lr, iters: steps as u64, warmup: 0.0 };

    for step in 0..steps {
        let epoch = (step / steps_per_epoch) as u32;
        let order = Permutation::new(rows as u64, Stream::new(probe.seed, Purpose::Order).key(), epoch);
        let first = step % steps_per_epoch * probe.batch;
        let places = first..(first + probe.batch).min(rows);
        let index: Vec<i64> = places.map(|place| order.at(place as u64) as i64).collect();
        let index = Tensor::from_slice(&index).to_device(x.device());

        let logits = x.index_select(0, &index).linear(&weight, Some(&bias));
        let loss = logits.cross_entropy_loss::<Tensor>(&y.index_select(0, &index), None, Reduction::Mean, -100, 0.0);
        adam.zero_grad();
        loss.backward();
        adam.step(schedule.lr(step as u64));
    }

    let _no_grad = tch::no_grad_guard();
    let answer = standardise(&test.features).linear(&weight, Some(&bias)).argmax(1, false);
    answer.eq_tensor(&test.labels).to_kind(Kind::Double).mean(Kind::Double).double_value(&[])
}
