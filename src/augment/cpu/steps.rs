//! Which colour operations act in which pass over a view: at most two, split at contrast, which needs the mean of what the first gives.

use crate::augment::{ColourOp, ViewPlan};

/// One operation with its parameters.
#[derive(Clone, Copy)]
pub(super) enum Step {
    /// Blends all values with one.
    Blend { base: u8, factor: f32 },
    /// Blends all values with the pixel's own L.
    Saturate { factor: f32 },
    /// Adds to the hue byte.
    Hue { shift: u8 },
    /// L in all channels.
    Gray,
}

/// Operations that wait for a pass: at most four and gray.
pub(super) const MOST_STEPS: usize = 5;

struct Steps {
    list: [Step; MOST_STEPS],
    count: usize,
}

impl Steps {
    fn add(&mut self, step: Step) {
        self.list[self.count] = step;
        self.count += 1;
    }

    fn take(&mut self) -> &[Step] {
        &self.list[..std::mem::take(&mut self.count)]
    }
}

/// The plan's colour operations in their order, then gray, on planes of equal length. `pass` runs steps over all pixels and gives the sum of
/// L of the result where it is asked for.
pub(super) fn run(
    plan: &ViewPlan,
    mut planes: [&mut [u8]; 3],
    pass: impl Fn(&[Step], bool, &mut [&mut [u8]; 3]) -> u64,
) {
    let mut steps = Steps { list: [Step::Gray; MOST_STEPS], count: 0 };
    for op in plan.colour_ops() {
        let factor = plan.factor(op);
        match op {
            ColourOp::Brightness => steps.add(Step::Blend { base: 0, factor }),
            ColourOp::Saturation => steps.add(Step::Saturate { factor }),
            ColourOp::Hue => steps.add(Step::Hue { shift: (255.0 * f64::from(factor)) as i32 as u8 }),
            ColourOp::Contrast => {
                let sum = pass(steps.take(), true, &mut planes);
                let base = (sum as f64 / planes[0].len() as f64 + 0.5) as u8;
                steps.add(Step::Blend { base, factor });
            }
        }
    }
    if plan.gray() {
        steps.add(Step::Gray);
    }
    if steps.count > 0 {
        pass(steps.take(), false, &mut planes);
    }
}
