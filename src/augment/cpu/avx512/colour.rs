//! A pass of colour operations, in place. Each is a loop of its own over what the first-level cache holds.

use super::super::steps::{MOST_STEPS, Step};
use super::Avx512;
use super::blend::{Saturation, blends, gray, luma_sum, replace};
use super::hue;
use super::lanes::Table;
use super::pixels::Planes;

/// A step with its tables.
enum Operation {
    Replace(Table),
    Saturate(Saturation),
    Hue(u8),
    Gray,
}

/// Pixels that the steps go over together.
const PIXELS: usize = 4096;

impl Avx512 {
    /// Runs `steps` over the planes R, G, B of equal length; the sum of L of the result, where it is wanted.
    pub(in super::super) fn pass(self, steps: &[Step], sum: bool, planes: &mut Planes<'_>) -> u64 {
        // SAFETY: an `Avx512` proves the features.
        unsafe { pass(steps, sum, planes) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
fn pass(steps: &[Step], sum: bool, [red, green, blue]: &mut Planes<'_>) -> u64 {
    let mut operations = [const { None }; MOST_STEPS];
    for (to, step) in operations.iter_mut().zip(steps) {
        *to = Some(match *step {
            Step::Blend { base, factor } => Operation::Replace(blends(base, factor)),
            Step::Saturate { factor } => Operation::Saturate(Saturation::new(factor)),
            Step::Hue { shift } => Operation::Hue(shift),
            Step::Gray => Operation::Gray,
        });
    }
    let mut total = 0;
    for ((red, green), blue) in red.chunks_mut(PIXELS).zip(green.chunks_mut(PIXELS)).zip(blue.chunks_mut(PIXELS)) {
        let mut planes = [red, green, blue];
        for operation in operations.iter().flatten() {
            match operation {
                Operation::Replace(table) => replace(&mut planes, table),
                Operation::Saturate(saturation) => saturation.apply(&mut planes),
                Operation::Hue(shift) => hue::turn(&mut planes, *shift),
                Operation::Gray => gray(&mut planes),
            }
        }
        if sum {
            total += luma_sum(&planes);
        }
    }
    total
}
