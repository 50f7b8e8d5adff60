//! Brightness, contrast, saturation, hue and gray on three planes, in place, one pass an operation.
//!
//! Values are Pillow's to the bit; `tests/views_agree.rs` compares hue on all 2^24 colours with the reference.

use std::sync::LazyLock;

use super::kernels::{Kernels, Kind};
#[cfg(target_arch = "x86_64")]
use super::steps;
use crate::augment::{ColourOp, ViewPlan};

type Planes<'a> = [&'a mut [u8]; 3];

/// Runs the plan's colour operations in their order, then gray, on the planes R, G, B of equal length.
///
/// # Panics
/// Where the lengths differ.
pub fn apply(kernels: Kernels, plan: &ViewPlan, planes: [&mut [u8]; 3]) {
    assert!(planes.iter().all(|plane| plane.len() == planes[0].len()), "planes of different lengths");
    match kernels.0 {
        Kind::Scalar => apply_scalar(plan, planes),
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2(cpu) => steps::run(plan, planes, |steps, sum, planes| cpu.pass(steps, sum, planes)),
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512(cpu) => steps::run(plan, planes, |steps, sum, planes| cpu.pass(steps, sum, planes)),
    }
}

fn apply_scalar(plan: &ViewPlan, mut planes: [&mut [u8]; 3]) {
    for op in plan.colour_ops() {
        let factor = plan.factor(op);
        match op {
            ColourOp::Brightness => blend_with(&mut planes, 0, factor),
            ColourOp::Contrast => {
                let mean = mean_luma(&planes);
                blend_with(&mut planes, mean, factor);
            }
            ColourOp::Saturation => each(&mut planes, |pixel| {
                let gray = luma(pixel);
                pixel.map(|value| blend(gray, value, factor))
            }),
            ColourOp::Hue => {
                let wheel = Wheel::turned((255.0 * f64::from(factor)) as i32 as u8);
                each(&mut planes, |pixel| wheel.turn(pixel));
            }
        }
    }
    if plan.gray() {
        each(&mut planes, |pixel| [luma(pixel); 3]);
    }
}

#[inline(always)]
fn each(planes: &mut Planes<'_>, change: impl Fn([u8; 3]) -> [u8; 3]) {
    let [red, green, blue] = planes;
    for ((red, green), blue) in red.iter_mut().zip(green.iter_mut()).zip(blue.iter_mut()) {
        [*red, *green, *blue] = change([*red, *green, *blue]);
    }
}

/// Blends all channels with one value: 256 results, so a table.
fn blend_with(planes: &mut Planes<'_>, base: u8, factor: f32) {
    let table: [u8; 256] = std::array::from_fn(|value| blend(base, value as u8, factor));
    for plane in planes {
        plane.iter_mut().for_each(|value| *value = table[usize::from(*value)]);
    }
}

/// `base + factor (value - base)` in f32, multiplied, then added; clamped and truncated by the cast. Between the two values
/// (factors 0..=1) nothing is clamped, so this is Pillow's rule for all factors.
#[inline(always)]
fn blend(base: u8, value: u8, factor: f32) -> u8 {
    (f32::from(base) + factor * (f32::from(value) - f32::from(base))) as u8
}

#[inline(always)]
fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((19_595 * u32::from(r) + 38_470 * u32::from(g) + 7_471 * u32::from(b) + 32_768) >> 16) as u8
}

/// Mean of the grey values, rounded half up.
fn mean_luma([red, green, blue]: &Planes<'_>) -> u8 {
    let pixels = red.iter().zip(green.iter()).zip(blue.iter());
    let sum: u64 = pixels.map(|((r, g), b)| u64::from(luma([*r, *g, *b]))).sum();
    (sum as f64 / red.len() as f64 + 0.5) as u8
}

/// Hue bytes of all pixels, by which channel is the largest (the first of equals) and how far the two others are below it:
/// `[largest][first other][second other]`. Photos, whose colours are pale, touch little of it. A fourth largest, which there is none of,
/// makes its size a power of two.
pub(super) type Hues = [[[u8; 256]; 256]; 4];

pub(super) static HUES: LazyLock<Box<Hues>> = LazyLock::new(|| {
    let mut hues: Box<Hues> = bytemuck::zeroed_box();
    for (largest, hues) in hues.iter_mut().take(3).enumerate() {
        for (first, hues) in (0..=255u8).zip(hues) {
            for (second, to) in (0..=255u8).zip(hues).filter(|(second, _)| first.max(*second) > 0) {
                let mut pixel = [255 - first, 255 - second, 255];
                pixel[largest..].rotate_right(1);
                *to = hue(pixel, 255, first.max(second));
            }
        }
    }
    hues
});

/// How to turn hues by one shift.
struct Wheel {
    hues: &'static Hues,
    /// For each hue byte before the turn, how much of the chroma red, green and blue lose after it, in 1/85.
    lost: [[u8; 3]; 256],
}

impl Wheel {
    /// Adds `shift` to the hue byte of Pillow's HSV.
    fn turned(shift: u8) -> Self {
        Self { hues: &HUES, lost: std::array::from_fn(|hue| lost(shift.wrapping_add(hue as u8))) }
    }

    #[inline(always)]
    fn turn(&self, pixel: [u8; 3]) -> [u8; 3] {
        let [r, g, b] = pixel;
        let most = r.max(g).max(b);
        let (largest, first, second) = if r == most {
            (0, g, b)
        } else if g == most {
            (1, r, b)
        } else {
            (2, r, g)
        };
        let (first, second) = (most - first, most - second);
        let chroma = f32::from(first.max(second));
        // A black pixel has no chroma either; Pillow leaves gray ones as they are, and so does a saturation of 0.
        let saturation = (f64::from(chroma / f32::from(most.max(1))) * 255.0) as u32;
        let hue = self.hues[largest][usize::from(first)][usize::from(second)];
        self.lost[usize::from(hue)].map(|lost| {
            let kept = WHOLE - saturation * u32::from(lost);
            ((u32::from(most) * kept + WHOLE / 2) / WHOLE) as u8
        })
    }
}

/// The hue byte of a pixel that is not gray. f32 where Pillow's variables are floats, f64 where its constants are doubles.
#[inline(always)]
pub(super) fn hue([r, g, b]: [u8; 3], most: u8, chroma: u8) -> u8 {
    let below = |value: u8| f32::from(most - value) / f32::from(chroma);
    let sixths = if r == most {
        below(b) - below(g)
    } else if g == most {
        (2.0 + f64::from(below(r)) - f64::from(below(b))) as f32
    } else {
        (4.0 + f64::from(below(g)) - f64::from(below(r))) as f32
    };
    // In -1/6..1 turns, so that fmod(_ + 1, 1) takes off at most 1.
    let turns = f64::from(sixths) / 6.0 + 1.0;
    let turns = (if turns >= 1.0 { turns - 1.0 } else { turns }) as f32;
    (f64::from(turns) * 255.0) as u8
}

/// Saturation 1 times a loss of 1, as integers.
pub(super) const WHOLE: u32 = 255 * 85;

/// From HSV in integers: channel `n` (5 red, 3 green, 1 blue) is `V - V S w / (255 * 85)`, rounded, with the trapezoid
/// `w = clamp(min(k, 340 - k), 0, 85)` over the wheel `k = (85 n + 2 H) mod 510`: Pillow's p, q, t and V in one formula.
/// `255 * 85` is odd, so no value lies halfway.
pub(super) fn lost(hue: u8) -> [u8; 3] {
    [5, 3, 1].map(|n| {
        let k = (85 * n + 2 * i32::from(hue)) % 510;
        k.min(340 - k).clamp(0, 85) as u8
    })
}
