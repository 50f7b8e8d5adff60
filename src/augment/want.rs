//! What a plan asks of its source: whether it fits, and which pixels it reads.
//!
//! Plans drawn by [`draw_view`](super::draw_view) always fit; plans read from elsewhere are checked here, once, and trusted after.

use super::plan::{ColourOp, CropBox, ViewPlan};
use crate::image::{Rect, Size};

/// Why a plan cannot be rendered from an image.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The crop has no pixels, or leaves the image grown by its reflected border.
    #[error("crop {}x{}{:+}{:+} is empty or outside the {image} image with a border of {pad}", crop.width, crop.height, crop.x, crop.y)]
    Crop {
        /// The crop.
        crop: CropBox,
        /// Reflected border in pixels.
        pad: u32,
        /// Size of the source.
        image: Size,
    },
    /// A border of `pad` reflected pixels needs sides of at least `pad + 1`.
    #[error("an image of {image} is too small to reflect {pad} pixels at its borders")]
    Pad {
        /// Reflected border in pixels.
        pad: u32,
        /// Size of the source.
        image: Size,
    },
    /// A factor is negative or not finite, or a hue shift is outside -0.5..=0.5.
    #[error("{op:?} by {value} is outside its range")]
    Factor {
        /// The operation.
        op: ColourOp,
        /// Its factor.
        value: f32,
    },
    /// The blur is negative or not finite.
    #[error("a blur of sigma {sigma} is no blur")]
    Sigma {
        /// Standard deviation in output pixels.
        sigma: f32,
    },
    /// Flags of no meaning, or one colour operation twice.
    #[error("flags {flags:#x} are unknown or name a colour operation twice")]
    Flags {
        /// The plan's flags.
        flags: u32,
    },
    /// More than one launch of kernels can take.
    #[error("a batch of more than {views} such views is too large for the GPU; make the batch smaller")]
    TooManyViews {
        /// Views that it can.
        views: usize,
    },
    /// The source does not hold all pixels that the plan reads.
    #[error("the view reads {need:?}, the decoded region is {held:?} of a {image} image")]
    Region {
        /// What the plan reads.
        need: Rect,
        /// What is there.
        held: Rect,
        /// Size of the source.
        image: Size,
    },
}

/// Bits that a plan's flags may use: mirror, turns, gray, mask and order of the colour operations.
const KNOWN_FLAGS: u32 = 0xffff;

impl ViewPlan {
    /// Whether the plan can be rendered from an image of `image` pixels.
    pub fn check(&self, image: Size) -> Result<(), PlanError> {
        let CropBox { x, y, width, height } = self.crop;
        let pad = self.pad;
        if pad > 0 && (image.width <= pad || image.height <= pad) {
            return Err(PlanError::Pad { pad, image });
        }
        let inside = |start: i16, length: i16, full: u32| {
            let (start, length, pad) = (i64::from(start), i64::from(length), i64::from(pad));
            length >= 1 && start >= -pad && start + length <= i64::from(full) + pad
        };
        if !inside(x, width, image.width) || !inside(y, height, image.height) {
            return Err(PlanError::Crop { crop: self.crop, pad, image });
        }
        self.check_values()
    }

    fn check_values(&self) -> Result<(), PlanError> {
        let mut seen = 0u32;
        for op in self.colour_ops() {
            let value = self.factor(op);
            let range = if op == ColourOp::Hue { -0.5..=0.5 } else { 0.0..=f32::MAX };
            if !range.contains(&value) {
                return Err(PlanError::Factor { op, value });
            }
            if seen & 1 << op as u32 != 0 {
                return Err(PlanError::Flags { flags: self.flags });
            }
            seen |= 1 << op as u32;
        }
        if self.flags & !KNOWN_FLAGS != 0 {
            return Err(PlanError::Flags { flags: self.flags });
        }
        if !(0.0..=f32::MAX).contains(&self.blur_sigma) {
            return Err(PlanError::Sigma { sigma: self.blur_sigma });
        }
        Ok(())
    }

    /// Whether the crop lies inside an image of `image` pixels, so that nothing of its border is reflected.
    pub fn is_inside(&self, image: Size) -> bool {
        let CropBox { x, y, width, height } = self.crop;
        let inside =
            |start: i16, length: i16, full: u32| start >= 0 && i64::from(start) + i64::from(length) <= full.into();
        inside(x, width, image.width) && inside(y, height, image.height)
    }

    /// Whether `held`, a part of an image of `image` pixels, holds what the plan reads; the plan must pass [`check`](Self::check).
    pub fn check_held(&self, held: Rect, image: Size) -> Result<(), PlanError> {
        let need = self.region(image);
        let end = |start: u32, length: u32| u64::from(start) + u64::from(length);
        let covers = held.x <= need.x
            && held.y <= need.y
            && end(held.x, held.width) >= end(need.x, need.width)
            && end(held.y, held.height) >= end(need.y, need.height);
        if covers && held.fits(image) { Ok(()) } else { Err(PlanError::Region { need, held, image }) }
    }

    /// The smallest rectangle of an image of `image` pixels that the plan reads; the plan must pass [`check`](Self::check).
    pub fn region(&self, image: Size) -> Rect {
        let CropBox { x, y, width, height } = self.crop;
        let (x, width) = span(x.into(), width.into(), image.width);
        let (y, height) = span(y.into(), height.into(), image.height);
        Rect { x, y, width, height }
    }
}

/// The bounding box of what all `plans` read of an image of `image` pixels, where decoding it once is less work than decoding
/// for each plan alone; `None` where it is not, or where there are no plans. All plans must pass [`check`](ViewPlan::check).
///
/// Where decoding a part takes time in proportion to it (`parts`), the work is the area in whole blocks of 8 x 8 pixels, which is
/// what a decoder of coefficients turns into pixels; elsewhere one decode is always less.
pub fn shared_region<'a>(plans: impl IntoIterator<Item = &'a ViewPlan>, image: Size, parts: bool) -> Option<Rect> {
    let mut apart = 0;
    let mut hull: Option<Rect> = None;
    for plan in plans {
        let region = plan.region(image);
        apart += blocks(region);
        hull = Some(hull.map_or(region, |hull| hull.union(region)));
    }
    hull.filter(|hull| !parts || blocks(*hull) <= apart)
}

/// Blocks of 8 x 8 pixels that `region` touches.
fn blocks(region: Rect) -> u64 {
    let touched = |start: u32, length: u32| u64::from((start + length).div_ceil(8) - start / 8);
    touched(region.x, region.width) * touched(region.y, region.height)
}

/// First pixel and number of pixels that `start..start + length` reads of a side of `full` pixels with reflected borders.
fn span(start: i64, length: i64, full: u32) -> (u32, u32) {
    let last = i64::from(full) - 1;
    let end = start + length - 1;
    // The part left of the image reads 1.. mirrored, the part right of it ..last - 1 mirrored.
    let left = (start < 0).then_some((-end.min(-1), -start));
    let inside = (end >= 0 && start <= last).then_some((start.max(0), end.min(last)));
    let right = (end > last).then_some((2 * last - end, 2 * last - start.max(last + 1)));
    let parts = [left, inside, right].into_iter().flatten();
    let (low, high) = parts.fold((last, 0), |(low, high), (from, to)| (low.min(from), high.max(to)));
    (low as u32, (high - low + 1) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: Size = Size::new(9, 6);

    fn plan(x: i16, y: i16, width: i16, height: i16, pad: u32) -> ViewPlan {
        ViewPlan { pad, ..ViewPlan::plain(0, CropBox { x, y, width, height }) }
    }

    #[test]
    fn refuses_each_fault() {
        let whole = plan(0, 0, 9, 6, 0);
        assert_eq!(whole.check(IMAGE), Ok(()));
        for crop in [plan(0, 0, 10, 6, 0), plan(-1, 0, 9, 6, 0), plan(0, 0, 0, 6, 0), plan(0, 4, 9, 8, 5)] {
            assert!(matches!(crop.check(IMAGE), Err(PlanError::Crop { .. })), "{crop}");
        }
        assert!(matches!(plan(0, 0, 9, 6, 6).check(IMAGE), Err(PlanError::Pad { .. })));
        assert!(matches!(whole.check(Size::new(0, 0)), Err(PlanError::Crop { .. })));

        for (op, value) in [(ColourOp::Brightness, -0.1), (ColourOp::Contrast, f32::NAN), (ColourOp::Hue, 0.6)] {
            let faulty = ViewPlan { brightness: value, contrast: value, hue: value, ..whole }.with_colour_ops(&[op]);
            assert!(matches!(faulty.check(IMAGE), Err(PlanError::Factor { .. })), "{op:?} {value}");
        }
        for sigma in [-1.0, f32::NAN, f32::INFINITY] {
            assert!(matches!(ViewPlan { blur_sigma: sigma, ..whole }.check(IMAGE), Err(PlanError::Sigma { .. })));
        }
        // Order 0, 0, 0, 0 with brightness on; a bit beyond the order.
        for flags in [0x0010, 0x1_0000] {
            assert!(matches!(ViewPlan { flags, ..whole }.check(IMAGE), Err(PlanError::Flags { .. })), "{flags:#x}");
        }
    }

    #[test]
    fn near_crops_are_decoded_together_and_distant_ones_apart() {
        let image = Size::new(100, 80);
        let near = [plan(0, 0, 40, 40, 0), plan(20, 10, 40, 40, 0)];
        assert_eq!(shared_region(&near, image, true), Some(Rect { x: 0, y: 0, width: 60, height: 50 }));
        let distant = [plan(0, 0, 20, 20, 0), plan(80, 60, 20, 20, 0)];
        assert_eq!(shared_region(&distant, image, true), None);
        assert_eq!(shared_region(&distant, image, false), Some(image.rect()));
        // Each crop touches four blocks, and so do both together: in pixels their sum would be less than the box.
        let blocks = [plan(7, 7, 2, 2, 0), plan(1, 1, 2, 2, 0)];
        assert_eq!(shared_region(&blocks, image, true), Some(Rect { x: 1, y: 1, width: 8, height: 8 }));
        assert_eq!(shared_region(&near[..1], image, true), Some(near[0].region(image)));
        assert_eq!(shared_region([], image, true), None);
    }

    /// Against a walk over every index.
    #[test]
    fn region_is_what_reflection_reads() {
        for full in 1..8i64 {
            for pad in 0..full {
                for start in -pad..full + pad {
                    for length in 1..=full + pad - start {
                        let source = |i: i64| if i < 0 { -i } else { i.min(2 * (full - 1) - i) };
                        let low = (start..start + length).map(source).min().unwrap();
                        let high = (start..start + length).map(source).max().unwrap();
                        let expected = (low as u32, (high - low + 1) as u32);
                        assert_eq!(span(start, length, full as u32), expected, "{start}+{length} of {full}");
                    }
                }
            }
        }
    }
}
