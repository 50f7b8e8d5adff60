//! Renders views on the CPU: a plan and decoded pixels to a planar view, in place in its row of a batch.
//!
//! The work is done on three u8 planes; the stages of the [definition](super#definition), in order, each in its file:
//!
//! - `place`: crop with reflected borders; mirror and quarter turns. `resample`: the two resize passes. [`colour`]: brightness,
//!   contrast, saturation, hue, gray (public, because it works on any shape and goldens are not square). `blur`: Gaussian.
//! - `kernels`: [`Kernels`], whose code runs: the plain one, or the same stages in `avx2` and `avx512`, which are compared with it.
//!   `stages`: who does which stage. `steps`: the passes of the colour stage.
//! - `unit`: levels to f32, for batches that are delivered so.
//!
//! Scratch lives in the [`Renderer`] and only grows, so nothing is allocated once the largest image has been met
//! (`tests/no_allocation.rs`). Not here: randomness, threads, resample weights ([`weights`](super::weights)).

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(in crate::augment) mod blur;
pub mod colour;
mod kernels;
mod place;
mod resample;
mod stages;
#[cfg(target_arch = "x86_64")]
mod steps;
mod unit;

pub use kernels::Kernels;
pub use unit::to_unit_f32;

use super::want::PlanError;
use super::{ViewPlan, ViewSpec};
use crate::decode::Region;
use crate::image::{Planes, Size};
use stages::{Blurrer, Resizer};

/// Renders views of one spec; one per thread.
pub struct Renderer {
    spec: ViewSpec,
    kernels: Kernels,
    resizer: Resizer,
    blurrer: Blurrer,
    /// A crop with reflected borders.
    reflected: Planes,
    /// One plane while it is turned.
    turned: Vec<u8>,
}

impl Renderer {
    /// A renderer of views of `spec`, whose size is at least 1, as fast as the CPU allows.
    pub fn new(spec: ViewSpec) -> Self {
        Self::with(Kernels::fastest(), spec)
    }

    /// A renderer by `kernels`; its views are the same.
    pub fn with(kernels: Kernels, spec: ViewSpec) -> Self {
        let (resizer, blurrer) = (Resizer::new(kernels, spec), Blurrer::new(kernels, spec));
        Self { spec, kernels, resizer, blurrer, reflected: Planes::default(), turned: Vec::new() }
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
        self.resizer.resize(crop, plan.mirror(), out);
        if crop.is_gray() {
            spread_gray(out);
        }
        colour::apply(self.kernels, plan, thirds(out));
        if plan.blur_sigma > 0.0 {
            self.blurrer.blur(plan, out);
        }
        stages::turn(self.kernels, out, self.spec, plan.quarter_turns(), &mut self.turned);
        Ok(())
    }
}

/// The planes R, G, B of a view.
fn thirds(view: &mut [u8]) -> [&mut [u8]; 3] {
    let area = view.len() / 3;
    let (red, rest) = view.split_at_mut(area);
    let (green, blue) = rest.split_at_mut(area);
    [red, green, blue]
}

/// Copies the first plane to the others.
fn spread_gray(view: &mut [u8]) {
    let [red, green, blue] = thirds(view);
    green.copy_from_slice(red);
    blue.copy_from_slice(red);
}
