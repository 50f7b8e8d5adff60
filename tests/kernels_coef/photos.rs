//! Real photos, where `METACL_TEST_DATA` names a folder that holds `imagenet_sample`.

use std::fs;
use std::path::{Path, PathBuf};

use metacl::coef::encode;
use metacl::decode::{Limits, jpeg_coefficients};
use metacl::image::Rect;

use crate::batch::{Batch, expanded};
use crate::image_support::Dice;

/// A random part of each photo, and every eighth whole, in batches of 32.
#[test]
fn photos_are_those_of_the_expander() {
    let Some(folder) = std::env::var_os("METACL_TEST_DATA") else {
        eprintln!("skipped: METACL_TEST_DATA names no folder with imagenet_sample");
        return;
    };
    let mut dice = Dice::new(17);
    let paths = files(&PathBuf::from(folder).join("imagenet_sample"));
    let mut compared = 0;
    for paths in paths.chunks(32) {
        let (mut batch, mut all) = (Batch::default(), Vec::new());
        for path in paths {
            let bytes = fs::read(path).unwrap();
            let Ok(coefficients) = jpeg_coefficients(&bytes, Limits::default(), None) else { continue };
            let Ok(record) = encode(&coefficients) else { continue };
            let size = coefficients.size;
            let whole = all.len() % 8 == 0;
            let region: Rect = if whole { size.rect() } else { crate::region(size, &mut dice) };
            batch.push(&record, size, region, true).unwrap();
            all.push((path, expanded(&record, size, region).unwrap()));
        }
        for ((path, expected), (pixels, status)) in all.iter().zip(batch.run(1)) {
            assert!(status == 0 && pixels == *expected, "{}", path.display());
            compared += 1;
        }
    }
    assert!(compared > 100, "{compared} photos");
}

/// All files below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
