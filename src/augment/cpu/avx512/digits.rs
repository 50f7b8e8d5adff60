//! Resample weights as three digits of -128..=127, the lowest first: what a dot product of bytes takes.

use crate::augment::weights::WEIGHT_BITS;

/// Digits of a weight.
pub(super) const DIGITS: usize = 3;
/// Half a level, to begin the sum over the lowest digits with.
pub(super) const HALF: i32 = 1 << (WEIGHT_BITS - 1);
/// Fraction bits of a sum that was shifted by a digit twice.
pub(super) const LAST_SHIFT: u32 = WEIGHT_BITS - 16;

/// The digits of `weight`, whose magnitude is below `127 << 16`, as bytes of i8: `d[0] + 256 d[1] + 65536 d[2]`.
pub(super) fn digits(weight: i32) -> [u8; DIGITS] {
    let low = weight as i8;
    let rest = (weight - i32::from(low)) >> 8;
    let middle = rest as i8;
    let high = (rest - i32::from(middle)) >> 8;
    [low as u8, middle as u8, high as i8 as u8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_add_up() {
        for weight in (-(1 << 23)..127 << 16).step_by(77).chain([0, 127, 128, 255, -1, -128, -129, 32_767, 32_768]) {
            let [low, middle, high] = digits(weight).map(|digit| i32::from(digit as i8));
            assert_eq!(low + 256 * middle + 65_536 * high, weight);
        }
    }
}
