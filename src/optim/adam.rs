//! Adam (Kingma and Ba, ICLR 2015) with PyTorch's defaults and L2 decay in the gradient.
//!
//! ```text
//! g := g + weight_decay * p
//! m := beta1 m + (1 - beta1) g          v := beta2 v + (1 - beta2) g^2
//! p := p - lr / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + eps)        t = 1, 2, ...
//! ```

use super::Live;
use super::sgd::decay;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPS: f64 = 1e-8;

/// Hyperparameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// L2 decay, added to the gradient.
    pub weight_decay: f64,
}

impl Adam {
    /// Update number `t`, from 1. All parameters share the count.
    pub(super) fn update(&self, live: &mut [Live<'_>], lr: f64, t: i64) {
        let correction = |beta: f64| 1.0 - beta.powf(t as f64);
        for one in live {
            decay(one, self.weight_decay);
            let _ = one.moments[0].lerp_(&one.gradient, 1.0 - BETA1);
            let _ = one.moments[1].lerp_(&one.gradient.square(), 1.0 - BETA2);
            let spread = (&one.moments[1] / correction(BETA2)).sqrt_() + EPS;
            let step = &one.moments[0] / spread * (lr / correction(BETA1));
            let _ = one.weight.g_sub_(&step);
        }
    }
}
