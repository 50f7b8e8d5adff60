//! Renders views on the CPU: a plan and decoded pixels to a planar view, in place in its row of a batch.
//!
//! The work is done on three u8 planes; the stages of the [definition](super#definition), in order, each in its file:
//!
//! - `place`: crop with reflected borders; mirror and quarter turns. `resample`: the two resize passes. [`colour`]: brightness,
//!   contrast, saturation, hue, gray (public, because it works on any shape and goldens are not square). `blur`: Gaussian.
//! - `avx2`: the same stages for CPUs that have it, chosen when a [`Renderer`] is made. The plain ones are what it is compared with.
//! - `unit`: levels to f32, for batches that are delivered so.
//!
//! Scratch lives in the [`Renderer`] and only grows, so nothing is allocated once the largest image has been met
//! (`tests/no_allocation.rs`). Not here: randomness, threads, resample weights ([`weights`](super::weights)).

#[cfg(target_arch = "x86_64")]
mod avx2;
pub(in crate::augment) mod blur;
pub mod colour;
mod place;
mod resample;
mod unit;

pub use unit::to_unit_f32;

use super::want::PlanError;
use super::{ViewPlan, ViewSpec};
use crate::decode::Region;
use crate::image::{Planes, PlanesRef, Size};
use blur::Blur;
use resample::Resizer;

/// Which code renders on this CPU, for reports.
pub fn kernels() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    if avx2::Avx2::detect().is_some() {
        return "avx2";
    }
    "scalar"
}

/// Renders views of one spec; one per thread.
pub struct Renderer {
    spec: ViewSpec,
    stages: Stages,
    /// A crop with reflected borders.
    reflected: Planes,
    /// One plane while it is turned.
    turned: Vec<u8>,
}

/// Who does the arithmetic.
enum Stages {
    Scalar(Box<Scalar>),
    #[cfg(target_arch = "x86_64")]
    Avx2(Box<avx2::Stages>),
}

/// Plain loops: the fallback, and what faster stages are compared with.
struct Scalar {
    resizer: Resizer,
    blur: Blur,
}

impl Renderer {
    /// A renderer of views of `spec`, whose size is at least 1, as fast as the CPU allows.
    pub fn new(spec: ViewSpec) -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(cpu) = avx2::Avx2::detect() {
            return Self::with_stages(spec, Stages::Avx2(Box::new(avx2::Stages::new(cpu, spec))));
        }
        Self::scalar(spec)
    }

    /// A renderer that uses no vector instructions by itself; its views are the same.
    pub fn scalar(spec: ViewSpec) -> Self {
        let (resizer, blur) = (Resizer::default(), Blur::new(spec.size as usize));
        Self::with_stages(spec, Stages::Scalar(Box::new(Scalar { resizer, blur })))
    }

    fn with_stages(spec: ViewSpec, stages: Stages) -> Self {
        Self { spec, stages, reflected: Planes::default(), turned: Vec::new() }
    }

    /// What it renders.
    pub fn spec(&self) -> ViewSpec {
        self.spec
    }

    /// Renders `plan` of an image of `image` pixels, of which `source` holds a part, into `out`: `[3, size, size]`, planar.
    ///
    /// # Errors
    /// The plan does not fit the image, or reads pixels that `source` does not hold; `out` is untouched then.
    ///
    /// # Panics
    /// Where `out` is not [`ViewSpec::bytes`] long.
    pub fn render(
        &mut self,
        source: Region<'_>,
        image: Size,
        plan: &ViewPlan,
        out: &mut [u8],
    ) -> Result<(), PlanError> {
        assert_eq!(out.len(), self.spec.bytes(), "a view of {0}x{0} in another length", self.spec.size);
        plan.check(image)?;
        plan.check_held(source.rect(), image)?;

        let crop = place::crop(plan, source, image, &mut self.reflected);
        let (side, turns) = (self.spec.size as usize, plan.quarter_turns());
        match &mut self.stages {
            Stages::Scalar(stages) => {
                stages.render(crop, plan, self.spec, out);
                place::turn(out, side, turns, &mut self.turned);
            }
            #[cfg(target_arch = "x86_64")]
            Stages::Avx2(stages) => {
                stages.render(crop, plan, out);
                stages.cpu().turn(out, side, turns, &mut self.turned);
            }
        }
        Ok(())
    }
}

impl Scalar {
    fn render(&mut self, crop: PlanesRef<'_>, plan: &ViewPlan, spec: ViewSpec, out: &mut [u8]) {
        self.resizer.resize(crop, spec, out);
        let side = spec.size as usize;
        if crop.is_gray() {
            spread_gray(out);
        }
        if plan.mirror() {
            place::mirror(out, side);
        }
        colour::apply_scalar(plan, thirds(out));
        if plan.blur_sigma > 0.0 {
            blurred(plan, out, |planes, sigma| self.blur.apply(planes, sigma));
        }
    }
}

/// The planes R, G, B of a view.
fn thirds(view: &mut [u8]) -> [&mut [u8]; 3] {
    let area = view.len() / 3;
    let (red, rest) = view.split_at_mut(area);
    let (green, blue) = rest.split_at_mut(area);
    [red, green, blue]
}

/// Blurs the planes that differ.
fn blurred(plan: &ViewPlan, view: &mut [u8], blur: impl FnOnce(&mut [u8], f32)) {
    if plan.gray() {
        blur(thirds(view)[0], plan.blur_sigma);
        spread_gray(view);
    } else {
        blur(view, plan.blur_sigma);
    }
}

/// Copies the first plane to the others.
fn spread_gray(view: &mut [u8]) {
    let [red, green, blue] = thirds(view);
    green.copy_from_slice(red);
    blue.copy_from_slice(red);
}
