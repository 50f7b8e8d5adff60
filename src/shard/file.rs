//! One open shard file: mapped, its index checked page by page at first touch.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rayon::prelude::*;

use super::check::{self, Flaw};
use super::error::{Fault, Refusal, Section, ShardError};
use super::format::{self, Block, ENTRY, Entry, Footer, HEADER, Header, Meta, PAGE};
use super::map::Map;
use super::{Codec, SampleInfo, Stored, Verify};
use crate::image::Size;

/// A shard file whose header, footer, metadata and page table hold.
pub struct ShardFile {
    path: PathBuf,
    map: Map,
    header: Header,
    footer: Footer,
    /// One for all files of a split.
    meta: Arc<Meta>,
    checked_pages: Bits,
    /// Records whose checksum held, under `Verify::First`; empty otherwise.
    checked_records: Bits,
    verify: Verify,
}

impl ShardFile {
    /// Opens `path`. Where its metadata section is that of `sibling`, its metadata is not read again but shared.
    pub(super) fn open(path: &Path, sibling: Option<&ShardFile>) -> Result<Self, ShardError> {
        let map = Map::open(path)?;
        let (header, footer) = check::open(&map).map_err(|flaw| flaw.of(path, 0))?;
        let section = map.block(&footer.meta);
        let meta = match sibling.filter(|sibling| sibling.map.block(&sibling.footer.meta) == section) {
            Some(sibling) => Arc::clone(&sibling.meta),
            None => Arc::new(
                check::check_metadata(section, footer.meta.offset).map_err(|flaw| flaw.of(path, header.first))?,
            ),
        };
        Ok(Self {
            path: path.to_owned(),
            header,
            footer,
            meta,
            checked_pages: Bits::new(check::pages(&header)),
            checked_records: Bits::new(0),
            verify: Verify::Always,
            map,
        })
    }

    pub(super) fn set_verify(&mut self, verify: Verify) {
        self.verify = verify;
        self.checked_records = Bits::new(if verify == Verify::First { self.header.samples } else { 0 });
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of samples.
    pub fn samples(&self) -> u64 {
        self.header.samples
    }

    /// Index, within the split, of the first sample.
    pub fn first(&self) -> u64 {
        self.header.first
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.header.file_length
    }

    /// Digest of the file: the same bytes, the same identity.
    pub fn identity(&self) -> u128 {
        self.footer.identity
    }

    /// Number of index pages.
    pub(super) fn pages(&self) -> u64 {
        check::pages(&self.header)
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    pub(super) fn meta(&self) -> &Arc<Meta> {
        &self.meta
    }

    pub(super) fn metadata_offset(&self) -> u64 {
        self.footer.meta.offset
    }

    pub(super) fn fault(&self, flaw: Flaw) -> Fault {
        flaw.of(&self.path, self.header.first)
    }

    /// The page table's entry `number`.
    fn page(&self, number: u64) -> Block {
        Block::parse(&self.map[self.footer.table.offset as usize + number as usize * PAGE..][..PAGE])
    }

    /// Where the records of page `number` begin: behind the page before.
    fn records_of(&self, number: u64) -> u64 {
        let before = number.checked_sub(1).map(|number| self.page(number));
        before.map_or(Some(HEADER as u64), |page| page.end().and_then(format::align)).expect("checked at opening")
    }

    /// Checks index page `number`, once.
    fn touch(&self, number: u64) -> Result<(), Fault> {
        if self.checked_pages.get(number) {
            return Ok(());
        }
        let expected = check::Expected {
            page: self.page(number),
            records: self.records_of(number),
            first: number * u64::from(self.header.page_entries),
            entries: check::entries_of(&self.header, number),
            classes: self.meta.classes.len() as u64,
        };
        check::check_page(&self.map, &expected).map_err(|flaw| self.fault(flaw))?;
        self.checked_pages.set(number);
        Ok(())
    }

    /// Page, place in it, and entry of `sample`, which is below [`samples`](Self::samples).
    fn entry(&self, sample: u64) -> Result<(Block, u64, Entry), ShardError> {
        let (number, place) =
            (sample / u64::from(self.header.page_entries), sample % u64::from(self.header.page_entries));
        self.touch(number)?;
        let page = self.page(number);
        Ok((page, place, self.entry_at(&page, place)))
    }

    fn entry_at(&self, page: &Block, place: u64) -> Entry {
        Entry::parse(&self.map[page.offset as usize + place as usize * ENTRY..][..ENTRY])
    }

    pub(super) fn info(&self, sample: u64) -> Result<SampleInfo, ShardError> {
        Ok(info_of(&self.entry(sample)?.2))
    }

    pub(super) fn name(&self, sample: u64) -> Result<&str, ShardError> {
        let (page, place, entry) = self.entry(sample)?;
        let start = if place == 0 { 0 } else { self.entry_at(&page, place - 1).name_end };
        let number = sample / u64::from(self.header.page_entries);
        let names = page.offset as usize + check::entries_of(&self.header, number) as usize * ENTRY;
        let name = &self.map[names + start as usize..names + entry.name_end as usize];
        Ok(std::str::from_utf8(name).expect("checked with the page"))
    }

    pub(super) fn record(&self, sample: u64) -> Result<&[u8], ShardError> {
        let entry = self.entry(sample)?.2;
        self.map.read_ahead(entry.offset, entry.length);
        self.verified(sample, &entry)
    }

    pub(super) fn stored(&self, sample: u64) -> Result<Stored<'_>, ShardError> {
        let entry = self.entry(sample)?.2;
        let info = info_of(&entry);
        let check_parts = info.codec == Codec::Coef && self.verify == Verify::Always;
        let bytes = if check_parts { self.bytes_of(&entry) } else { self.verified(sample, &entry)? };
        Ok(Stored { info, bytes, check_parts })
    }

    pub(super) fn prefetch(&self, sample: u64) {
        if let Ok((_, _, entry)) = self.entry(sample) {
            self.map.prefetch(entry.offset, entry.length);
        }
    }

    pub(super) fn read_ahead(&self, sample: u64) -> Result<SampleInfo, ShardError> {
        let entry = self.entry(sample)?.2;
        self.map.read_ahead(entry.offset, entry.length);
        Ok(info_of(&entry))
    }

    /// The record, its checksum compared where `verify` says so.
    fn verified(&self, sample: u64, entry: &Entry) -> Result<&[u8], ShardError> {
        let wanted = match self.verify {
            Verify::Always => true,
            Verify::First => !self.checked_records.get(sample),
            Verify::Never => false,
        };
        let record = self.bytes_of(entry);
        if wanted {
            self.check_record(sample, entry, record)?;
            if self.verify == Verify::First {
                self.checked_records.set(sample);
            }
        }
        Ok(record)
    }

    fn bytes_of(&self, entry: &Entry) -> &[u8] {
        self.map.record(entry.offset, entry.length)
    }

    fn check_record(&self, sample: u64, entry: &Entry, record: &[u8]) -> Result<(), Fault> {
        let (stated, found) = (entry.checksum, format::checksum(record));
        if found == stated {
            return Ok(());
        }
        let refusal = Refusal::Checksum { section: Section::Record, stated, found };
        Err(self.fault(Flaw { sample: Some(sample), offset: entry.offset, refusal }))
    }

    /// Every fault of page `number`: the page itself, or its records and their padding. Where a page does not hold, it is not known
    /// where its records lie.
    pub(super) fn faults(&self, number: u64) -> Vec<Fault> {
        if let Err(fault) = self.touch(number) {
            return vec![fault];
        }
        let page = self.page(number);
        let records = (0..check::entries_of(&self.header, number)).into_par_iter().flat_map_iter(|place| {
            let (sample, entry) = (number * u64::from(self.header.page_entries) + place, self.entry_at(&page, place));
            let record = self.check_record(sample, &entry, self.bytes_of(&entry)).err();
            record.into_iter().chain(self.padding(entry.offset + u64::from(entry.length)))
        });
        let mut faults: Vec<_> = records.collect();
        faults.extend(self.padding(page.offset + page.length));
        faults
    }

    /// A byte between `end` and the next multiple of the alignment that is not zero.
    fn padding(&self, end: u64) -> Option<Fault> {
        let until = format::align(end).expect("checked with the page");
        let at = (end..until).find(|&at| self.map[at as usize] != 0)?;
        Some(self.fault(Flaw::new(at, Refusal::NotZero { found: self.map[at as usize] })))
    }
}

/// What the entry of a checked page says.
fn info_of(entry: &Entry) -> SampleInfo {
    SampleInfo {
        offset: entry.offset,
        length: entry.length.into(),
        size: Size::new(entry.width.into(), entry.height.into()),
        codec: Codec::from_tag(entry.codec).expect("checked with the page"),
        label: entry.label,
    }
}

/// A set of small numbers that threads may add to.
struct Bits(Box<[AtomicU64]>);

impl Bits {
    // Relaxed: a bit says that bytes which never change were found sound; nothing is published through it.
    fn new(count: u64) -> Self {
        Self((0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    fn get(&self, bit: u64) -> bool {
        self.0[(bit / 64) as usize].load(Relaxed) >> (bit % 64) & 1 == 1
    }

    fn set(&self, bit: u64) {
        self.0[(bit / 64) as usize].fetch_or(1 << (bit % 64), Relaxed);
    }
}
