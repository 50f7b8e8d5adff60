//! SGD with momentum and L2 decay, PyTorch's conventions: no Nesterov, no dampening.
//!
//! ```text
//! g   := g + weight_decay * p
//! buf := momentum * buf + g
//! p   := p - lr * buf
//! ```

use tch::Tensor;

use super::Live;

/// Hyperparameters; every parameter is decayed, norms and biases too, as published.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Share of the buffer that is kept.
    pub momentum: f64,
    /// L2 decay, added to the gradient.
    pub weight_decay: f64,
}

impl Sgd {
    pub(super) fn update(&self, live: &mut [Live<'_>], lr: f64) {
        for one in live {
            decay(one, self.weight_decay);
            heavy_ball(one, self.momentum, None, lr);
        }
    }
}

/// `g := g + weight_decay * p`, in place.
pub(super) fn decay(one: &mut Live<'_>, weight_decay: f64) {
    if weight_decay != 0.0 && one.decayed {
        let _ = one.gradient.addcmul_(one.weight, &one.scalar(weight_decay));
    }
}

/// `buf := momentum * buf + ratio * g`, then `p := p - lr * buf`; `ratio` is a scalar tensor, 1 where there is none.
///
/// A buffer that starts at zero gives PyTorch's first step, `buf = g`.
pub(super) fn heavy_ball(one: &mut Live<'_>, momentum: f64, ratio: Option<&Tensor>, lr: f64) {
    let minus_lr = one.scalar(-lr);
    let buffer = &mut one.moments[0];
    let _ = buffer.g_mul_scalar_(momentum);
    let _ = match ratio {
        Some(ratio) => buffer.addcmul_(&one.gradient, ratio),
        None => buffer.g_add_(&one.gradient),
    };
    let _ = one.weight.addcmul_(buffer, &minus_lr);
}
