//! Renders views on the CPU: a plan and decoded pixels to a planar view, in place in its row of a batch.
//!
//! The work is done on three u8 planes; the stages of the [definition](super#definition), in order, each in its file:
//!
//! - `place`: crop with reflected borders; mirror and quarter turns. `resample`: the two resize passes. [`colour`]: brightness,
//!   contrast, saturation, hue, gray (public, because it works on any shape and goldens are not square). `blur`: Gaussian.
//!
//! Scratch lives in the [`Renderer`] and only grows, so nothing is allocated once the largest image has been met. Not here:
//! randomness, threads, resample weights ([`weights`](super::weights)).

mod blur;
pub mod colour;
mod place;
mod resample;

use super::want::PlanError;
use super::{ViewPlan, ViewSpec};
use crate::decode::Region;
use crate::image::{Planes, Size};
use blur::Blur;
use resample::Resizer;

/// Which code renders on this CPU.
pub fn kernels() -> &'static str {
    "scalar"
}

/// `view` as f32 values in the machine's byte order, each `u8 / 255` rounded to nearest; `out` is four times as long.
pub fn to_unit_f32(view: &[u8], out: &mut [u8]) {
    for (to, from) in out.chunks_exact_mut(4).zip(view) {
        to.copy_from_slice(&(f32::from(*from) / 255.0).to_ne_bytes());
    }
}

/// Renders views of one spec; one per thread.
pub struct Renderer {
    spec: ViewSpec,
    resizer: Resizer,
    blur: Blur,
    /// A crop with reflected borders.
    reflected: Planes,
    /// One plane while it is turned.
    turned: Vec<u8>,
}

impl Renderer {
    /// A renderer of views of `spec`, whose size is at least 1.
    pub fn new(spec: ViewSpec) -> Self {
        Self {
            spec,
            resizer: Resizer::default(),
            blur: Blur::new(spec.size as usize),
            reflected: Planes::default(),
            turned: Vec::new(),
        }
    }

    /// As [`new`](Self::new), with the plain code even where the CPU has faster instructions.
    pub fn scalar(spec: ViewSpec) -> Self {
        Self::new(spec)
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
        place::check_held(plan, source, image)?;

        let crop = place::crop(plan, source, image, &mut self.reflected);
        self.resizer.resize(crop, self.spec, out);
        let side = self.spec.size as usize;
        let (red, rest) = out.split_at_mut(side * side);
        let (green, blue) = rest.split_at_mut(side * side);
        if crop.is_gray() {
            green.copy_from_slice(red);
            blue.copy_from_slice(red);
        }
        if plan.mirror() {
            [&mut *red, green, blue].into_iter().for_each(|plane| place::mirror(plane, side));
        }
        colour::apply(plan, [red, green, blue]);
        if plan.blur_sigma > 0.0 {
            self.blur.apply(out, plan);
        }
        place::turn(out, side, plan.quarter_turns(), &mut self.turned);
        Ok(())
    }
}
