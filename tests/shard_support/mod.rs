//! A small split of every kind of sample.

#![allow(dead_code, unreachable_pub, reason = "shared by test files, each of which uses its part")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use metacl::image::Size;
use metacl::shard::{Codec, NO_LABEL, NewSample, SplitWriter, WriteOptions, WriteSummary};

/// A sample that owns its bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) bytes: Vec<u8>,
    pub(crate) size: Size,
    pub(crate) codec: Codec,
    pub(crate) label: u32,
    pub(crate) name: String,
}

impl Sample {
    pub(crate) fn borrow(&self) -> NewSample<'_> {
        NewSample { bytes: &self.bytes, size: self.size, codec: self.codec, label: self.label, name: &self.name }
    }
}

/// `count` samples, all different, of every codec, with and without label, of lengths on and off the grid of 8.
pub(crate) fn samples(count: u8) -> Vec<Sample> {
    let sample = |number: u8| {
        let codec = Codec::ALL[usize::from(number) % 4];
        let size = Size::new(u32::from(number) + 1, 3);
        let length = if codec == Codec::Raw { size.area() * 3 } else { u64::from(number) * 5 + 1 };
        Sample {
            bytes: (0..length).map(|byte| byte as u8 ^ number.wrapping_mul(37)).collect(),
            size,
            codec,
            label: if number % 3 == 2 { NO_LABEL } else { u32::from(number % 3) },
            name: format!("klasse/{number}ä").repeat(usize::from(number % 3)),
        }
    };
    (0..count).map(sample).collect()
}

/// Two classes, a pair of metadata, two samples to an index page.
pub(crate) fn options(shard_size: u64) -> WriteOptions {
    WriteOptions {
        shard_size,
        classes: vec!["first".to_owned(), "zweite ü".to_owned()],
        metadata: BTreeMap::from([("source".to_owned(), "made up".to_owned())]),
        page_entries: 2,
    }
}

pub(crate) fn write(folder: &Path, samples: &[Sample], options: WriteOptions) -> WriteSummary {
    let mut writer = SplitWriter::create(folder, options).unwrap();
    samples.iter().for_each(|sample| writer.append(&sample.borrow()).unwrap());
    writer.finish().unwrap()
}

/// Everything in `folder`, hidden or not, by name.
pub(crate) fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}
