//! Batch normalisation (Ioffe and Szegedy, ICML 2015) with PyTorch's conventions.
//!
//! `y = weight * (x - mean) / sqrt(var + eps) + bias` for each channel, over rows and positions. Training normalises by the batch's mean
//! and *biased* variance and moves the running statistics a tenth of the way towards the batch's mean and *unbiased* variance.
//! - `shared`: in training, where several processes hold parts of the batch, the statistics are those of the whole batch.

mod shared;

use tch::Tensor;

use super::init::Law;
use super::weights::{Peers, Role, Weights};

const EPS: f64 = 1e-5;
/// Share of the batch in the new running statistics.
const MOMENTUM: f64 = 0.1;

/// Which statistics normalise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The batch's; running statistics are updated.
    Train,
    /// The running ones, left as they are.
    Eval,
}

#[derive(Debug)]
pub(super) struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    num_batches_tracked: Tensor,
    peers: Peers,
}

impl BatchNorm {
    /// Registers `{name}.{weight,bias,running_mean,running_var,num_batches_tracked}`; the bias takes part as `bias_role`.
    pub(super) fn new(weights: &mut Weights, name: &str, channels: i64, bias_role: Role) -> Self {
        let peers = weights.peers();
        let mut add =
            |part, role, value| weights.add(format!("{name}.{part}"), &[channels], role, Law::Constant(value));
        Self {
            weight: add("weight", Role::Parameter, 1.0),
            bias: add("bias", bias_role, 0.0),
            running_mean: add("running_mean", Role::Buffer, 0.0),
            running_var: add("running_var", Role::Buffer, 1.0),
            num_batches_tracked: weights.add_counter(format!("{name}.num_batches_tracked")),
            peers,
        }
    }

    /// `[rows, channels]` or `[rows, channels, height, width]`, same shape out. Where the network is synchronised, training is an
    /// operation of all ranks, and so is its backward pass.
    pub(super) fn forward(&self, x: &Tensor, mode: Mode) -> Tensor {
        let train = mode == Mode::Train;
        if train {
            let _ = self.num_batches_tracked.shallow_clone().g_add_scalar_(1);
            if let Some(comm) = self.peers.get().filter(|comm| comm.world().size() > 1) {
                return shared::forward(self, x, comm);
            }
        }
        let (weight, bias) = (Some(&self.weight), Some(&self.bias));
        x.batch_norm(weight, bias, Some(&self.running_mean), Some(&self.running_var), train, MOMENTUM, EPS, true)
    }
}
