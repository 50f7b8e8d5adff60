//! A pass of colour operations, block by block.

use super::super::colour::HUES;
use super::super::steps::Step;
use super::Avx2;
use super::blend::Block;

impl Avx2 {
    /// Runs `steps` over the planes R, G, B of equal length; the sum of L of the result, where it is wanted.
    pub(in super::super) fn pass(self, steps: &[Step], sum: bool, planes: &mut [&mut [u8]; 3]) -> u64 {
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
                // Black takes fewer operations.
                Step::Blend { base: 0, factor } => block.scale(factor),
                Step::Blend { base, factor } => block.blend(base, factor),
                Step::Saturate { factor } => block.saturate(factor),
                Step::Hue { shift } => block.turn_hue(&HUES, shift),
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
