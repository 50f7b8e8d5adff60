//! Damaged records are refused or give wrong pixels, the same on both paths; never a fault.

use super::{KINDS, Numbers, picture};
use crate::coef::{CoefError, Expander, Path, coefficients, encode};
use crate::image::{Planes, Rect, Size};

#[test]
fn mutated_records_do_no_harm() {
    let mut numbers = Numbers::new(11);
    let (mut fastest, mut scalar) = (Expander::new(Path::Fastest), Expander::new(Path::Scalar));
    let (mut refused, mut expanded) = (0, 0);
    // Miri is slow: a few blocks there.
    let (width, height, region) = match cfg!(miri) {
        true => (30, 9, Rect { x: 3, y: 2, width: 20, height: 6 }),
        false => (150, 37, Rect { x: 17, y: 9, width: 90, height: 20 }),
    };
    for (index, kind) in KINDS.into_iter().enumerate() {
        let size = Size::new(width + index as u32, height);
        let good = encode(&picture(index as u64, kind, size, 600)).unwrap();
        for _ in 0..mutations() / KINDS.len() {
            let record = mutated(&good, &mut numbers);
            for region in [size.rect(), region] {
                let [first, second] =
                    [&mut fastest, &mut scalar].map(|expander| pixels(expander, &record, size, region));
                match (first, second) {
                    (Ok(first), Ok(second)) => assert!(first == second, "{kind:?}"),
                    (Err(_), Err(_)) => refused += 1,
                    _ => panic!("one path refuses what the other expands: {kind:?}"),
                }
                expanded += 1;
            }
            // All checksums are compared here.
            assert!(coefficients(&record).is_err() || record == good);
        }
    }
    assert!(refused > expanded / 4 && refused < expanded, "{refused} of {expanded} refused");
}

/// `METACL_MUTATIONS`, set when this is compiled, for long runs, for instance under AddressSanitizer.
fn mutations() -> usize {
    let usual = if cfg!(miri) { 14 } else { 5000 };
    option_env!("METACL_MUTATIONS").and_then(|count| count.parse().ok()).unwrap_or(usual)
}

fn mutated(good: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut record = good.to_vec();
    for _ in 0..1 + numbers.below(3) {
        // Half of them in the header, whose bytes lead further astray.
        let at = if numbers.below(2) == 0 { numbers.below(record.len()) } else { numbers.below(record.len().min(520)) };
        match numbers.below(4) {
            0 => record[at] ^= 1 << numbers.below(8),
            1 => record[at] = numbers.below(256) as u8,
            2 => record[at] = 255,
            _ => record[at..].iter_mut().take(3).for_each(|byte| *byte = 0),
        }
    }
    if numbers.below(10) == 0 {
        record.truncate(numbers.below(record.len() + 1));
    }
    record
}

fn pixels(expander: &mut Expander, record: &[u8], size: Size, region: Rect) -> Result<Vec<u8>, CoefError> {
    let mut out = Planes::default();
    expander.expand(record, size, region, false, &mut out)?;
    Ok(out.as_ref().interleaved())
}
