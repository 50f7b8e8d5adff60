//! Draws every random choice of a view and writes it down as a [`ViewPlan`].
//!
//! Lives here: policy x key -> plan. Not here: pixels, threads, files.

use super::plan::{ColourOp, CropBox, ViewPlan};
use super::policy::{CropPolicy, JitterPolicy, ViewPolicy};
use crate::image::Size;
use crate::rng::{Draw, Stream};

/// One number per decision of a view. Append, never renumber: plans of old runs depend on it.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Slot {
    /// Ten tries of the crop search take 0..=9, so that a rejected try shifts nothing.
    CropTry = 0,
    CropPlace = 10,
    Mirror = 11,
    JitterCoin = 12,
    JitterOrder = 13,
    BrightnessContrast = 14,
    SaturationHue = 15,
    Gray = 16,
    Blur = 17,
}

const CROP_TRIES: u32 = 10;

/// Who asks: the place of a view among all views of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewKey {
    /// The run's stream for [`Purpose::View`](crate::rng::Purpose::View).
    pub stream: Stream,
    /// Pass over the data.
    pub epoch: u32,
    /// Index of the sample in its dataset.
    pub sample: u32,
    /// View of the sample, from 0.
    pub view: u32,
}

impl ViewKey {
    fn draw(&self, slot: Slot) -> Draw {
        self.draw_at(slot as u32)
    }

    fn draw_at(&self, slot: u32) -> Draw {
        self.stream.draw([self.epoch, self.sample, self.view, slot])
    }
}

/// Draws the view `key` of an image of `image` pixels for an output of `out` x `out`.
///
/// The image must be at least 1 x 1 and at most `i16::MAX` a side, and larger than `pad` where the policy pads: `episode` checks.
pub fn draw_view(policy: &ViewPolicy, source: u32, image: Size, out: u32, key: &ViewKey) -> ViewPlan {
    let (crop, pad) = draw_crop(&policy.crop, image, out, key);
    let mut plan = ViewPlan { pad, ..ViewPlan::plain(source, crop) }
        .with_mirror(key.draw(Slot::Mirror).coin(policy.mirror))
        .with_colour_ops(&[]);
    if let Some(jitter) = &policy.jitter {
        plan = draw_jitter(plan, jitter, key);
    }
    plan = plan.with_gray(key.draw(Slot::Gray).coin(policy.gray));
    if let Some(blur) = &policy.blur {
        let draw = key.draw(Slot::Blur);
        if draw.coin(blur.probability) {
            let (low, high) = blur.sigma;
            plan.blur_sigma = (low + (high - low) * draw.second()) as f32;
        }
    }
    plan
}

fn draw_crop(policy: &CropPolicy, image: Size, out: u32, key: &ViewKey) -> (CropBox, u32) {
    match *policy {
        CropPolicy::RandomResized { scale, ratio } => (random_resized(scale, ratio, image, key), 0),
        CropPolicy::RandomPadded { pad } => {
            let room = |side: u32| u64::from((side + 2 * pad).saturating_sub(out)) + 1;
            let (x, y) = key.draw(Slot::CropPlace).integers(room(image.width), room(image.height));
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

/// torchvision's `RandomResizedCrop.get_params`, a slot for each try.
fn random_resized(scale: (f64, f64), ratio: (f64, f64), image: Size, key: &ViewKey) -> CropBox {
    let log_ratio = (ratio.0.ln(), ratio.1.ln());
    for attempt in 0..CROP_TRIES {
        let draw = key.draw_at(Slot::CropTry as u32 + attempt);
        let fraction = draw.between(scale.0, scale.1);
        let log = log_ratio.0 + (log_ratio.1 - log_ratio.0) * draw.second();
        if let Some((width, height)) = crop_try(image, fraction, log) {
            let room = |full: u32, part: u32| u64::from(full - part) + 1;
            let (x, y) = key.draw(Slot::CropPlace).integers(room(image.width, width), room(image.height, height));
            return crop_box(x as u32, y as u32, width, height);
        }
    }
    centre_of_ratio(ratio, image)
}

/// Width and height of one try, `None` where it does not fit: `w = round(sqrt(A r))`, `h = round(sqrt(A / r))`, half to even.
pub fn crop_try(image: Size, fraction: f64, log_ratio: f64) -> Option<(u32, u32)> {
    let area = image.area() as f64 * fraction;
    let ratio = log_ratio.exp();
    let width = (area * ratio).sqrt().round_ties_even();
    let height = (area / ratio).sqrt().round_ties_even();
    let fits = |side: f64, full: u32| side > 0.0 && side <= f64::from(full);
    (fits(width, image.width) && fits(height, image.height)).then_some((width as u32, height as u32))
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

fn draw_jitter(mut plan: ViewPlan, jitter: &JitterPolicy, key: &ViewKey) -> ViewPlan {
    if !key.draw(Slot::JitterCoin).coin(jitter.probability) {
        return plan;
    }
    let within = |(low, high): (f64, f64), unit: f64| (low + (high - low) * unit) as f32;
    let (first, second) = (key.draw(Slot::BrightnessContrast), key.draw(Slot::SaturationHue));
    plan.brightness = within(jitter.brightness, first.unit());
    plan.contrast = within(jitter.contrast, first.second());
    plan.saturation = within(jitter.saturation, second.unit());
    plan.hue = within(jitter.hue, second.second());

    let acts = |op: &ColourOp| match op {
        ColourOp::Brightness => jitter.brightness != (1.0, 1.0),
        ColourOp::Contrast => jitter.contrast != (1.0, 1.0),
        ColourOp::Saturation => jitter.saturation != (1.0, 1.0),
        ColourOp::Hue => jitter.hue != (0.0, 0.0),
    };
    let order = order_of(key.draw(Slot::JitterOrder).integer(24) as usize);
    let (mut ops, mut count) = (order, 0);
    for op in order.into_iter().filter(acts) {
        ops[count] = op;
        count += 1;
    }
    plan.with_colour_ops(&ops[..count])
}

/// The `index`-th of the 24 orders of four operations, in factorial base.
fn order_of(mut index: usize) -> [ColourOp; 4] {
    let mut order = ColourOp::ALL;
    for place in 0..3 {
        let choices = 4 - place;
        order[place..].rotate_left(index % choices);
        index /= choices;
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    fn key(sample: u32) -> ViewKey {
        ViewKey { stream: Stream::new(5, Purpose::View), epoch: 1, sample, view: 0 }
    }

    #[test]
    fn all_24_orders_occur_once() {
        let mut seen: Vec<_> = (0..24).map(|i| order_of(i).map(|op| op as u32)).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 24);
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
}
