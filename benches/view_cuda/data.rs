//! Photos and icons: records, pixels, datasets.

use std::path::Path;
use std::sync::Arc;

use metacl::coef::{self, Coefficients, ColourSpace, Component, Expander, encode};
use metacl::image::{Planes, Size};
use metacl::shard::{Codec, NO_LABEL, NewSample, ShardSet, SplitWriter, WriteOptions};

use crate::Outcome;

/// A photo as a coefficient record.
pub(crate) struct Photo {
    pub(crate) record: Vec<u8>,
    pub(crate) size: Size,
}

/// Distinct photos; launches and datasets repeat them.
pub(crate) struct Photos(Vec<Photo>);

impl Photos {
    /// Up to `most` of METACL_BENCH_PHOTOS, or that many made-up ones of `size`.
    pub(crate) fn get(most: usize, size: Size) -> Self {
        #[cfg(feature = "turbo")]
        if let Some(folder) = std::env::var_os("METACL_BENCH_PHOTOS") {
            let photos = real::photos(Path::new(&folder), most);
            assert!(
                !photos.is_empty(),
                "METACL_BENCH_PHOTOS holds no .jpg, .jpeg or .JPEG that has a coefficient record"
            );
            return Self(photos);
        }
        let made = |number: u64| Photo { record: encode(&made_up(number, size)).expect("4:2:0 is covered"), size };
        Self((0..most as u64).map(made).collect())
    }

    /// Photo `number`, repeating them.
    pub(crate) fn at(&self, number: usize) -> &Photo {
        &self.0[number % self.0.len()]
    }

    /// How many are distinct.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Mean bytes of a record.
    pub(crate) fn mean_bytes(&self) -> f64 {
        self.0.iter().map(|photo| photo.record.len() as f64).sum::<f64>() / self.0.len() as f64
    }

    /// A dataset of `samples` samples.
    pub(crate) fn dataset(&self, folder: &Path, samples: u64) -> Outcome<Arc<ShardSet>> {
        let mut writer = SplitWriter::create(folder, WriteOptions::default())?;
        for number in 0..samples {
            let Photo { record, size } = self.at(number as usize);
            let (bytes, size) = (&record[..], *size);
            writer.append(&NewSample { bytes, size, codec: Codec::Coef, label: NO_LABEL, name: "" })?;
        }
        writer.finish()?;
        Ok(Arc::new(ShardSet::open(folder)?))
    }
}

impl Photo {
    pub(crate) fn pixels(&self) -> Planes {
        let mut planes = Planes::default();
        let mut expander = Expander::new(coef::Path::Fastest);
        expander.expand(&self.record, self.size, self.size.rect(), true, &mut planes).expect("a sound record");
        planes
    }
}

/// Icons of 32 x 32 stored as pixels.
pub(crate) fn icons(folder: &Path, count: u32) -> Outcome<Arc<ShardSet>> {
    let mut writer = SplitWriter::create(folder, WriteOptions::default())?;
    for number in 0..count {
        let bytes: Vec<u8> = (0..3072u32).map(|at| ((at * 7 + number * 13) % 251) as u8).collect();
        let size = Size::new(32, 32);
        writer.append(&NewSample { bytes: &bytes, size, codec: Codec::Raw, label: NO_LABEL, name: "" })?;
    }
    writer.finish()?;
    Ok(Arc::new(ShardSet::open(folder)?))
}

/// Coefficients with a photo's statistics: 4:2:0, values that fall off with frequency, calm and busy parts. At 500 x 375 a record has
/// about the bytes of ImageNet's mean photo.
fn made_up(number: u64, size: Size) -> Coefficients {
    let mut noise = Noise(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let component = |sampling| Component {
        sampling,
        quantisation: std::array::from_fn(|at| 3 + (at / 8 + at % 8) as u16),
        columns: 0,
        rows: 0,
        blocks: Vec::new(),
    };
    let components = [(2, 2), (1, 1), (1, 1)].map(component).into();
    let mut photo = Coefficients { size, space: ColourSpace::YCbCr, components };
    for index in 0..3 {
        let (columns, rows) = photo.blocks(index);
        let strength = if index == 0 { 230.0 } else { 60.0 };
        let phase = number as f64 + 2.0 * index as f64;
        let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (row as f64, column as f64)));
        let blocks = places.map(|(row, column)| {
            // Calm and busy parts, some blocks across; brightness in waves.
            let busy = ((row / 5.0 + phase).sin() * (column / 7.0).cos()).exp2().powi(2);
            let wave = (column / 9.0 + phase).sin() * (row / 6.0).cos();
            std::array::from_fn(|at| match at {
                0 => ((strength * wave + 40.0 * noise.laplace()) / 3.0) as i16,
                _ => {
                    let frequency = (at / 8 + at % 8) as f64;
                    let spread = strength * busy / (1.0 + frequency).powf(1.15);
                    (spread * noise.laplace() / (3.0 + frequency)).clamp(-900.0, 900.0) as i16
                }
            })
        });
        let blocks = blocks.collect();
        let component = &mut photo.components[index];
        (component.columns, component.rows, component.blocks) = (columns, rows, blocks);
    }
    photo
}

struct Noise(u64);

impl Noise {
    /// Of mean 0 and mean size 1, small values most often.
    fn laplace(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let unit = ((self.0 >> 40) + 1) as f64 / (1 << 24) as f64;
        if self.0 & 1 == 0 { unit.ln() } else { -unit.ln() }
    }
}

#[cfg(feature = "turbo")]
mod real {
    use std::path::{Path, PathBuf};

    use metacl::coef::encode;
    use metacl::decode::{Limits, jpeg_coefficients};

    use super::Photo;

    /// Up to `most` of the JPEGs below `folder`, evenly chosen, that have a coefficient record.
    pub(super) fn photos(folder: &Path, most: usize) -> Vec<Photo> {
        let files = files(folder);
        let step = files.len().div_ceil(most).max(1);
        files.iter().step_by(step).filter_map(|file| photo(file)).collect()
    }

    fn photo(file: &Path) -> Option<Photo> {
        let coefficients = jpeg_coefficients(&std::fs::read(file).ok()?, Limits::default(), None).ok()?;
        Some(Photo { record: encode(&coefficients).ok()?, size: coefficients.size })
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).expect("a folder that can be read") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                found.extend(files(&path));
            } else if path
                .extension()
                .is_some_and(|ending| ["jpg", "jpeg", "JPEG"].iter().any(|known| ending == *known))
            {
                found.push(path);
            }
        }
        found.sort();
        found
    }
}
