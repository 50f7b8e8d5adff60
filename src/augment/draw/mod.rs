//! Draws every random choice of a view and writes it down as a [`ViewPlan`].
//!
//! Lives here: policy x key -> plan; `crop`: which part of the image. Not here: pixels, threads, files.

mod crop;

use self::crop::Crops;
use super::plan::{ColourOp, ViewPlan};
use super::policy::{JitterPolicy, ViewPolicy};
use crate::image::Size;
use crate::rng::{Draw, Draws, LANES, Stream};

pub use self::crop::crop_try;

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
    /// The draws of the slots that most views ask for.
    fn draw_together(&self, draws: &mut Draws) {
        self.stream.draw_slots([self.epoch, self.sample, self.view], &TOGETHER, draws);
    }

    fn draw_at(&self, slot: u32) -> Draw {
        self.stream.draw([self.epoch, self.sample, self.view, slot])
    }
}

/// The slots that most views ask for, which are drawn together.
const TOGETHER: [u32; LANES] = [
    Slot::CropTry as u32,
    Slot::CropPlace as u32,
    Slot::Mirror as u32,
    Slot::JitterCoin as u32,
    Slot::JitterOrder as u32,
    Slot::BrightnessContrast as u32,
    Slot::SaturationHue as u32,
    Slot::Gray as u32,
];

/// The draws of one view.
#[derive(Clone, Copy)]
struct ViewDraws<'a> {
    key: &'a ViewKey,
    together: &'a Draws,
}

impl ViewDraws<'_> {
    /// That of the crop search's `attempt`, from 0.
    fn crop_try(self, attempt: u32) -> Draw {
        match attempt {
            0 => self.draw(Slot::CropTry),
            _ => self.key.draw_at(Slot::CropTry as u32 + attempt),
        }
    }

    // Always, so that the search is the compiler's.
    #[inline(always)]
    fn draw(self, slot: Slot) -> Draw {
        let drawn = TOGETHER.iter().position(|one| *one == slot as u32);
        drawn.map_or_else(|| self.key.draw_at(slot as u32), |nth| self.together.at(nth))
    }
}

/// Views whose words are drawn before the first of them is planned.
const AT_A_TIME: usize = 16;

/// Draws the views of one policy; what does not change from one view to the next is worked out once.
#[derive(Clone, Debug)]
pub struct ViewDrawer {
    policy: ViewPolicy,
    crops: Crops,
    /// [`ViewPlan::colour_flags`] of each of the orders of the colour operations that act.
    orders: [u32; ORDERS],
    /// Those of no operation.
    idle: u32,
}

impl ViewDrawer {
    /// A drawer of views under `policy`.
    pub fn new(policy: ViewPolicy) -> Self {
        let orders = std::array::from_fn(|index| {
            let (mut ops, mut count) = (order_of(index), 0);
            for op in order_of(index) {
                if policy.jitter.is_some_and(|jitter| acts(&jitter, op)) {
                    ops[count] = op;
                    count += 1;
                }
            }
            ViewPlan::colour_flags(&ops[..count])
        });
        Self { policy, crops: Crops::new(policy.crop), orders, idle: ViewPlan::colour_flags(&[]) }
    }

    /// Draws the view `key` of an image of `image` pixels for an output of `out` x `out`.
    ///
    /// The image must be at least 1 x 1 and at most `i16::MAX` a side, and larger than `pad` where the policy pads: `episode` checks.
    pub fn draw(&self, source: u32, image: Size, out: u32, key: &ViewKey) -> ViewPlan {
        let mut together = Draws::default();
        key.draw_together(&mut together);
        self.view(source, image, out, ViewDraws { key, together: &together })
    }

    /// As [`draw`](Self::draw), behind `views`, for each of `asked`: the row of a source, its size, the view's key. Sooner, because the CPU works on
    /// the words of several views at a time.
    pub fn draw_each(
        &self,
        asked: impl IntoIterator<Item = (u32, Size, ViewKey)>,
        out: u32,
        views: &mut Vec<ViewPlan>,
    ) {
        let mut asked = asked.into_iter();
        let mut some = Vec::with_capacity(AT_A_TIME);
        let mut draws = [Draws::default(); AT_A_TIME];
        loop {
            some.clear();
            some.extend(asked.by_ref().take(AT_A_TIME));
            if some.is_empty() {
                return;
            }
            some.iter().zip(&mut draws).for_each(|((.., key), draws)| key.draw_together(draws));
            let drawn = some.iter().zip(&draws);
            views.extend(
                drawn.map(|((source, image, key), together)| {
                    self.view(*source, *image, out, ViewDraws { key, together })
                }),
            );
        }
    }

    fn view(&self, source: u32, image: Size, out: u32, draws: ViewDraws<'_>) -> ViewPlan {
        let policy = &self.policy;
        let (crop, pad) = self.crops.draw(image, out, draws);
        let mut plan = ViewPlan { pad, ..ViewPlan::plain(source, crop) }
            .with_mirror(draws.draw(Slot::Mirror).coin(policy.mirror))
            .with_gray(draws.draw(Slot::Gray).coin(policy.gray))
            .with_colour_flags(self.idle);
        if let Some(jitter) = &policy.jitter {
            plan = self.jitter(plan, jitter, draws);
        }
        if let Some(blur) = &policy.blur {
            let draw = draws.draw(Slot::Blur);
            if draw.coin(blur.probability) {
                let (low, high) = blur.sigma;
                plan.blur_sigma = (low + (high - low) * draw.second()) as f32;
            }
        }
        plan
    }

    fn jitter(&self, mut plan: ViewPlan, jitter: &JitterPolicy, draws: ViewDraws<'_>) -> ViewPlan {
        if !draws.draw(Slot::JitterCoin).coin(jitter.probability) {
            return plan;
        }
        let within = |(low, high): (f64, f64), unit: f64| (low + (high - low) * unit) as f32;
        let (first, second) = (draws.draw(Slot::BrightnessContrast), draws.draw(Slot::SaturationHue));
        plan.brightness = within(jitter.brightness, first.unit());
        plan.contrast = within(jitter.contrast, first.second());
        plan.saturation = within(jitter.saturation, second.unit());
        plan.hue = within(jitter.hue, second.second());
        plan.with_colour_flags(self.orders[draws.draw(Slot::JitterOrder).integer(ORDERS as u64) as usize])
    }
}

/// As [`ViewDrawer::draw`], for one view of `policy`.
pub fn draw_view(policy: &ViewPolicy, source: u32, image: Size, out: u32, key: &ViewKey) -> ViewPlan {
    ViewDrawer::new(*policy).draw(source, image, out, key)
}

/// Whether `jitter` can change anything by `op`.
fn acts(jitter: &JitterPolicy, op: ColourOp) -> bool {
    match op {
        ColourOp::Brightness => jitter.brightness != (1.0, 1.0),
        ColourOp::Contrast => jitter.contrast != (1.0, 1.0),
        ColourOp::Saturation => jitter.saturation != (1.0, 1.0),
        ColourOp::Hue => jitter.hue != (0.0, 0.0),
    }
}

/// Orders of four operations.
const ORDERS: usize = 24;

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

    #[test]
    fn all_orders_occur_once() {
        let mut seen: Vec<_> = (0..ORDERS).map(|i| order_of(i).map(|op| op as u32)).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), ORDERS);
    }
}
