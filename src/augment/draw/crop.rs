//! Which part of the image a view shows.

use super::{Slot, ViewDraws};
use crate::augment::plan::CropBox;
use crate::augment::policy::CropPolicy;
use crate::image::Size;

/// Tries of the search for a crop that fits.
const TRIES: u32 = 10;

/// Draws the crops of one policy.
#[derive(Clone, Debug)]
pub(super) struct Crops {
    policy: CropPolicy,
    /// Logarithms of the bounds of the aspect ratio, where it has any.
    log_ratio: (f64, f64),
}

impl Crops {
    pub(super) fn new(policy: CropPolicy) -> Self {
        let log_ratio = match policy {
            CropPolicy::RandomResized { ratio, .. } => (ratio.0.ln(), ratio.1.ln()),
            _ => (0.0, 0.0),
        };
        Self { policy, log_ratio }
    }

    /// A crop of an image of `image` pixels for an output of `out` x `out`, and the border of reflected pixels that it may reach into.
    #[inline]
    pub(super) fn draw(&self, image: Size, out: u32, draws: ViewDraws<'_>) -> (CropBox, u32) {
        match self.policy {
            CropPolicy::RandomResized { scale, ratio } => {
                let found = random_resized(scale, self.log_ratio, image, draws);
                (found.unwrap_or_else(|| centre_of_ratio(ratio, image)), 0)
            }
            CropPolicy::RandomPadded { pad } => {
                let room = |side: u32| u64::from((side + 2 * pad).saturating_sub(out)) + 1;
                let (x, y) = draws.draw(Slot::CropPlace).integers(room(image.width), room(image.height));
                let start = |at: u64| at as i16 - pad as i16;
                (CropBox { x: start(x), y: start(y), width: out as i16, height: out as i16 }, pad)
            }
            CropPolicy::Centre { fraction } => {
                let side = |full: u32| ((fraction * f64::from(full)) as u32).clamp(1, full);
                let (width, height) = (side(image.width), side(image.height));
                // torchvision's `center_crop`: Python's round, half to even.
                let start = |full: u32, part: u32| (f64::from(full - part) / 2.0).round_ties_even() as u32;
                (crop_box(start(image.width, width), start(image.height, height), width, height), 0)
            }
            CropPolicy::Whole => (crop_box(0, 0, image.width, image.height), 0),
        }
    }
}

/// torchvision's `RandomResizedCrop.get_params`, a slot for each try; `None` where no try fits.
fn random_resized(scale: (f64, f64), log_ratio: (f64, f64), image: Size, draws: ViewDraws<'_>) -> Option<CropBox> {
    for attempt in 0..TRIES {
        let draw = draws.crop_try(attempt);
        let fraction = draw.between(scale.0, scale.1);
        let log = log_ratio.0 + (log_ratio.1 - log_ratio.0) * draw.second();
        if let Some((width, height)) = crop_try(image, fraction, log) {
            let room = |full: u32, part: u32| u64::from(full - part) + 1;
            let (x, y) = draws.draw(Slot::CropPlace).integers(room(image.width, width), room(image.height, height));
            return Some(crop_box(x as u32, y as u32, width, height));
        }
    }
    None
}

/// Width and height of one try, `None` where it does not fit: `w = round(sqrt(A r))`, `h = round(sqrt(A / r))`, half to even.
pub fn crop_try(image: Size, fraction: f64, log_ratio: f64) -> Option<(u32, u32)> {
    let area = image.area() as f64 * fraction;
    let ratio = log_ratio.exp();
    let width = round_even((area * ratio).sqrt());
    let height = round_even((area / ratio).sqrt());
    let fits = |side: f64, full: u32| side > 0.0 && side <= f64::from(full);
    (fits(width, image.width) && fits(height, image.height)).then_some((width as u32, height as u32))
}

/// `round_ties_even` of what is at least 0 and far below 2^52, without a call: above, there are no fractions.
fn round_even(value: f64) -> f64 {
    const WHOLE: f64 = (1u64 << 52) as f64;
    value + WHOLE - WHOLE
}

/// The fall-back after ten misses: the largest centred box whose ratio is inside the range.
fn centre_of_ratio(ratio: (f64, f64), image: Size) -> CropBox {
    let (full_width, full_height) = (f64::from(image.width), f64::from(image.height));
    let in_ratio = full_width / full_height;
    let (width, height) = if in_ratio < ratio.0 {
        (full_width, (full_width / ratio.0).round_ties_even())
    } else if in_ratio > ratio.1 {
        ((full_height * ratio.1).round_ties_even(), full_height)
    } else {
        (full_width, full_height)
    };
    // A picture one pixel wide could round to a side of zero or beyond the image.
    let (width, height) = ((width as u32).clamp(1, image.width), (height as u32).clamp(1, image.height));
    crop_box((image.width - width) / 2, (image.height - height) / 2, width, height)
}

fn crop_box(x: u32, y: u32, width: u32, height: u32) -> CropBox {
    CropBox { x: x as i16, y: y as i16, width: width as i16, height: height as i16 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::{ViewKey, ViewPolicy, draw_view};
    use crate::rng::{Purpose, Stream};

    fn key(sample: u32) -> ViewKey {
        ViewKey { stream: Stream::new(5, Purpose::View), epoch: 1, sample, view: 0 }
    }

    #[test]
    fn random_crops_stay_inside() {
        let policy = ViewPolicy::crop_only(CropPolicy::RandomResized { scale: (0.08, 1.0), ratio: (0.75, 4.0 / 3.0) });
        for (width, height) in [(1, 1), (1, 900), (900, 1), (7, 5), (500, 375), (32, 32)] {
            for sample in 0..300 {
                let CropBox { x, y, width: w, height: h } =
                    draw_view(&policy, 0, Size::new(width, height), 224, &key(sample)).crop;
                assert!(x >= 0 && y >= 0 && w >= 1 && h >= 1);
                assert!(x as u32 + w as u32 <= width && y as u32 + h as u32 <= height);
            }
        }
    }

    #[test]
    fn padded_crops_reach_both_ends() {
        let policy = ViewPolicy::crop_only(CropPolicy::RandomPadded { pad: 4 });
        let crops: Vec<_> = (0..500).map(|s| draw_view(&policy, 0, Size::new(32, 32), 32, &key(s))).collect();
        assert!(crops.iter().all(|p| p.pad == 4 && p.crop.width == 32 && (-4..=4).contains(&p.crop.x)));
        for end in [-4, 4] {
            assert!(crops.iter().any(|p| p.crop.x == end) && crops.iter().any(|p| p.crop.y == end));
        }
    }

    #[test]
    fn centre_crop_rounds_half_to_even() {
        let policy = ViewPolicy::crop_only(CropPolicy::Centre { fraction: 0.875 });
        let plan = draw_view(&policy, 0, Size::new(500, 375), 224, &key(0));
        // int(0.875 * 500) = 437, int(0.875 * 375) = 328; round(31.5) = 32, round(23.5) = 24.
        assert_eq!(plan.crop, CropBox { x: 32, y: 24, width: 437, height: 328 });
    }

    #[test]
    fn sides_are_rounded_half_to_even() {
        for value in [0.0, 0.25, 0.5, 1.5, 2.5, 2.500_000_1, 32_766.5, 32_767.499, 1e9 + 0.5] {
            assert_eq!(round_even(value), value.round_ties_even(), "{value}");
        }
    }
}
