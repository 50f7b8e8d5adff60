//! Of a damaged file, exactly what is intact is found: for every byte that is flipped, and every length that it is cut to.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "shard_support/mod.rs"]
mod support;

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use metacl::shard::ShardSet;
use metacl::shard::salvage::{Piece, Salvage};
use support::{Sample, options, samples, write};

/// A sound file of 11 samples on 6 index pages, and where everything lies in it.
struct Sound {
    folder: tempfile::TempDir,
    bytes: Vec<u8>,
    samples: Vec<Sample>,
    records: Vec<Range<usize>>,
    pages: Vec<Range<usize>>,
}

const HEADER: usize = 64;
const FOOTER: usize = 80;
const ROW: usize = 24;

impl Sound {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let samples = samples(11);
        write(&folder.path().join("sound"), &samples, options(1 << 20));
        let set = ShardSet::open(&folder.path().join("sound")).unwrap();
        let records = (0..set.len()).map(|index| {
            let info = set.info(index).unwrap();
            info.offset as usize..(info.offset + info.length) as usize
        });
        let records: Vec<_> = records.collect();
        let page = |(number, on_it): (usize, &[Sample])| {
            let start = records[number * 2 + on_it.len() - 1].end.next_multiple_of(8);
            start..start + on_it.iter().map(|sample| 40 + sample.name.len()).sum::<usize>()
        };
        let pages = samples.chunks(2).enumerate().map(page).collect();
        let bytes = fs::read(folder.path().join("sound/00000.mcs")).unwrap();
        Self { folder, bytes, samples, records, pages }
    }

    /// The samples that are found in `bytes`, by their names and bytes, and whether the classes are.
    fn found(&self, bytes: &[u8]) -> (Vec<usize>, bool, Salvage) {
        let path: PathBuf = self.folder.path().join("damaged.mcs");
        fs::write(&path, bytes).unwrap();
        let salvage = Salvage::read(Path::new(&path)).unwrap();
        let mut found = Vec::new();
        let mut at = HEADER as u64;
        for piece in salvage.pieces() {
            match piece {
                Piece::Intact { sample, offset } => {
                    let is_it = |known: &Sample| {
                        let fields =
                            (known.name.as_str(), known.label, known.size, known.codec, known.bytes.as_slice());
                        fields == (sample.name, sample.label, sample.size, sample.codec, sample.bytes)
                    };
                    found.push(self.samples.iter().position(is_it).expect("a sample that was never written"));
                    assert!(offset >= at);
                    at = offset + sample.bytes.len() as u64;
                }
                Piece::Lost(lost) => {
                    assert!(lost.offset >= at && bytes[lost.offset as usize..].starts_with(lost.bytes));
                    at = lost.offset + lost.bytes.len() as u64;
                }
            }
        }
        (found, salvage.classes().is_some_and(|classes| classes == options(0).classes), salvage)
    }

    fn on_page(number: usize) -> Range<usize> {
        number * 2..(number * 2 + 2).min(11)
    }

    /// What is intact when the byte at `at` is not: samples, and classes.
    fn intact(&self, at: usize) -> (Vec<usize>, bool) {
        let body = self.pages.last().unwrap().end.next_multiple_of(8);
        let table = self.bytes.len() - FOOTER - self.pages.len() * ROW;
        let rows = (0..self.pages.len()).map(|row| table + row * ROW..table + (row + 1) * ROW);
        let page = self.pages.iter().position(|page| page.contains(&at));
        let page = page.or_else(|| rows.into_iter().position(|row| row.contains(&at)));
        let record = self.records.iter().position(|record| record.contains(&at));
        let lost = match (page, record) {
            (Some(page), _) => Self::on_page(page),
            (_, Some(record)) => record..record + 1,
            _ => 0..0,
        };
        ((0..11).filter(|sample| !lost.contains(sample)).collect(), !(body..table).contains(&at))
    }
}

#[test]
fn a_flipped_byte_costs_what_it_is_part_of() {
    let sound = Sound::new();
    for at in 0..sound.bytes.len() {
        let mut bytes = sound.bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        let (found, classes, salvage) = sound.found(&bytes);
        assert_eq!((found, classes), sound.intact(at), "byte {at}");
        assert!(!salvage.is_unproven(), "byte {at}");
    }
}

#[test]
fn a_cut_costs_the_pages_behind_it() {
    let sound = Sound::new();
    for length in 0..sound.bytes.len() {
        let (found, ..) = sound.found(&sound.bytes[..length]);
        let kept = sound.pages.iter().filter(|page| page.end <= length).count();
        let expected: Vec<_> = (0..kept).flat_map(Sound::on_page).collect();
        assert_eq!(found, expected, "cut to {length} bytes");
    }
}

#[test]
fn header_and_footer_may_both_be_gone() {
    let sound = Sound::new();
    let length = sound.bytes.len();
    for record in 0..11 {
        let mut bytes = sound.bytes.clone();
        bytes[..HEADER].fill(0xff);
        bytes[length - FOOTER..].fill(0);
        bytes[sound.records[record].start] ^= 1;
        let (found, classes, salvage) = sound.found(&bytes);
        assert_eq!(found, (0..11).filter(|&sample| sample != record).collect::<Vec<_>>());
        assert!(classes && !salvage.is_unproven() && salvage.stated().is_none());
    }
    // A page that does not match its row is not taken for its form.
    for page in 0..6 {
        let mut bytes = sound.bytes.clone();
        bytes[length - FOOTER..].fill(0);
        bytes[sound.pages[page].start + 17] ^= 1;
        let (found, ..) = sound.found(&bytes);
        let lost = Sound::on_page(page);
        assert_eq!(found, (0..11).filter(|sample| !lost.contains(sample)).collect::<Vec<_>>());
    }
}

#[test]
fn what_is_no_shard_has_nothing() {
    let sound = Sound::new();
    for bytes in [vec![], vec![0; 5000], vec![0xff; 5000], (0..5000).map(|at| (at * at) as u8).collect()] {
        let (found, classes, salvage) = sound.found(&bytes);
        assert!(found.is_empty() && !classes && salvage.stated().is_none());
    }
}
