//! The kernels of `kernels/coef.cu`, on the CPU, make of records what `Expander` makes of them, byte for byte, with any number of threads;
//! whatever the bytes of a record, they stay inside their memory and say where blocks contradict themselves.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

#[path = "kernels_coef/batch.rs"]
mod batch;
mod image_support;
mod kernels_support;
#[cfg(feature = "turbo")]
#[path = "kernels_coef/photos.rs"]
mod photos;
#[path = "kernels_coef/pictures.rs"]
mod pictures;

use batch::{Batch, expanded};
use image_support::Dice;
use kernels_support::{Kernels, Sanitizer, again, argument, passes_under};
use metacl::coef::device::{CONTRADICTION, Expansion, Job, PixelPlace};
use metacl::coef::{CoefError, Coefficients, encode};
use metacl::image::{Rect, Size};
use pictures::{KINDS, picture, pictures};

fn region(size: Size, dice: &mut Dice) -> Rect {
    let mut side = |length: u32| {
        let start = dice.int(0, i64::from(length) - 1) as u32;
        (start, dice.int(1, i64::from(length - start)) as u32)
    };
    let ((x, width), (y, height)) = (side(size.width), side(size.height));
    Rect { x, y, width, height }
}

/// Compares the whole and `regions` parts of all pictures, each alone and all in one batch.
fn compare(pictures: impl Iterator<Item = Coefficients>, regions: usize, threads: u32) {
    let (mut all, mut dice, mut expected) = (Batch::default(), Dice::new(3), Vec::new());
    let check = |batch: &Batch, expected: &[(String, Vec<u8>)]| {
        for ((what, expected), (pixels, status)) in expected.iter().zip(batch.run(threads)) {
            assert_eq!(status, 0, "{what}");
            assert!(pixels == *expected, "{what}, {threads} threads");
        }
    };
    for picture in pictures {
        let (record, size) = (encode(&picture).unwrap(), picture.size);
        let parts: Vec<Rect> = (0..regions).map(|_| region(size, &mut dice)).collect();
        for region in [size.rect()].into_iter().chain(parts) {
            all.push(&record, size, region, true).unwrap();
            let what = format!("{:?} {:?} {size} {region:?}", picture.space, picture.components[0].sampling);
            expected.push((what, expanded(&record, size, region).unwrap()));
            // In buffers of its own, behind which a sanitizer watches.
            let mut alone = Batch::default();
            alone.push(&record, size, region, true).unwrap();
            check(&alone, &expected[expected.len() - 1..]);
        }
    }
    check(&all, &expected);
}

#[test]
fn regions_of_every_kind_are_those_of_the_expander() {
    compare(pictures(), 12, 1);
}

#[test]
fn any_number_of_threads_gives_the_same() {
    let few = || {
        KINDS.into_iter().zip(0..).map(|(kind, seed)| picture(seed, kind, Size::new(270 - 31 * seed as u32, 19), 255))
    };
    // ThreadSanitizer watches one number of threads: enough.
    let counts: &[u32] = if Sanitizer::current() == Sanitizer::None { &[2, 5, 32, 40] } else { &[8] };
    for threads in counts {
        compare(few(), 1, *threads);
    }
}

#[test]
fn damaged_records_do_no_harm() {
    let mut dice = Dice::new(11);
    let (mut refused, mut contradicted, mut equal) = (0, 0, 0);
    for (index, kind) in KINDS.into_iter().enumerate() {
        let size = Size::new(150 + index as u32, 37);
        let good = encode(&picture(index as u64, kind, size, 600)).unwrap();
        for _ in 0..600 {
            let record = damaged(&good, &mut dice);
            for (region, all) in [(size.rect(), true), (Rect { x: 17, y: 9, width: 90, height: 20 }, false)] {
                let expected = expanded(&record, size, region);
                let mut batch = Batch::default();
                if let Err(error) = batch.push(&record, size, region, false) {
                    // Blocks that contradict themselves before what the host refuses are found first by the expander.
                    let other = expected.unwrap_err();
                    assert!(other == error || matches!(other, CoefError::Blocks { .. }), "{error} {other}");
                    refused += 1;
                    continue;
                }
                let (pixels, status) = batch.run(1).remove(0);
                match expected {
                    Ok(expected) if status == 0 => {
                        assert!(pixels == expected, "{kind:?}");
                        equal += 1;
                    }
                    // The kernel reads every chunk to its end, the expander as far as it needs.
                    Ok(_) => assert!(!all && status == CONTRADICTION, "{kind:?}"),
                    Err(error) => {
                        assert!(matches!(error, CoefError::Blocks { .. }) && status == CONTRADICTION, "{error}");
                        contradicted += 1;
                    }
                }
            }
        }
    }
    assert!([refused, contradicted, equal].iter().all(|count| *count > 400), "{refused} {contradicted} {equal}");
}

fn damaged(good: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut record = good.to_vec();
    let last = record.len() as i64 - 1;
    for _ in 0..dice.int(1, 3) {
        // A quarter in the header, whose bytes lead further astray.
        let at = if dice.int(0, 3) == 0 { dice.int(0, last.min(519)) } else { dice.int(0, last) } as usize;
        match dice.int(0, 3) {
            0 => record[at] ^= 1 << dice.int(0, 7),
            1 => record[at] = dice.int(0, 255) as u8,
            2 => record[at] = 255,
            _ => record[at..].iter_mut().take(3).for_each(|byte| *byte = 0),
        }
    }
    record
}

/// Should bytes change after the host's checks, the kernels still stay inside their memory: with heads and blocks that ask for the most, and
/// with random ones.
#[test]
fn heads_that_were_not_checked_do_no_harm() {
    let mut dice = Dice::new(12);
    for (index, kind) in KINDS.into_iter().enumerate() {
        let size = Size::new(260, 9 + index as u32);
        let mut batch = Batch::default();
        batch.push(&encode(&picture(index as u64, kind, size, 255)).unwrap(), size, size.rect(), true).unwrap();
        for most in [true, false].into_iter().cycle().take(60) {
            let dc_bits = dice.int(0, 60) as u8;
            // Little more than 12 a block, so that a sanitizer sees what reaches over.
            let control = (dice.int(0, 900) as u16).to_le_bytes();
            batch.overwrite([dc_bits, control[0], control[1]], || if most { 255 } else { dice.int(0, 255) as u8 });
            let (_, status) = batch.run(1).remove(0);
            assert_eq!(status, CONTRADICTION, "{kind:?}");
        }
    }
}

/// A chunk that says that it holds all of its row, beyond what any chunk can.
#[test]
fn a_chunk_is_read_to_its_bound() {
    let size = Size::new(600, 8);
    let mut dense = picture(0, KINDS[0], size, 0);
    dense.components[0].blocks.iter_mut().for_each(|block| *block = [16384; 64]);
    let mut record = encode(&dense).unwrap();
    // One MCU row: its start, the record's length and two checksums end the header.
    let row = 8 + 2 + 128 + 16;
    let last = [record[row + 4], record[row + 5]];
    assert!(2 * usize::from(u16::from_le_bytes(last)) > 2 * 4352);
    record[row..row + 2].copy_from_slice(&last);
    for (width, refused) in [(256, true), (100, false)] {
        let region = Rect { x: 0, y: 0, width, height: 8 };
        assert_eq!(expanded(&record, size, region).is_err(), refused);
        let mut batch = Batch::default();
        batch.push(&record, size, region, false).unwrap();
        assert_eq!(batch.run(1)[0].1, CONTRADICTION);
    }
}

#[test]
fn what_the_host_checks_is_refused_and_leaves_nothing_behind() {
    let size = Size::new(70, 45);
    let record = encode(&picture(1, KINDS[3], size, 255)).unwrap();
    let pixels = PixelPlace { offset: 0, stride: 72, plane: 72 * 45 };
    let job = Job { record: &record, size, region: size.rect(), verify: true, image: 0, copied_at: 0, pixels };
    let mut expansion = Expansion::default();
    let mut refused = |job: &Job<'_>| {
        let error = expansion.push(job).unwrap_err();
        let lists = (expansion.chunks().len(), expansion.tables().len(), expansion.bands().len());
        assert_eq!((lists, expansion.pictures().len(), expansion.sample_bytes()), ((0, 0, 0), 0, 0));
        error
    };
    let other = Size::new(45, 70);
    assert_eq!(refused(&Job { size: other, ..job }), CoefError::Size { expected: other, found: size });
    let region = Rect { x: 60, y: 0, width: 11, height: 1 };
    assert_eq!(refused(&Job { region, ..job }), CoefError::Region { region, size });
    assert!(matches!(refused(&Job { record: &record[..record.len() - 1], ..job }), CoefError::Header { .. }));
    let mut last = record.clone();
    *last.last_mut().unwrap() ^= 0x80;
    let job = Job { record: &last, ..job };
    assert!(matches!(refused(&job), CoefError::Checksum { part, .. } if part == "MCU row 2"));
    // The damaged row is not needed.
    let upper = Rect { height: 20, ..size.rect() };
    let taken = expansion.push(&Job { region: upper, ..job }).unwrap();
    assert!(!taken.gray && taken.copy.end < record.len());
}

#[test]
fn nothing_leaves_its_memory() {
    for test in [
        "regions_of_every_kind_are_those_of_the_expander",
        "damaged_records_do_no_harm",
        "heads_that_were_not_checked_do_no_harm",
        "a_chunk_is_read_to_its_bound",
    ] {
        passes_under(test, Sanitizer::Address);
    }
}

#[test]
fn threads_of_a_block_do_not_race() {
    passes_under("any_number_of_threads_gives_the_same", Sanitizer::Thread);
}

/// Under a sanitizer runs a kernel that is wrong, which must not pass.
#[test]
fn sanitizers_see_faults() {
    let launch = |name: &str, threads: u32, arguments: &[*mut std::ffi::c_void]| {
        // SAFETY: types as in exports.cpp; what the kernels do wrong is what the sanitizers stop.
        unsafe { Kernels::get().launch(name, 1, threads, 0, arguments) }
    };
    let mut sum = Box::new(0u32);
    let to: *mut u32 = &raw mut *sum;
    match Sanitizer::current() {
        Sanitizer::None => {
            for (sanitizer, sign) in [(Sanitizer::Address, "heap-buffer-overflow"), (Sanitizer::Thread, "data race")] {
                let output = again("sanitizers_see_faults", sanitizer);
                let error = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(!output.status.success() && error.contains(sign), "{sanitizer:?}: {}\n{error}", output.status);
            }
        }
        Sanitizer::Address => {
            let numbers: Box<[u32]> = Box::new([1; 5]);
            launch("reads_behind", 1, &[argument(&numbers.as_ptr()), argument(&5u32), argument(&to)]);
        }
        Sanitizer::Thread => launch("races", 4, &[argument(&to)]),
    }
}
