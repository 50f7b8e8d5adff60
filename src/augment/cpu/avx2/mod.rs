//! The same stages for CPUs with AVX2 and FMA, equal to the scalar ones to the byte (`tests/views_agree.rs`).
//!
//! - `axis`: resample weights. `across`, `down`: the two passes. `resample`: how they interlock. `small`: both for views of 32
//!   pixels. `tables`: what is kept of them.
//! - `colour`: which operations act in which pass over the view. `blend`, `hue`: the operations on a block. `blur`: Gaussian.
//! - `turn`: quarter turns. `unit`: levels to f32.
//! - `lanes`: loads and stores, which hold most of the unsafe code.
//!
//! Closures with vector code stay out of the standard library's adaptors (`map`, `from_fn`), which cannot inline them.
//!
//! Functions need the CPU's features; they are called behind an [`Avx2`], which only [`Avx2::detect`] gives.

mod across;
mod axis;
mod blend;
mod blur;
mod colour;
mod down;
mod hue;
mod lanes;
mod resample;
mod small;
mod tables;
mod turn;
mod unit;

use super::{ViewPlan, ViewSpec, blurred, spread_gray, thirds};
use crate::image::PlanesRef;
use blur::Blur;
use resample::Resizer;

/// Proof that the CPU has AVX2 and FMA.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    /// `Some` where the CPU has both.
    pub(super) fn detect() -> Option<Self> {
        let has = std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma");
        has.then_some(Self(()))
    }
}

/// The stages of a renderer.
pub(super) struct Stages {
    cpu: Avx2,
    resizer: Resizer,
    blur: Blur,
}

impl Stages {
    pub(super) fn new(cpu: Avx2, spec: ViewSpec) -> Self {
        Self { cpu, resizer: Resizer::new(spec), blur: Blur::new(spec.size as usize) }
    }

    /// What the CPU has.
    pub(super) fn cpu(&self) -> Avx2 {
        self.cpu
    }

    /// Renders `plan` of `crop` up to the blur into `out`.
    pub(super) fn render(&mut self, crop: PlanesRef<'_>, plan: &ViewPlan, out: &mut [u8]) {
        let Avx2(()) = self.cpu;
        // SAFETY: `cpu` proves the features.
        unsafe { self.resizer.resize(crop, plan.mirror(), out) };
        if crop.is_gray() {
            spread_gray(out);
        }
        self.cpu.colour(plan, thirds(out));
        if plan.blur_sigma > 0.0 {
            // SAFETY: as above.
            blurred(plan, out, |planes, sigma| unsafe { self.blur.apply(planes, sigma) });
        }
    }
}
