//! Records of real JPEG files expand to exactly libjpeg-turbo's pixels, whole and in regions, on every path, and hold the file's
//! coefficients; they are hardly larger than the files.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(feature = "turbo")]

mod image_support;
mod jpeg_support;

use std::fs;
use std::path::{Path, PathBuf};

use image_support::{Dice, photo_like};
use jpeg_support::{Kind, PLAIN, encode, kinds};
use metacl::coef::{self, Coefficients, Expander, NotCovered};
use metacl::decode::{Limits, jpeg_coefficients, sniff};
use metacl::image::{Planes, Rect, Size};
use metacl::shard::Codec;

/// Coefficients and pixels of a file.
fn read(jpeg: &[u8]) -> (Coefficients, Vec<u8>) {
    let mut pixels = Vec::new();
    let coefficients = jpeg_coefficients(jpeg, Limits::default(), Some(&mut pixels)).unwrap();
    pixels.truncate(coefficients.size.area() as usize * 3);
    (coefficients, pixels)
}

/// Compares what `record` expands to, whole and in `regions` random parts, with `pixels`.
fn compare(record: &[u8], size: Size, pixels: &[u8], regions: usize, what: &str) {
    let mut dice = Dice::new(size.width as u64 * 1000 + size.height as u64);
    let mut some = || {
        let mut side = |length: u32| {
            let start = dice.int(0, i64::from(length) - 1) as u32;
            (start, dice.int(1, i64::from(length - start)) as u32)
        };
        let ((x, width), (y, height)) = (side(size.width), side(size.height));
        Rect { x, y, width, height }
    };
    let regions: Vec<Rect> = std::iter::once(size.rect()).chain((0..regions).map(|_| some())).collect();
    let mut out = Planes::default();
    for path in [coef::Path::Fastest, coef::Path::Scalar] {
        let mut expander = Expander::new(path);
        for region in &regions {
            expander.expand(record, size, *region, true, &mut out).unwrap();
            let found = out.as_ref().interleaved();
            let row = |y: u32| &pixels[(y * size.width + region.x) as usize * 3..][..region.width as usize * 3];
            let expected: Vec<u8> = (region.y..region.y + region.height).flat_map(row).copied().collect();
            assert!(found == expected, "{what}: {region:?} of {size}, {path:?}");
        }
    }
}

#[test]
fn files_of_every_kind_expand_to_the_decoders_pixels() {
    let subsampled_rgb = Kind { space: turbojpeg_sys::TJCS_TJCS_RGB, ..PLAIN };
    let kinds = kinds().into_iter().filter(|(_, kind)| !kind.four()).chain([("RGB 4:2:0", subsampled_rgb)]);
    let sizes = [(200, 133), (64, 48), (45, 38), (33, 17), (17, 9), (6, 40), (5, 7), (4, 4), (3, 50), (2, 2), (1, 1)];
    let mut refused = Vec::new();
    for (name, kind) in kinds {
        for (size, quality) in sizes.iter().flat_map(|size| [30, 90, 100].map(|quality| (size, quality))) {
            let size = Size::new(size.0, size.1);
            let jpeg = encode(photo_like(size).as_ref().data(), size, Kind { quality, ..kind });
            let (coefficients, pixels) = read(&jpeg);
            match coef::encode(&coefficients) {
                Ok(record) => {
                    assert!(coef::coefficients(&record).unwrap() == coefficients, "{name} {size}");
                    compare(&record, size, &pixels, 12, name);
                }
                Err(NotCovered::Sampling(_)) => refused.push(name),
                Err(other) => panic!("{name} {size}: {other}"),
            }
        }
    }
    refused.dedup();
    assert_eq!(refused, ["4:4:0", "4:1:1"]);
}

#[test]
fn photos_expand_to_the_decoders_pixels() {
    let Some(folder) = std::env::var_os("METACL_TEST_DATA") else {
        eprintln!("skipped: METACL_TEST_DATA names no folder with imagenet_sample");
        return;
    };
    let (mut files, mut jpeg_bytes, mut record_bytes) = (0, 0, 0);
    for path in photos(&PathBuf::from(folder).join("imagenet_sample")) {
        let jpeg = fs::read(&path).unwrap();
        if sniff(&jpeg) != Some(Codec::Jpeg) {
            continue;
        }
        let Ok(coefficients) = jpeg_coefficients(&jpeg, Limits::default(), None) else { continue };
        let Ok(record) = coef::encode(&coefficients) else { continue };
        let (_, pixels) = read(&jpeg);
        compare(&record, coefficients.size, &pixels, 2, &path.display().to_string());
        assert!(coef::coefficients(&record).unwrap() == coefficients, "{}", path.display());
        files += 1;
        jpeg_bytes += jpeg.len();
        record_bytes += record.len();
    }
    let ratio = record_bytes as f64 / jpeg_bytes as f64;
    println!("{files} photos, records {ratio:.4} of the files");
    assert!(files > 100 && ratio < 1.26, "{files} photos, records {ratio:.4} of the files");
}

/// All files below `folder`.
fn photos(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { photos(&path) } else { vec![path] }).collect()
}
