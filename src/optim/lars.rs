//! LARS (You et al., 2017) around SGD with momentum, as published.
//!
//! ```text
//! adapted parameters only:   g := g + weight_decay * p
//!                            g := trust * |p| / |g| * g          where |p| and |g| are not 0; no epsilon, no clipping
//! every parameter:           buf := momentum * buf + g,  p := p - lr * buf
//! ```
//! Left out of decay and adaptation: parameters whose *name* contains `bn` or `bias`. This catches every norm and bias but torchvision's
//! `downsample.1.weight`, a norm's scale without `bn` in its name: it IS decayed and adapted, for parity. [`Lars::exclude_all_bn`] leaves it
//! out too.

use tch::Tensor;

use super::Live;
use super::sgd::{decay, heavy_ball};

/// Hyperparameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lars {
    /// Share of the buffer that is kept.
    pub momentum: f64,
    /// L2 decay of adapted parameters.
    pub weight_decay: f64,
    /// Ratio of an update's norm to its parameter's, before lr.
    pub trust: f64,
    /// Leave out every parameter of one dimension, whatever its name.
    pub exclude_all_bn: bool,
}

impl Lars {
    /// Published values: momentum 0.9, trust 0.001, exclusion by name.
    pub const fn published(weight_decay: f64) -> Self {
        Self { momentum: 0.9, weight_decay, trust: 0.001, exclude_all_bn: false }
    }

    /// Whether a parameter is neither decayed nor adapted.
    pub fn excludes(&self, name: &str, weight: &Tensor) -> bool {
        name.contains("bn") || name.contains("bias") || (self.exclude_all_bn && weight.dim() < 2)
    }

    pub(super) fn update(&self, live: &mut [Live<'_>], lr: f64) {
        for one in live.iter_mut().filter(|one| one.adapted) {
            decay(one, self.weight_decay);
        }
        let mut ratios = self.ratios(live).into_iter();
        for one in live {
            let ratio = if one.adapted { ratios.next() } else { None };
            heavy_ball(one, self.momentum, ratio.as_ref(), lr);
        }
    }

    /// One scalar tensor for each adapted parameter; computed together, so that the host never waits for a norm.
    fn ratios(&self, live: &[Live<'_>]) -> Vec<Tensor> {
        let (of_weights, of_gradients): (Vec<_>, Vec<_>) =
            live.iter().filter(|one| one.adapted).map(|one| (one.weight.norm(), one.gradient.norm())).unzip();
        if of_weights.is_empty() {
            return Vec::new();
        }
        let (of_weights, of_gradients) = (Tensor::stack(&of_weights, 0), Tensor::stack(&of_gradients, 0));
        let defined = of_weights.ne(0).logical_and(&of_gradients.ne(0));
        let ratios = &of_weights * self.trust / &of_gradients;
        ratios.where_self(&defined, &of_weights.ones_like()).unbind(0)
    }
}
