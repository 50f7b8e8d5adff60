//! Clipping by the norm of all gradients together (Pascanu et al., ICML 2013), PyTorch's `clip_grad_norm_`.
//!
//! `g := g * min(1, most / (|all g| + 1e-6))`

use tch::Tensor;

use super::Live;

const EPS: f64 = 1e-6;

/// Shortens all gradients by one factor so that their joint norm is at most `most`. The factor stays on the device.
pub(super) fn clip(live: &mut [Live<'_>], most: f64) {
    let norms: Vec<_> = live.iter().map(|one| one.gradient.norm()).collect();
    if norms.is_empty() {
        return;
    }
    let factor = ((Tensor::stack(&norms, 0).norm() + EPS).reciprocal() * most).clamp_max(1.0);
    for one in live {
        let _ = one.gradient.g_mul_(&factor);
    }
}
