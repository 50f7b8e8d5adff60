//! Rows of a batch on the device, mixed and turned.
//!
//! Lives here: pixels to pixels, nothing random. Not here: what is drawn (`episode::mix`), losses. Nothing waits for the device but the
//! copy of [`turn_labels`], a few bytes: make it before the network runs.

use tch::{Device, Tensor};

use crate::episode::{MixPlan, Patch};

/// Every view of `rows` (`[views * classes, ..]`, view-major) with its classes in reversed order.
pub fn reversed_classes(rows: &Tensor, classes: usize) -> Tensor {
    let shape = rows.size();
    let split = [&[-1, classes as i64], &shape[1..]].concat();
    rows.reshape(split).flip([1]).reshape(shape)
}

/// Images `[views * classes, 3, height, width]`, each mixed with the image of the same view of the class opposite, as `plan` says.
pub fn mixed(images: &Tensor, classes: usize, plan: &MixPlan) -> Tensor {
    let other = reversed_classes(images, classes);
    let Some(Patch { top, left, height, width }) = plan.patch else {
        return images * plan.share + other * (1.0 - plan.share);
    };
    let mixed = images.copy();
    let patch = |of: &Tensor| of.narrow(2, top.into(), height.into()).narrow(3, left.into(), width.into());
    patch(&mixed).copy_(&patch(&other));
    mixed
}

/// Quarter turns as labels, int64.
pub fn turn_labels(turns: &[u8], device: Device) -> Tensor {
    let turns: Vec<i64> = turns.iter().map(|&turns| turns.into()).collect();
    Tensor::from_slice(&turns).to_device(device)
}

/// Square images `[rows, 3, size, size]`, each turned counter-clockwise by as many quarters as `labels`, `[rows]` in 0..=3, says.
pub fn turned(images: &Tensor, labels: &Tensor) -> Tensor {
    let labels = labels.reshape([-1, 1, 1, 1]);
    let axes = [2, 3];
    let odd = images.rot90(1, axes).where_self(&labels.remainder(2).eq(1), images);
    odd.rot90(2, axes).where_self(&labels.ge(2), &odd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    fn images(rows: i64) -> Tensor {
        Tensor::arange(rows * 3 * 4 * 4, (Kind::Float, Device::Cpu)).reshape([rows, 3, 4, 4])
    }

    #[test]
    fn classes_are_reversed_within_each_view() {
        let rows = Tensor::from_slice(&[0, 1, 2, 10, 11, 12]);
        let reversed = Vec::<i32>::try_from(reversed_classes(&rows, 3)).unwrap();
        assert_eq!(reversed, [2, 1, 0, 12, 11, 10]);
    }

    #[test]
    fn a_patch_comes_from_the_class_opposite_and_nothing_else_does() {
        let images = images(6);
        let plan = MixPlan { share: 0.75, patch: Some(Patch { top: 1, left: 0, height: 2, width: 2 }) };
        let mixed = mixed(&images, 3, &plan);
        for row in 0..6i64 {
            let other = row / 3 * 3 + 2 - row % 3;
            for (y, x) in (0..4).flat_map(|y| (0..4).map(move |x| (y, x))) {
                let source = if (1..3).contains(&y) && x < 2 { other } else { row };
                assert_eq!(mixed.double_value(&[row, 1, y, x]), images.double_value(&[source, 1, y, x]));
            }
        }
    }

    #[test]
    fn each_row_turns_by_its_own_label() {
        let images = images(5);
        let labels = turn_labels(&[0, 1, 2, 3, 1], Device::Cpu);
        let turned = turned(&images, &labels);
        for row in 0..5 {
            let wanted = images.get(row).rot90(labels.int64_value(&[row]), [1, 2]);
            assert_eq!(turned.get(row), wanted, "row {row}");
        }
    }
}
