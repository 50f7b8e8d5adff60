//! Learning rate of an update in closed form, as published; never by recursion, so a resumed run meets the same rates.
//!
//! `e` counts micro-batches from 0 (`it - 1`); `w = int(warmup * iters)`.
//!
//! | schedule | rate at `e` |
//! | --- | --- |
//! | `warmup-anneal` | `e <= w`: `lr (e + 1) / (w + 1)`; then `lr / 2 (1 + cos(pi (e - w) / (iters - w)))` |
//! | `linear` | `lr max(0, 1 - e / iters)`, no warm-up |
//! | `const` | `lr` |
//! | `step` | warm-up as above, then `lr`, times 0.2 from `int(0.95 iters)` and again from `int(0.975 iters)`; a milestone within the warm-up never counts |

use std::f64::consts::PI;
use std::str::FromStr;

/// Shape of the rate over a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `warmup-anneal`.
    WarmupAnneal,
    /// `linear`.
    Linear,
    /// `const`.
    Const,
    /// `step`.
    Step,
}

impl FromStr for Shape {
    type Err = UnknownShape;

    fn from_str(name: &str) -> Result<Self, UnknownShape> {
        match name {
            "warmup-anneal" => Ok(Self::WarmupAnneal),
            "linear" => Ok(Self::Linear),
            "const" => Ok(Self::Const),
            "step" => Ok(Self::Step),
            other => Err(UnknownShape(other.to_owned())),
        }
    }
}

/// No schedule has this name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("lr_schedule `{0}` is unknown; use warmup-anneal, linear, const or step")]
pub struct UnknownShape(pub String);

/// A run's learning rates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Their shape.
    pub shape: Shape,
    /// The full rate.
    pub base_lr: f64,
    /// Micro-batches of the whole run.
    pub iters: u64,
    /// Share of them that warms up, 0..=1.
    pub warmup: f64,
}

impl Schedule {
    /// Rate of micro-batch `e`, counted from 0.
    pub fn lr(&self, e: u64) -> f64 {
        let iters = self.iters as f64;
        let warm = (self.warmup * iters) as u64;
        let warming = || (e + 1) as f64 / (warm + 1) as f64;
        let factor = match self.shape {
            Shape::Const => 1.0,
            Shape::Linear => (1.0 - e as f64 / iters.max(1.0)).max(0.0),
            Shape::WarmupAnneal | Shape::Step if e <= warm => warming(),
            Shape::WarmupAnneal if e >= self.iters => 0.0,
            Shape::WarmupAnneal => 0.5 * (1.0 + (PI * (e - warm) as f64 / (self.iters - warm) as f64).cos()),
            Shape::Step => {
                let milestones = [0.95, 0.975].map(|share| (share * iters) as u64);
                let passed = milestones.iter().filter(|&&milestone| milestone > warm && e >= milestone);
                0.2f64.powi(passed.count() as i32)
            }
        };
        self.base_lr * factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(shape: Shape, iters: u64, warmup: f64) -> Schedule {
        Schedule { shape, base_lr: 2.0, iters, warmup }
    }

    #[test]
    fn anneal_warms_up_peaks_and_ends_at_zero() {
        let anneal = schedule(Shape::WarmupAnneal, 100, 0.1);
        assert_eq!(anneal.lr(0), 2.0 / 11.0);
        assert_eq!(anneal.lr(10), 2.0);
        assert!((anneal.lr(55) - 1.0).abs() < 1e-12);
        assert!((11..=100).all(|e| anneal.lr(e) < anneal.lr(e - 1)));
        assert_eq!((anneal.lr(100), anneal.lr(1000)), (0.0, 0.0));
    }

    #[test]
    fn milestones_within_the_warm_up_never_count() {
        assert!((schedule(Shape::Step, 40, 0.0).lr(39) - 2.0 * 0.04).abs() < 1e-15);
        assert!((schedule(Shape::Step, 40, 0.96).lr(39) - 2.0 * 0.2).abs() < 1e-15);
    }

    #[test]
    fn no_run_is_too_short() {
        for shape in [Shape::WarmupAnneal, Shape::Linear, Shape::Const, Shape::Step] {
            for (iters, warmup) in [(0, 0.0), (1, 0.0), (1, 1.0), (3, 1.0)] {
                assert!((0..5).all(|e| schedule(shape, iters, warmup).lr(e).is_finite()), "{shape:?} {iters} {warmup}");
            }
        }
    }

    #[test]
    fn names_are_the_published_ones() {
        assert_eq!("warmup-anneal".parse(), Ok(Shape::WarmupAnneal));
        assert_eq!("cosine".parse::<Shape>(), Err(UnknownShape("cosine".into())));
    }
}
