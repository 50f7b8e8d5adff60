//! Every tensor of a network under its published name.
//!
//! Names and order are those of a PyTorch `state_dict` of the published encoder, so that its checkpoints and torchvision's pass both ways.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use tch::{Device, Kind, Tensor, no_grad};

use super::NnError;
use super::init::{InitStyle, Law};
use crate::dist::Comm;
use crate::rng::{Purpose, Stream};

/// The ranks that hold the other parts of a training batch, where there are any; one place for all norms of a network, set once.
pub(super) type Peers = Arc<OnceLock<Arc<dyn Comm>>>;

/// What a tensor is to training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Trained.
    Parameter,
    /// Trainable by the published code but outside every loss: torchvision's classifier `convnet.fc`. Kept for its name, never updated.
    Unused,
    /// A parameter that never gets a gradient: the bias of the last batch norm.
    Frozen,
    /// Running statistics and their count.
    Buffer,
}

/// One named tensor.
#[derive(Debug)]
pub struct Weight {
    /// Name in the state, for instance `convnet.layer1.0.bn1.running_mean`.
    pub name: String,
    /// The tensor itself, shared with the layer that uses it.
    pub tensor: Tensor,
    /// Its part in training.
    pub role: Role,
    law: Law,
}

/// The tensors of one network, in `state_dict` order.
#[derive(Debug)]
pub struct Weights {
    all: Vec<Weight>,
    kind: Kind,
    device: Device,
    peers: Peers,
}

impl Weights {
    pub(super) fn new(kind: Kind, device: Device) -> Self {
        Self { all: Vec::new(), kind, device, peers: Peers::default() }
    }

    /// No tensors yet, for another network of the same kind of number, device and peers.
    pub(super) fn none(&self) -> Self {
        Self { peers: self.peers(), ..Self::new(self.kind, self.device) }
    }

    /// The place of the peers, now or later.
    pub(super) fn peers(&self) -> Peers {
        Arc::clone(&self.peers)
    }

    /// Kind of the floating-point tensors, and where they live.
    pub(super) fn options(&self) -> (Kind, Device) {
        (self.kind, self.device)
    }

    /// Takes over the values of a network of the same form.
    pub(super) fn copy_from(&self, other: &Self) {
        no_grad(|| {
            for (own, other) in self.all.iter().zip(&other.all) {
                own.tensor.shallow_clone().copy_(&other.tensor);
            }
        });
    }

    /// Makes a floating-point tensor; constants are in place at once, the rest is zero until [`initialise`](Self::initialise).
    pub(super) fn add(&mut self, name: String, shape: &[i64], role: Role, law: Law) -> Tensor {
        let value = if let Law::Constant(value) = law { value } else { 0.0 };
        let tensor = Tensor::full(shape, value, (self.kind, self.device));
        let tensor = tensor.set_requires_grad(matches!(role, Role::Parameter | Role::Unused));
        self.push(name, tensor, role, law)
    }

    /// Lays the weights of convolutions out with their channels innermost, or one after the other; values stay.
    pub(super) fn lay_out(&self, innermost: bool) {
        no_grad(|| {
            for weight in self.all.iter().filter(|weight| weight.tensor.dim() == 4) {
                let values = weight.tensor.detach();
                let laid = if innermost { channels_last(&values) } else { values.contiguous() };
                // The same tensor to layers, optimizers and gradients, over other memory.
                weight.tensor.shallow_clone().set_data(&laid);
            }
        });
    }

    /// Makes an int64 scalar that counts from zero.
    pub(super) fn add_counter(&mut self, name: String) -> Tensor {
        let tensor = Tensor::zeros([], (Kind::Int64, self.device));
        self.push(name, tensor, Role::Buffer, Law::Constant(0.0))
    }

    fn push(&mut self, name: String, tensor: Tensor, role: Role, law: Law) -> Tensor {
        let shared = tensor.shallow_clone();
        self.all.push(Weight { name, tensor, role, law });
        shared
    }

    /// Draws every initial value: a function of (`seed`, `style`, the tensor's name, the element's index), the same on every device.
    pub fn initialise(&self, seed: u64, style: InitStyle) {
        let stream = Stream::new(seed, Purpose::Init);
        for weight in &self.all {
            let values = weight.law.draw(style, &weight.tensor.size(), stream, &weight.name);
            let values = Tensor::from_slice(&values).reshape(weight.tensor.size());
            no_grad(|| weight.tensor.shallow_clone().copy_(&values));
        }
    }

    /// All tensors, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Weight> {
        self.all.iter()
    }

    /// The tensors that training updates, by name and in order: what an optimizer is made of.
    pub fn trained(&self) -> Vec<(String, Tensor)> {
        let trained = self.all.iter().filter(|weight| weight.role == Role::Parameter);
        trained.map(|weight| (weight.name.clone(), weight.tensor.shallow_clone())).collect()
    }

    /// Every tensor by name and in order, ready to be written; shares memory with the network.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        self.all.iter().map(|weight| (weight.name.clone(), weight.tensor.detach())).collect()
    }

    /// Takes over a whole state; precision and device may differ.
    ///
    /// # Errors
    /// Where a tensor is missing, unknown, or of another shape or kind: the state of another architecture. Nothing is changed then.
    pub fn load(&self, state: &HashMap<String, Tensor>) -> Result<(), NnError> {
        let known: HashSet<_> = self.all.iter().map(|weight| weight.name.as_str()).collect();
        // The least of several, so that the message does not depend on the map's order.
        if let Some(name) = state.keys().filter(|name| !known.contains(name.as_str())).min() {
            return Err(NnError::Unexpected { name: name.clone() });
        }
        let sources = self.all.iter().map(|weight| weight.accept(state)).collect::<Result<Vec<_>, _>>()?;
        for (weight, source) in self.all.iter().zip(sources) {
            no_grad(|| weight.tensor.shallow_clone().copy_(source));
        }
        Ok(())
    }
}

impl Weight {
    fn accept<'a>(&self, state: &'a HashMap<String, Tensor>) -> Result<&'a Tensor, NnError> {
        let name = || self.name.clone();
        let source = state.get(&self.name).ok_or_else(|| NnError::Missing { name: name() })?;
        let (want, got) = (self.tensor.size(), source.size());
        if want != got {
            return Err(NnError::Shape { name: name(), want, got });
        }
        let (want, got) = (numbers(&self.tensor), numbers(source));
        if want != got {
            return Err(NnError::Kind { name: name(), want, got });
        }
        Ok(source)
    }
}

/// The same `[_, channels, height, width]` with the channels innermost in memory; no copy where they are.
pub(super) fn channels_last(tensor: &Tensor) -> Tensor {
    tensor.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

fn numbers(tensor: &Tensor) -> &'static str {
    if tensor.is_floating_point() { "floats" } else { "integers" }
}
