//! Scaling of the loss, so that the small gradients of float16 do not vanish (Micikevicius et al., ICLR 2018); PyTorch's `GradScaler`.
//!
//! The loss is multiplied by a scale before backward, the gradients divided by it before the update. Where one is no number the update is left
//! out and the scale halved; after 2000 updates in a row it doubles. Whether all are numbers decides what the host does next: with scaling,
//! and only then, an update waits for the device.

use tch::{Kind, Tensor};

use super::Live;

const START: f64 = 65536.0;
const GROWTH: f64 = 2.0;
const BACKOFF: f64 = 0.5;
const GOOD_UPDATES: i64 = 2000;

/// The scale, and updates since it changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LossScale {
    pub(super) scale: f64,
    good: i64,
}

impl LossScale {
    pub(super) const fn new() -> Self {
        Self { scale: START, good: 0 }
    }

    /// Divides every gradient by the scale, adjusts it, and says whether the update may be made.
    pub(super) fn unscale(&mut self, live: &mut [Live<'_>]) -> bool {
        let Some(first) = live.first() else { return true };
        let on_device = |value: f64| Tensor::full([1], value, (Kind::Float, first.weight.device()));
        let (mut found, inverse) = (on_device(0.0), on_device(self.scale.recip()));
        for one in live {
            one.gradient.internal_amp_non_finite_check_and_unscale(&mut found, &inverse);
        }
        let finite = found.double_value(&[0]) == 0.0;
        self.adjust(finite);
        finite
    }

    fn adjust(&mut self, finite: bool) {
        if !finite {
            *self = Self { scale: self.scale * BACKOFF, good: 0 };
            return;
        }
        self.good += 1;
        if self.good == GOOD_UPDATES {
            *self = Self { scale: self.scale * GROWTH, good: 0 };
        }
    }

    /// As a tensor of a checkpoint: `[scale, updates since it changed]`.
    pub(super) fn state(self) -> Tensor {
        Tensor::from_slice(&[self.scale, self.good as f64])
    }

    /// From a [`state`](Self::state).
    pub(super) fn from_state(state: &Tensor) -> Self {
        Self { scale: state.double_value(&[0]), good: state.double_value(&[1]) as i64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_at_once_and_doubles_after_many_updates() {
        let mut scale = LossScale::new();
        scale.adjust(false);
        assert_eq!(scale, LossScale { scale: START / 2.0, good: 0 });
        (0..GOOD_UPDATES - 1).for_each(|_| scale.adjust(true));
        assert_eq!(scale, LossScale { scale: START / 2.0, good: GOOD_UPDATES - 1 });
        assert_eq!(LossScale::from_state(&scale.state()), scale);
        scale.adjust(true);
        assert_eq!(scale, LossScale { scale: START, good: 0 });
    }
}
