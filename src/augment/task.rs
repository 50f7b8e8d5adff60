//! Choices of a whole class: large rotations that make new classes (task augmentation).
//!
//! All views of an image turn by the same angle, so the network is not asked for rotation invariance; the turned image is a
//! class of its own (Ni et al., ICLR 2022, "task-based data augmentation"; MetaAug, Ni et al., ICML 2021).

use crate::rng::Stream;

/// How classes of an episode are turned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TaskPolicy {
    /// Every class stays as it is.
    Upright,
    /// With this probability a class is turned by 0, 1, 2 or 3 quarter turns, uniformly, in place of the upright one.
    Replace {
        /// In 0..=1.
        probability: f64,
    },
    /// Each image gives four classes: turned by 0, 1, 2 and 3 quarter turns.
    Expand,
}

impl TaskPolicy {
    /// Classes that one image gives.
    pub const fn classes_per_image(self) -> u32 {
        match self {
            TaskPolicy::Upright | TaskPolicy::Replace { .. } => 1,
            TaskPolicy::Expand => 4,
        }
    }
}

/// What all views of one class share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassPlan {
    /// Counter-clockwise quarter turns, 0..=3.
    pub quarter_turns: u32,
}

/// Draws the class that copy `copy` (below [`TaskPolicy::classes_per_image`]) of `sample` makes.
///
/// `stream` is the run's stream for [`Purpose::Class`](crate::rng::Purpose::Class).
pub fn draw_class(policy: TaskPolicy, stream: Stream, epoch: u32, sample: u32, copy: u32) -> ClassPlan {
    let quarter_turns = match policy {
        TaskPolicy::Upright => 0,
        TaskPolicy::Expand => copy,
        TaskPolicy::Replace { probability } => {
            let draw = stream.draw([epoch, sample, 0, 0]);
            let turns = draw.integers(1, 4).1 as u32;
            if draw.coin(probability) { turns } else { 0 }
        }
    };
    ClassPlan { quarter_turns }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    #[test]
    fn replace_turns_three_quarters_of_the_drawn_share() {
        let stream = Stream::new(3, Purpose::Class);
        let count = 40_000;
        let policy = TaskPolicy::Replace { probability: 0.4 };
        let turned = (0..count).filter(|&s| draw_class(policy, stream, 0, s, 0).quarter_turns > 0).count();
        assert!((turned as f64 / f64::from(count) - 0.3).abs() < 0.01);
    }
}
