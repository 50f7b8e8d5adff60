//! Views: how they are planned, and THE definition of what a plan renders to.
//!
//! # Definition
//!
//! A view is `u8`, `[3, size, size]`, planar R, G, B. It is what Pillow 11.3 and the published recipe give, in this order:
//!
//! 1. **crop** `plan.crop` of the source, grown by `plan.pad` reflected pixels on each side (the edge pixel is not repeated);
//! 2. **resize** to `size` x `size`: separable, horizontal pass first, each pass rounded to 8 bits; taps, 22-bit weights and
//!    rounding of Pillow's `Image.resize` ([`weights`]); the crop is cut first, so no pixel outside it is read; a pass that does
//!    not change the size is skipped;
//! 3. **mirror** left to right;
//! 4. **colour operations** that act, in the plan's order, each on the 8-bit result of the one before: brightness, contrast and
//!    saturation blend in f32, `base + factor * (value - base)`, clamped to 0..=255 and truncated, where `base` is 0, or
//!    `int(mean of L over the view + 0.5)`, or the pixel's own L; hue adds `trunc(255 * hue)` (the factor widened to f64), modulo
//!    256, to the hue byte of Pillow's HSV and goes back;
//! 5. **gray**: `L = (19595 R + 38470 G + 7471 B + 32768) >> 16`, in all three channels;
//! 6. **blur**: Gaussian of `plan.blur_sigma` output pixels, taps `-r..=r` with `r = (size / 10) / 2` (whole divisions), weights
//!    normalised in f64, vertical pass then horizontal, zeros outside the view (borders darken), rounded to the nearest level
//!    once, after both passes;
//! 7. **quarter turns** counter-clockwise, `k` of them (`torch.rot90`).
//!
//! Values stay 0..=255; dividing by 255 is the device's business.
//!
//! # Tolerances
//!
//! | pair | crop, resize, mirror, colour, gray, turns | blur | why |
//! | --- | --- | --- | --- |
//! | executor vs `reference` | equal bytes | [`BLUR_LEVELS`] level | integer rules and IEEE f32; the blur is fixed point |
//! | executor vs executor | equal bytes | equal bytes | `cpu::blur` states the fixed point |
//! | reference vs Pillow 11.3 | equal bytes | [`BLUR_LEVELS`] level | the published blur is never rounded to 8 bits |
//!
//! # Files
//!
//! - [`plan`]: [`ViewPlan`], 48 bytes, no pointers. [`want`]: whether a plan fits an image, and what it reads.
//! - [`policy`]: the ranges choices are drawn from. [`draw`]: policy and key to plan.
//! - [`task`]: choices of a whole class (rotation), written into all its views. [`recipe`]: the published recipes by name.
//! - [`weights`]: resample tables. `reference`: the slow oracle. [`cpu`]: the executor.

pub mod cpu;
pub mod cuda;
pub mod draw;
pub mod plan;
pub mod policy;
pub mod recipe;
#[cfg(feature = "reference")]
pub mod reference;
pub mod task;
pub mod want;
pub mod weights;

pub use draw::{ViewDrawer, ViewKey, draw_view};
pub use plan::{ColourOp, CropBox, ViewPlan};
pub use policy::{BlurPolicy, CropPolicy, JitterPolicy, ViewPolicy};
pub use task::{ClassPlan, TaskPolicy};
pub use want::PlanError;

/// Largest difference, in levels of 0..=255, between two executors where a view is blurred.
pub const BLUR_LEVELS: u8 = 1;

/// What every view of a batch shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewSpec {
    /// Side of the square view, in pixels.
    pub size: u32,
    /// Kernel of the resize.
    pub filter: Filter,
}

impl ViewSpec {
    /// Bicubic views of `size` x `size` pixels.
    pub const fn bicubic(size: u32) -> Self {
        Self { size, filter: Filter::Bicubic }
    }

    /// Bytes of one view: `3 * size * size`.
    pub const fn bytes(self) -> usize {
        3 * self.size as usize * self.size as usize
    }
}

/// Kernel of the antialiased resize, Pillow's of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// Triangle, support 1.
    Bilinear,
    /// Cubic convolution with a = -0.5, support 2.
    Bicubic,
}
