//! Whatever length a shard is cut to and whichever bit of it is changed: opening or `verify` refuses it, and what can be read all the
//! same is, pixel for pixel, what was written. Nothing panics, also where checksums are not compared.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod image_support;
#[path = "kernels_coef/pictures.rs"]
mod pictures;
#[path = "shard_support/records.rs"]
mod records;
#[path = "shard_support/mod.rs"]
mod support;

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use metacl::decode::{Decoder, Limits, Want};
use metacl::image::Size;
use metacl::shard::{Codec, NO_LABEL, ShardSet, Verify, verify_files};
use records::record;
use support::{Sample, options, write};

/// What a reader learns of a sample.
#[derive(Debug, PartialEq)]
struct Shown {
    pixels: Vec<u8>,
    label: u32,
    name: String,
}

/// A split of one small shard, as a file that is damaged and mended in place.
struct Victim {
    _folder: tempfile::TempDir,
    path: PathBuf,
    file: File,
    bytes: Vec<u8>,
    shown: Vec<Shown>,
}

/// Images of different sizes, off the grid of 8 and of blocks; one without a class, one without a name.
fn sample(codec: Codec, number: u64) -> Sample {
    let at = number as usize;
    let size = [Size::new(7, 5), Size::new(9, 3), Size::new(4, 10)][at];
    let (bytes, name) = (record(codec, size, number), ["one/ä", "", "3"][at].to_owned());
    Sample { bytes, size, codec, label: [0, NO_LABEL, 1][at], name }
}

/// Opens the shard and reads every sample, as a loader does; `None` where it does not open.
fn read(path: &Path, verify: Verify) -> Option<Vec<Option<Shown>>> {
    let set = ShardSet::open(path).ok()?.with_verify(verify);
    let mut decoder = Decoder::new(Limits { max_pixels: 1 << 12 });
    let mut one = |index| {
        let stored = set.stored(index).ok()?;
        let want = Want { verify: stored.check_parts, ..Want::all(stored.info.size) };
        let pixels =
            decoder.decode(stored.info.codec, &stored.bytes, stored.info.size, want).ok()?.pixels.interleaved();
        Some(Shown { pixels, label: stored.info.label, name: set.name(index).ok()?.to_owned() })
    };
    Some((0..set.len()).map(&mut one).collect())
}

impl Victim {
    fn new(codec: Codec) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let samples: Vec<_> = (0..3).map(|number| sample(codec, number)).collect();
        write(folder.path(), &samples, options(1 << 20));
        let path = folder.path().join("00000.mcs");
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let shown: Option<Vec<_>> = read(&path, Verify::Always).unwrap().into_iter().collect();
        Self { bytes: std::fs::read(&path).unwrap(), path, file, shown: shown.unwrap(), _folder: folder }
    }

    fn put(&mut self, at: usize, byte: u8) {
        self.file.seek(SeekFrom::Start(at as u64)).unwrap();
        self.file.write_all(&[byte]).unwrap();
    }

    /// Holds the damaged shard to the promise; whether it opened, and whether all of it was read.
    fn judge(&self, what: &str) -> (bool, bool) {
        catch_unwind(AssertUnwindSafe(|| self.look(what))).unwrap_or_else(|_| panic!("{what}: panicked"))
    }

    fn look(&self, what: &str) -> (bool, bool) {
        let faults = verify_files(std::slice::from_ref(&self.path));
        assert!(!faults.is_empty(), "{what}: passes verify");
        for fault in faults {
            let message = fault.to_string();
            let told = message.starts_with(&format!("{}: ", self.path.display())) && message.lines().count() == 1;
            assert!(told, "{what}: {message}");
        }
        let _ = read(&self.path, Verify::Never);
        let first = read(&self.path, Verify::First);
        let Some(read) = read(&self.path, Verify::Always) else { return (false, false) };
        let mut all = true;
        for (found, shown) in [read, first.unwrap()].iter().flat_map(|found| found.iter().zip(&self.shown)) {
            assert!(found.as_ref().is_none_or(|found| found == shown), "{what}: other pixels, label or name");
            all &= found.is_some();
        }
        (true, all)
    }
}

/// Every cut, and every change of one bit, of a shard of records of this kind.
fn every_damage(codec: Codec) {
    let mut victim = Victim::new(codec);
    let length = victim.bytes.len();
    let (mut refused, mut unread) = (0, 0);
    for at in 0..length {
        let byte = victim.bytes[at];
        for bit in 0..8 {
            victim.put(at, byte ^ 1 << bit);
            let (opened, all) = victim.judge(&format!("bit {bit} of byte {at} changed"));
            refused += u32::from(!opened);
            unread += u32::from(all);
        }
        victim.put(at, byte);
    }
    assert!(verify_files(std::slice::from_ref(&victim.path)).is_empty(), "mended");
    for cut in (0..length).rev() {
        victim.file.set_len(cut as u64).unwrap();
        let (opened, _) = victim.judge(&format!("cut to {cut} bytes"));
        assert!(!opened, "opened, cut to {cut} bytes");
    }
    let name = codec.name();
    println!(
        "{name}: {length} bytes, {length} cuts, all refused; {} bits changed, all found: {refused} by opening, the rest by verify; \
         {unread} in bytes that no reader needs",
        8 * length
    );
    assert!(unread > 0, "the shard was to have gaps");
}

#[test]
fn coefficient_records() {
    every_damage(Codec::Coef);
}

#[test]
fn jpeg_records() {
    every_damage(Codec::Jpeg);
}

#[test]
fn raw_records() {
    every_damage(Codec::Raw);
}

#[test]
fn png_records() {
    every_damage(Codec::Png);
}

/// A tail is no more welcome than a cut.
#[test]
fn longer_shards() {
    for codec in Codec::ALL {
        let mut victim = Victim::new(codec);
        for more in [1, 8, 80, 4096] {
            victim.file.seek(SeekFrom::End(0)).unwrap();
            victim.file.write_all(&vec![0; more]).unwrap();
            assert!(!victim.judge("a longer file").0, "opened with a tail");
            victim.file.set_len(victim.bytes.len() as u64).unwrap();
        }
    }
}
