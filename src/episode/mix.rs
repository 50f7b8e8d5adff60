//! Draws of the tricks that change finished rows: query mixing and rotation prediction.
//!
//! Lives here: what is drawn for a step, as plain data. Not here: pixels (`device::rows`), losses and their weights (`train::step`).

use super::rows::RowLayout;
use crate::rng::{Draw, Purpose, Stream};

/// One number per decision of a step. Append, never renumber.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Slot {
    /// Share of the major image, and the coin between blend and patch.
    Share = 0,
    /// Centre of the patch.
    Centre = 1,
}

/// How every query row of a step is mixed with the row of the class opposite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MixPlan {
    /// Share of the row itself in the mixed row, in 0..=1; the rest is the other row's.
    pub share: f64,
    /// Where the other row is pasted in (CutMix); none: both are blended by `share` (mixup).
    pub patch: Option<Patch>,
}

/// A rectangle of a view, in pixels; it may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patch {
    /// First row.
    pub top: u32,
    /// First column.
    pub left: u32,
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
}

impl Patch {
    /// The square of about `fraction` of a `size` x `size` view around `centre` (row, column), cut off at the border: CutMix's
    /// `rand_bbox` (Yun et al., ICCV 2019).
    fn around(centre: (u32, u32), fraction: f64, size: u32) -> Self {
        let half = (f64::from(size) * fraction.sqrt()) as u32 / 2;
        let span = |at: u32| (at.saturating_sub(half), (at + half).min(size));
        let ((top, bottom), (left, right)) = (span(centre.0), span(centre.1));
        Self { top, left, height: bottom - top, width: right - left }
    }

    /// Its share of a `size` x `size` view.
    fn share(self, size: u32) -> f64 {
        let area = |height: u32, width: u32| u64::from(height) * u64::from(width);
        area(self.height, self.width) as f64 / area(size, size) as f64
    }
}

/// The mixing of `step` (0-based) for views of `size` x `size` pixels: share uniform in 0..1 (Beta(1, 1)), blend or patch with
/// probability 1/2 each, independent. The same for every process.
pub fn draw_mix(seed: u64, step: u64, size: u32) -> MixPlan {
    let stream = Stream::new(seed, Purpose::Mix);
    let draw = |slot: Slot| at_step(stream, step, 0, slot as u32);
    let (share, blends) = (draw(Slot::Share).unit(), draw(Slot::Share).second() < 0.5);
    if blends {
        return MixPlan { share, patch: None };
    }
    let (row, column) = draw(Slot::Centre).integers(size.into(), size.into());
    let patch = Patch::around((row as u32, column as u32), 1.0 - share, size);
    // The border may have cut the patch: what counts is what was pasted.
    MixPlan { share: 1.0 - patch.share(size), patch: Some(patch) }
}

/// Counter-clockwise quarter turns, 0..=3 and uniform, of the first `count` rows of the joined batch at `step` (0-based), a function of the row:
/// those that process `rank` of `world` holds as rows of `layout`, its first ones.
pub fn draw_turns(seed: u64, step: u64, layout: RowLayout, (rank, world): (u32, u32), count: usize) -> Vec<u8> {
    let stream = Stream::new(seed, Purpose::Turn);
    let joined = (0..layout.rows()).map(|row| layout.joined_row(world as usize, rank as usize, row));
    joined.take_while(|&row| row < count).map(|row| at_step(stream, step, row as u32, 0).integer(4) as u8).collect()
}

fn at_step(stream: Stream, step: u64, row: u32, slot: u32) -> Draw {
    stream.draw([step as u32, (step >> 32) as u32, row, slot])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_lie_inside_and_their_share_is_what_is_left() {
        let (size, steps) = (32, 4000);
        let (mut blends, mut sum) = (0, 0.0);
        for step in 0..steps {
            let plan = draw_mix(5, step, size);
            let Some(Patch { top, left, height, width }) = plan.patch else {
                blends += 1;
                sum += plan.share;
                continue;
            };
            assert!(top + height <= size && left + width <= size);
            let kept = size * size - height * width;
            assert_eq!(plan.share, 1.0 - f64::from(size * size - kept) / f64::from(size * size));
        }
        assert!((1900..2100).contains(&blends), "{blends}");
        assert!((sum / f64::from(blends) - 0.5).abs() < 0.02);
    }

    /// The golden steps' boxes: `cut = int(8 sqrt(1 - lam))`.
    #[test]
    fn a_patch_is_cut_by_the_border() {
        assert_eq!(Patch::around((0, 3), 1.0, 8), Patch { top: 0, left: 0, height: 4, width: 7 });
        assert_eq!(Patch::around((7, 7), 0.25, 8), Patch { top: 5, left: 5, height: 3, width: 3 });
        assert_eq!(Patch::around((4, 4), 0.01, 8).share(8), 0.0);
    }

    #[test]
    fn turns_follow_the_row_of_the_joined_batch() {
        let local = RowLayout::new(3, 2);
        for count in [12, 7, 1] {
            let whole = draw_turns(1, 9, RowLayout::new(6, 2), (0, 1), count);
            let parts = [0, 1].map(|rank| draw_turns(1, 9, local, (rank, 2), count));
            assert_eq!(parts[0].len() + parts[1].len(), count);
            for (rank, part) in parts.into_iter().enumerate() {
                for (row, turns) in part.into_iter().enumerate() {
                    assert_eq!(turns, whole[local.joined_row(2, rank, row)]);
                }
            }
        }
        let many = draw_turns(1, 0, RowLayout::new(4000, 1), (0, 1), 4000);
        for turns in 0..4 {
            let count = many.iter().filter(|&&one| one == turns).count();
            assert!((900..1100).contains(&count), "{turns}: {count}");
        }
    }
}
