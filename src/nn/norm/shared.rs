//! Batch norm over the rows of all ranks, with gradients through the shared statistics (the published code's `SyncBatchNorm`).
//!
//! ```text
//! forward     every rank's mean, variance and count, gathered in f64 (2 channels + 1 numbers a rank); from them, on every rank alike
//!             mean = sum n_r mean_r / n,  var = sum n_r (var_r + (mean_r - mean)^2) / n
//!             y = weight * u + bias,  u = (x - mean) / sqrt(var + eps)
//! backward    g = slope towards y; b = sum g, w = sum g u over this rank: its part of the slopes towards bias and weight
//!             B, W = their sums over all ranks (2 channels numbers a rank)
//!             slope towards x = weight / sqrt(var + eps) * (g - (B + u W) / n)
//! ```
//! A failure of the ranks' talk stays with the communicator and ends the run before the update; here this rank's own values are taken on.

use std::sync::Arc;

use tch::{Kind, Tensor, no_grad};

use super::{BatchNorm, EPS, MOMENTUM};
use crate::dist::{Comm, Reduce, autograd};

/// What normalises: `[channels]` of the weights' kind, and over how many values of each channel, f64 scalar. No gradients.
struct Statistics {
    mean: Tensor,
    var: Tensor,
    count: Tensor,
}

/// Training's forward pass; the running statistics follow.
pub(super) fn forward(norm: &BatchNorm, x: &Tensor, comm: &Arc<dyn Comm>) -> Tensor {
    let (statistics, y) = no_grad(|| {
        let statistics = Statistics::of(norm, x, comm.as_ref());
        statistics.follow(norm);
        let (weight, bias) = (Some(&norm.weight), Some(&norm.bias));
        let Statistics { mean, var, .. } = &statistics;
        let y = x.batch_norm(weight, bias, Some(mean), Some(var), false, 0.0, EPS, true);
        (statistics, y)
    });
    let (saved, weight, comm) = (x.detach(), norm.weight.detach(), Arc::clone(comm));
    let slopes = move |slope: &Tensor| statistics.slopes(slope, &saved, &weight, comm.as_ref()).map(Some).into();
    autograd::attach(y, &[x, &norm.weight, &norm.bias], slopes)
}

impl Statistics {
    /// Those of all ranks' `x`.
    fn of(norm: &BatchNorm, x: &Tensor, comm: &dyn Comm) -> Self {
        let channels = x.size()[1];
        // Scratch running statistics have the call compute in the weights' kind where `x` is of a smaller one.
        let [scratch_mean, scratch_var] = [norm.running_mean.zeros_like(), norm.running_var.zeros_like()];
        // A rank may have no rows, which have no mean.
        let (mean, var) = match x.numel() {
            0 => (scratch_mean, scratch_var),
            _ => x.batch_norm_update_stats(Some(&scratch_mean), Some(&scratch_var), 0.0),
        };
        let count = Tensor::full([1], x.numel() as f64 / channels as f64, (Kind::Double, x.device()));
        let own = Tensor::cat(&[mean.to_kind(Kind::Double), var.to_kind(Kind::Double), count], 0);

        let all = comm.all_gather(&own).unwrap_or_else(|_| own.unsqueeze(0));
        let (means, vars) = (all.narrow(1, 0, channels), all.narrow(1, channels, channels));
        let counts = all.narrow(1, 2 * channels, 1);
        let count = counts.sum(Kind::Double);
        let over_ranks =
            |values: &Tensor| (values * &counts).sum_dim_intlist([0].as_slice(), false, Kind::Double) / &count;
        let mean = over_ranks(&means);
        let var = over_ranks(&(vars + (means - &mean).square()));
        let kind = norm.weight.kind();
        Self { mean: mean.to_kind(kind), var: var.to_kind(kind), count }
    }

    /// Moves the running statistics towards these, with the unbiased variance.
    fn follow(&self, norm: &BatchNorm) {
        let unbiased = &self.var * (&self.count / (&self.count - 1.0)).to_kind(self.var.kind());
        for (running, batch) in [(&norm.running_mean, &self.mean), (&norm.running_var, &unbiased)] {
            let mut running = running.shallow_clone();
            let _ = running.lerp_(batch, MOMENTUM);
        }
    }

    /// Slopes towards `x`, weight and bias: the first of the loss of all ranks, the others this rank's summands.
    fn slopes(&self, slope: &Tensor, x: &Tensor, weight: &Tensor, comm: &dyn Comm) -> [Tensor; 3] {
        let Self { mean, var, count } = self;
        let [mut of_x, of_weight, of_bias] = autograd::norm_slopes(slope, x, weight, mean, var, EPS);
        let mut sums = Tensor::stack(&[&of_bias, &of_weight], 0);
        // A failure stays with the communicator.
        let _ = comm.all_reduce(&mut sums, Reduce::Sum);
        // weight s (B + u W) / n, with s = 1 / sqrt(var + eps) and u = s (x - mean); centred first, which loses fewer digits.
        let invstd = (var + EPS).rsqrt();
        let scale = weight * &invstd / count.to_kind(weight.kind());
        let (constant, factor) = (&scale * sums.get(0), &scale * &invstd * sums.get(1));
        let shape = channelwise(x);
        let [constant, factor, mean] =
            [&constant, &factor, mean].map(|values| values.to_kind(x.kind()).reshape(&shape));
        let shared = (x - mean).multiply_(&factor).g_add_(&constant);
        [of_x.subtract_(&shared), of_weight, of_bias]
    }
}

/// The shape in which `[channels]` meets `x`.
fn channelwise(x: &Tensor) -> Vec<i64> {
    (0..x.dim()).map(|axis| if axis == 1 { -1 } else { 1 }).collect()
}
