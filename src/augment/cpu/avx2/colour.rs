//! The colour stage: at most two passes over the view, split at contrast, which needs the mean of what the first gives.

use super::super::colour::{HUES, Hues};
use super::Avx2;
use super::blend::Block;
use crate::augment::{ColourOp, ViewPlan};

/// One operation with its parameters.
#[derive(Clone, Copy)]
enum Step {
    Scale { factor: f32 },
    Blend { base: u8, factor: f32 },
    Saturate { factor: f32 },
    Hue { hues: &'static Hues, shift: u8 },
    Gray,
}

/// Operations that wait for a pass: at most four and gray.
struct Steps {
    list: [Step; 5],
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

impl Avx2 {
    /// The plan's colour operations in their order, then gray, on planes of equal length.
    pub(in super::super) fn colour(self, plan: &ViewPlan, mut planes: [&mut [u8]; 3]) {
        let mut steps = Steps { list: [Step::Gray; 5], count: 0 };
        for op in plan.colour_ops() {
            let factor = plan.factor(op);
            match op {
                ColourOp::Brightness => steps.add(Step::Scale { factor }),
                ColourOp::Saturation => steps.add(Step::Saturate { factor }),
                ColourOp::Hue => steps.add(Step::Hue { hues: &HUES, shift: (255.0 * f64::from(factor)) as i32 as u8 }),
                ColourOp::Contrast => {
                    let sum = self.pass(steps.take(), true, &mut planes);
                    let base = (sum as f64 / planes[0].len() as f64 + 0.5) as u8;
                    steps.add(Step::Blend { base, factor });
                }
            }
        }
        if plan.gray() {
            steps.add(Step::Gray);
        }
        if steps.count > 0 {
            self.pass(steps.take(), false, &mut planes);
        }
    }

    /// Runs `steps`, block by block; the sum of L of the result, where it is wanted.
    fn pass(self, steps: &[Step], sum: bool, planes: &mut [&mut [u8]; 3]) -> u64 {
        // SAFETY: an `Avx2` proves the features.
        unsafe { pass(steps, sum, planes) }
    }
}

#[target_feature(enable = "avx2,fma")]
fn pass(steps: &[Step], sum: bool, [red, green, blue]: &mut [&mut [u8]; 3]) -> u64 {
    let mut block = Block::new();
    let mut total = 0;
    let blocks = red.chunks_mut(Block::PIXELS).zip(green.chunks_mut(Block::PIXELS)).zip(blue.chunks_mut(Block::PIXELS));
    for ((red, green), blue) in blocks {
        block.load([red, green, blue]);
        for step in steps {
            match *step {
                Step::Scale { factor } => block.scale(factor),
                Step::Blend { base, factor } => block.blend(base, factor),
                Step::Saturate { factor } => block.saturate(factor),
                Step::Hue { hues, shift } => block.turn_hue(hues, shift),
                Step::Gray => block.gray(),
            }
        }
        if sum {
            total += block.luma_sum();
        }
        if !steps.is_empty() {
            block.store([red, green, blue]);
        }
    }
    total
}
