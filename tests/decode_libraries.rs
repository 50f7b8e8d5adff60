//! zune-jpeg gives what libjpeg-turbo gives, up to a stated distance; four-component files follow Pillow's formula in both.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(feature = "turbo")]

mod image_support;
mod jpeg_support;

use std::path::{Path, PathBuf};

use image_support::{Dice, mean_difference, photo_like};
use jpeg_support::{Kind, encode, kinds};
use metacl::decode::{Decoder, JpegLibrary, Limits, Want, probe, sniff};
use metacl::image::Size;
use metacl::shard::Codec;

/// Largest and mean distance in levels that zune-jpeg may be off: its inverse DCT rounds differently by a level, which chroma
/// upsampling and the colour matrix (1.772) enlarge. Over 250 photos 7 and 0.36 were measured (November 2026).
const APART: (u8, f64) = (12, 0.75);

fn decode(library: JpegLibrary, bytes: &[u8], what: &str) -> Vec<u8> {
    let size = probe(Codec::Jpeg, bytes).unwrap_or_else(|e| panic!("{what}: {e}"));
    let mut decoder = Decoder::with_library(Limits::default(), library);
    let region = decoder.decode(Codec::Jpeg, bytes, size, Want::all(size));
    region.unwrap_or_else(|e| panic!("{what}: {e}")).pixels.interleaved()
}

fn compare(bytes: &[u8], what: &str) -> (u8, f64) {
    let [turbo, zune] = [JpegLibrary::Turbo, JpegLibrary::Zune].map(|library| decode(library, bytes, what));
    let most = turbo.iter().zip(&zune).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
    let mean = mean_difference(&turbo, &zune);
    println!("{what}: at most {most} levels apart, {mean:.3} on average");
    (most, mean)
}

fn source(size: Size, kind: Kind) -> Vec<u8> {
    let smooth = photo_like(size).into_data();
    if !kind.four() {
        return smooth;
    }
    // Inverted CMYK: the colours, and a key that stays light.
    let mut dice = Dice::new(12);
    smooth.as_chunks::<3>().0.iter().flat_map(|&[c, m, y]| [c, m, y, dice.int(180, 200) as u8]).collect()
}

#[test]
fn every_kind_decodes_alike() {
    for size in [Size::new(64, 48), Size::new(45, 38), Size::new(7, 5), Size::new(1, 1)] {
        for (name, kind) in kinds().into_iter().filter(|(_, kind)| !kind.arithmetic) {
            let bytes = encode(&source(size, kind), size, kind);
            let (most, mean) = compare(&bytes, &format!("{name} {size}"));
            assert!(most <= APART.0 && mean <= APART.1, "{name} {size}: {most}, mean {mean}");
        }
    }
}

/// With samples stored inverted, a channel is its colour times the key, over 255.
#[test]
fn four_components_follow_pillow() {
    let size = Size::new(45, 38);
    for (name, kind) in kinds().into_iter().filter(|(_, kind)| kind.four()) {
        let source = source(size, kind);
        let bytes = encode(&source, size, Kind { quality: 100, ..kind });
        let pixels = source.as_chunks::<4>().0.iter();
        let expected: Vec<u8> = pixels
            .flat_map(|&[c, m, y, k]| [c, m, y].map(|ink| (f64::from(ink) * f64::from(k) / 255.0).round() as u8))
            .collect();
        for library in [JpegLibrary::Turbo, JpegLibrary::Zune] {
            let off = mean_difference(&decode(library, &bytes, name), &expected);
            assert!(off < 1.5, "{name}, {library:?}: {off} levels on average");
        }
    }
}

/// The files of a tree.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

#[test]
fn photos_decode_alike() {
    let Some(data) = std::env::var_os("METACL_TEST_DATA") else {
        println!("skipped: METACL_TEST_DATA is not set");
        return;
    };
    let mut paths = Vec::new();
    files(&Path::new(&data).join("imagenet_sample"), &mut paths);
    paths.sort();
    let photos = paths.iter().step_by(10).filter_map(|path| {
        let bytes = std::fs::read(path).unwrap();
        (sniff(&bytes) == Some(Codec::Jpeg)).then_some((path, bytes))
    });
    let mut compared = 0;
    for (path, bytes) in photos {
        let (most, mean) = compare(&bytes, &path.display().to_string());
        assert!(most <= APART.0 && mean <= APART.1, "{}: {most}, mean {mean}", path.display());
        compared += 1;
    }
    assert!(compared > 0, "no photos in imagenet_sample");
}
