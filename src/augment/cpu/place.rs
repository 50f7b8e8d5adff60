//! Where pixels go: crop, mirror, quarter turns. No arithmetic on values.

use crate::augment::{CropBox, ViewPlan};
use crate::decode::Region;
use crate::image::{Planes, PlanesRef, Rect, Size};

/// The plan's crop: a window of the source, or, where it leaves the image, a copy with reflected borders in `scratch`.
pub(super) fn crop<'a>(plan: &ViewPlan, source: Region<'a>, image: Size, scratch: &'a mut Planes) -> PlanesRef<'a> {
    let CropBox { x, y, width, height } = plan.crop;
    let held = source.pixels;
    if plan.is_inside(image) {
        let (x, y) = (x as u32 - source.x, y as u32 - source.y);
        return held.window(Rect { x, y, width: width as u32, height: height as u32 });
    }

    let size = Size::new(width as u32, height as u32);
    scratch.reset(size, held.is_gray());
    for channel in 0..held.channels() {
        for row in 0..size.height {
            let from = held.row(channel, reflect(i32::from(y) + row as i32, image.height) - source.y);
            let to = &mut scratch.padded_row_mut(channel, row)[..size.width as usize];
            for (to, column) in to.iter_mut().zip(i32::from(x)..) {
                *to = from[(reflect(column, image.width) - source.x) as usize];
            }
        }
    }
    scratch.as_ref()
}

/// Index into `0..length` by reflection at the edge pixels, which are not repeated.
fn reflect(index: i32, length: u32) -> u32 {
    let index = index.unsigned_abs();
    if index < length { index } else { 2 * (length - 1) - index }
}

/// Mirrors all planes of `side` x `side` left to right.
pub(super) fn mirror(planes: &mut [u8], side: usize) {
    planes.chunks_exact_mut(side).for_each(<[u8]>::reverse);
}

/// Turns all planes of `side` x `side` counter-clockwise by `turns` quarter turns, 0..=3.
pub(super) fn turn(planes: &mut [u8], side: usize, turns: u32, scratch: &mut Vec<u8>) {
    for plane in planes.chunks_exact_mut(side * side) {
        match turns {
            0 => return,
            2 => plane.reverse(),
            _ => {
                scratch.clear();
                scratch.extend_from_slice(plane);
                for (row, to) in plane.chunks_exact_mut(side).enumerate() {
                    // One turn puts the last column on top; three put the first column there, read upwards.
                    let column = if turns == 1 { side - 1 - row } else { row };
                    let from = scratch[column..].iter().step_by(side);
                    if turns == 1 {
                        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
                    } else {
                        to.iter_mut().rev().zip(from).for_each(|(to, from)| *to = *from);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_go_counter_clockwise_and_come_round() {
        let start = [1, 2, 3, 4, 5, 6, 7, 8, 9];
        let expected: [[u8; 9]; 4] =
            [start, [3, 6, 9, 2, 5, 8, 1, 4, 7], [9, 8, 7, 6, 5, 4, 3, 2, 1], [7, 4, 1, 8, 5, 2, 9, 6, 3]];
        for (turns, expected) in expected.into_iter().enumerate() {
            let mut plane = start;
            turn(&mut plane, 3, turns as u32, &mut Vec::new());
            assert_eq!(plane, expected, "{turns} turns");
        }
    }

    #[test]
    fn reflection_skips_the_edge_pixel() {
        let read: Vec<_> = (-3..8).map(|i| reflect(i, 5)).collect();
        assert_eq!(read, [3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1]);
    }
}
