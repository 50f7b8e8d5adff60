//! Files that change while they are mapped: cut short, written to in place, replaced by a rename, on a disk that cannot read them. Nothing that
//! is read then passes for what was written, no process ends by a signal, and what is no fault does no harm.
//!
//! [`reading`]: an open set. [`loading`]: a running loader. [`programs`]: `metacl-shard` at work. [`signals`]: SIGBUS that is none of our maps'.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../image_support/mod.rs"]
mod image_support;
mod loading;
#[path = "../kernels_coef/pictures.rs"]
mod pictures;
mod programs;
mod reading;
#[path = "../shard_support/records.rs"]
mod records;
#[path = "../shard_support/mod.rs"]
mod shard_support;
mod signals;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use metacl::image::Size;
use metacl::shard::{Codec, ShardSet, Verify, WriteOptions};
use records::record;
use shard_support::{Sample, options, write};

/// Of every dataset here.
const SAMPLES: u64 = 48;
/// Bytes of a memory page; files are cut at a multiple, so that all that is lost is lost as whole pages.
const PAGE: u64 = 4096;

/// A split of one file of some hundred kilobytes, last written an hour ago.
struct Dataset {
    folder: tempfile::TempDir,
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Dataset {
    /// An index page follows each `page_entries` samples.
    fn new(codec: Codec, page_entries: u32) -> Self {
        Self::of(codec, page_entries, 0, 1)
    }

    /// Sides are `scale` times as long. They do not depend on `seed`, so that raw datasets are of equal length.
    fn of(codec: Codec, page_entries: u32, seed: u64, scale: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sample = |number: u64| {
            let size = Size::new((40 + number as u32 % 7 * 5) * scale, (36 + number as u32 % 5 * 9) * scale);
            let bytes = record(codec, size, number + seed);
            Sample { bytes, size, codec, label: number as u32 % 2, name: format!("{number:03}") }
        };
        let samples: Vec<_> = (0..SAMPLES).map(sample).collect();
        write(folder.path(), &samples, WriteOptions { page_entries, ..options(1 << 30) });
        let path = folder.path().join("00000.mcs");
        let dataset = Self { bytes: fs::read(&path).unwrap(), folder, path };
        dataset.date(Duration::from_secs(3600));
        dataset
    }

    fn open(&self, verify: Verify) -> ShardSet {
        ShardSet::open(self.folder.path()).unwrap().with_verify(verify)
    }

    fn file(&self) -> File {
        OpenOptions::new().write(true).open(&self.path).unwrap()
    }

    /// Makes the file as old as `age`, whatever was done to it.
    fn date(&self, age: Duration) {
        // Whole seconds, so that twice the same age is the same date.
        let hour = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        self.file().set_modified(hour - age).unwrap();
    }

    /// The middle of the file.
    fn middle(&self) -> u64 {
        self.bytes.len() as u64 / 2 / PAGE * PAGE
    }

    /// Cuts the file there.
    fn cut(&self) {
        self.file().set_len(self.middle()).unwrap();
    }

    /// Undoes the cut, date and all.
    fn mend(&self) {
        let at = self.middle();
        self.file().write_all_at(&self.bytes[at as usize..], at).unwrap();
        self.date(Duration::from_secs(3600));
    }

    /// Changes a byte of each sample's record, in place.
    fn scribble(&self) {
        let set = self.open(Verify::Never);
        for index in 0..SAMPLES {
            let at = set.info(index).unwrap().offset + set.info(index).unwrap().length / 2;
            self.file().write_all_at(&[self.bytes[at as usize] ^ 0x55], at).unwrap();
        }
    }
}
