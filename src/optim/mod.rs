//! Updates: gradients and a learning rate to new parameters.
//!
//! - [`sgd`], [`adam`], [`lars`]: one rule a file, formula first. [`schedule`]: the learning rate of an update.
//! - `clip`: gradients of limited length. `scale`: the loss scaling of float16.
//! - [`Optimizer`]: a rule over named parameters; its state goes out and comes back by name.
//!
//! Not here: networks (`nn`), files (`train`). Nothing here waits for the device, but `scale`.

#![forbid(unsafe_code)]

pub mod adam;
mod clip;
pub mod lars;
mod scale;
pub mod schedule;
pub mod sgd;

use std::collections::HashMap;

use tch::{Kind, Tensor, no_grad};

use scale::LossScale;

pub use adam::Adam;
pub use lars::Lars;
pub use schedule::Schedule;
pub use sgd::Sgd;

/// Name of the number of updates in a state.
const STEP: &str = "step";
/// Name of the loss scaling in a state.
const LOSS_SCALE: &str = "loss_scale";

/// What can be wrong about a saved state.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptimError {
    /// A tensor is not there.
    #[error("the optimizer state lacks `{name}`; it was saved by another optimizer or for another architecture")]
    Missing {
        /// Its name.
        name: String,
    },
    /// A tensor belongs to nothing here.
    #[error(
        "the optimizer state holds `{name}`, which is unknown here; it was saved by another optimizer or architecture"
    )]
    Unexpected {
        /// Its name.
        name: String,
    },
    /// A tensor has another shape.
    #[error("`{name}` has shape {got:?} in the optimizer state, {want:?} here; it was saved for another architecture")]
    Shape {
        /// Its name.
        name: String,
        /// Shape here.
        want: Vec<i64>,
        /// Shape in the state.
        got: Vec<i64>,
    },
}

/// How gradients become updates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// `sgd`.
    Sgd(Sgd),
    /// `adam`.
    Adam(Adam),
    /// `lars`.
    Lars(Lars),
}

impl Rule {
    /// What is remembered of each parameter, by PyTorch's names.
    const fn moments(&self) -> &'static [&'static str] {
        match self {
            Rule::Sgd(_) | Rule::Lars(_) => &["momentum_buffer"],
            Rule::Adam(_) => &["exp_avg", "exp_avg_sq"],
        }
    }
}

/// A rule over the parameters of one network.
#[derive(Debug)]
pub struct Optimizer {
    rule: Rule,
    slots: Vec<Slot>,
    steps: i64,
    most_norm: Option<f64>,
    loss_scale: Option<LossScale>,
}

#[derive(Debug)]
struct Slot {
    name: String,
    weight: Tensor,
    moments: Vec<Tensor>,
    adapted: bool,
    decayed: bool,
}

/// A parameter that has a gradient, during one update.
struct Live<'a> {
    weight: &'a mut Tensor,
    gradient: Tensor,
    moments: &'a mut [Tensor],
    adapted: bool,
    decayed: bool,
}

impl Live<'_> {
    /// A number beside the parameter, filled on its device.
    fn scalar(&self, value: f64) -> Tensor {
        Tensor::full([], value, (self.weight.kind(), self.weight.device()))
    }
}

impl Optimizer {
    /// An optimizer over `parameters` (name and tensor, shared with the network), all moments zero.
    pub fn new(rule: Rule, parameters: Vec<(String, Tensor)>) -> Self {
        let slot = |(name, weight): (String, Tensor)| {
            let moments = rule.moments().iter().map(|_| weight.detach().zeros_like()).collect();
            let adapted = matches!(rule, Rule::Lars(lars) if !lars.excludes(&name, &weight));
            Slot { name, weight, moments, adapted, decayed: true }
        };
        let slots = parameters.into_iter().map(slot).collect();
        Self { rule, slots, steps: 0, most_norm: None, loss_scale: None }
    }

    /// Leaves every parameter of one dimension, norms and biases, out of decay and of LARS's adaptation, whatever the rule (BYOL).
    pub fn excluding_vectors(mut self) -> Self {
        for slot in self.slots.iter_mut().filter(|slot| slot.weight.dim() < 2) {
            (slot.adapted, slot.decayed) = (false, false);
        }
        self
    }

    /// What it updates, by name: tensors shared with the network.
    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        self.slots.iter().map(|slot| (slot.name.clone(), slot.weight.shallow_clone())).collect()
    }

    /// Names of the parameters that LARS decays and adapts.
    pub fn adapted(&self) -> impl Iterator<Item = &str> {
        self.slots.iter().filter(|slot| slot.adapted).map(|slot| slot.name.as_str())
    }

    /// Clips the norm of all gradients together to at most `most_norm` before each update.
    pub fn clipped(self, most_norm: Option<f64>) -> Self {
        Self { most_norm, ..self }
    }

    /// Scales losses against the underflow of float16.
    pub fn scaled(self) -> Self {
        Self { loss_scale: Some(LossScale::new()), ..self }
    }

    /// `loss` as backward needs it.
    pub fn scale(&self, loss: &Tensor) -> Tensor {
        self.loss_scale.map_or_else(|| loss.shallow_clone(), |loss_scale| loss * loss_scale.scale)
    }

    /// Zeroes every gradient; what follows until [`step`](Self::step) is summed.
    pub fn zero_grad(&mut self) {
        for slot in &mut self.slots {
            slot.weight.zero_grad();
        }
    }

    /// Updates every parameter that has a gradient. Gradients are used up: they hold other values afterwards. Where losses are scaled and a
    /// gradient is no number, nothing is updated.
    pub fn step(&mut self, lr: f64) {
        let live = self.slots.iter_mut().filter_map(|slot| {
            let gradient = slot.weight.grad();
            let Slot { weight, moments, adapted, decayed, .. } = slot;
            gradient.defined().then_some(Live { weight, gradient, moments, adapted: *adapted, decayed: *decayed })
        });
        let mut live: Vec<_> = live.collect();
        no_grad(|| {
            if let Some(loss_scale) = &mut self.loss_scale
                && !loss_scale.unscale(&mut live)
            {
                return;
            }
            self.steps += 1;
            if let Some(most_norm) = self.most_norm {
                clip::clip(&mut live, most_norm);
            }
            match self.rule {
                Rule::Sgd(sgd) => sgd.update(&mut live, lr),
                Rule::Adam(adam) => adam.update(&mut live, lr, self.steps),
                Rule::Lars(lars) => lars.update(&mut live, lr),
            }
        });
    }

    /// Everything the next update depends on besides parameters and gradients: `step`, `<moment>/<parameter>`, and with scaled losses
    /// `loss_scale`.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        let moments = self.slots.iter().flat_map(|slot| {
            let named = self.rule.moments().iter().zip(&slot.moments);
            named.map(|(moment, tensor)| (key(moment, &slot.name), tensor.shallow_clone()))
        });
        let loss_scale = self.loss_scale.map(|loss_scale| (LOSS_SCALE.to_owned(), loss_scale.state()));
        [(STEP.to_owned(), Tensor::from(self.steps))].into_iter().chain(loss_scale).chain(moments).collect()
    }

    /// Goes on from a [`state`](Self::state).
    ///
    /// # Errors
    /// Where a tensor is missing, unknown or of another shape. Nothing is changed then.
    pub fn load_state(&mut self, state: &HashMap<String, Tensor>) -> Result<(), OptimError> {
        let own: HashMap<_, _> = self.state().into_iter().collect();
        if let Some(name) = state.keys().filter(|name| !own.contains_key(*name)).min() {
            return Err(OptimError::Unexpected { name: name.clone() });
        }
        for (name, tensor) in self.state() {
            let saved = state.get(&name).ok_or_else(|| OptimError::Missing { name: name.clone() })?;
            let (want, got) = (tensor.size(), saved.size());
            if want != got {
                return Err(OptimError::Shape { name, want, got });
            }
        }
        for (name, mut tensor) in self.state().into_iter().filter(|(name, _)| name != STEP) {
            no_grad(|| tensor.copy_(&state[&name]));
        }
        if let Some(loss_scale) = &mut self.loss_scale {
            *loss_scale = LossScale::from_state(&state[LOSS_SCALE]);
        }
        self.steps = state[STEP].to_kind(Kind::Int64).int64_value(&[]);
        Ok(())
    }
}

fn key(moment: &str, parameter: &str) -> String {
    format!("{moment}/{parameter}")
}
