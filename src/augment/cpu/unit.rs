//! Levels to f32 in 0..=1, where a batch is delivered so.

#[cfg(target_arch = "x86_64")]
use super::kernels::{Kernels, Kind};

/// `level / 255` in f32, correctly rounded.
///
/// # Panics
/// Where the lengths differ.
pub fn to_unit_f32(levels: &[u8], out: &mut [f32]) {
    assert_eq!(levels.len(), out.len(), "as many numbers as levels");
    #[cfg(target_arch = "x86_64")]
    match Kernels::fastest().0 {
        Kind::Scalar => {}
        Kind::Avx2(cpu) => return cpu.to_unit_f32(levels, out),
        Kind::Avx512(cpu) => return cpu.avx2().to_unit_f32(levels, out),
    }
    one_by_one(levels, out);
}

pub(super) fn one_by_one(levels: &[u8], out: &mut [f32]) {
    for (level, out) in levels.iter().zip(out) {
        *out = f32::from(*level) / 255.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_and_any_length_is_the_quotient() {
        let levels: Vec<u8> = (0..=255).chain(0..=30).collect();
        for length in [0, 1, 7, 8, 255, 256, levels.len()] {
            let mut out = vec![9.0; length];
            to_unit_f32(&levels[..length], &mut out);
            assert!(out.iter().zip(&levels).all(|(unit, level)| *unit == f32::from(*level) / 255.0));
        }
    }
}
