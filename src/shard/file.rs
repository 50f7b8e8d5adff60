//! One open shard file: mapped, its index checked page by page at first touch.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use memmap2::Mmap;

use super::error::ShardError;
use super::format::{self, Block, ENTRY, Entry, HEADER, Header, Meta, PAGE};
use super::{Codec, SampleInfo, Verify, check, map};
use crate::image::Size;

/// A shard file whose header, footer, metadata and page table hold.
pub struct ShardFile {
    path: PathBuf,
    map: Mmap,
    header: Header,
    identity: u128,
    table_offset: u64,
    meta: Meta,
    checked_pages: Bits,
    /// Records whose checksum held, under `Verify::First`; empty otherwise.
    checked_records: Bits,
    verify: Verify,
}

impl ShardFile {
    pub(super) fn open(path: &Path) -> Result<Self, ShardError> {
        let map = map::map(path)?;
        let check::Opened { header, footer, meta } = check::open(path, &map)?;
        let pages = pages(&header);
        Ok(Self {
            path: path.to_owned(),
            header,
            identity: footer.identity,
            table_offset: footer.table.offset,
            meta,
            checked_pages: Bits::new(pages),
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

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.header.file_length
    }

    /// Digest of the file: the same bytes, the same identity.
    pub fn identity(&self) -> u128 {
        self.identity
    }

    /// Number of index pages.
    pub(super) fn pages(&self) -> u64 {
        pages(&self.header)
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    pub(super) fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The page table's entry `number`.
    fn page(&self, number: u64) -> Block {
        Block::parse(&self.map[self.table_offset as usize + number as usize * PAGE..][..PAGE])
    }

    /// Where the records of page `number` begin: behind the page before.
    fn records_of(&self, number: u64) -> u64 {
        let before = number.checked_sub(1).map(|number| self.page(number));
        before.map_or(Some(HEADER as u64), |page| page.end().and_then(format::align)).expect("checked at opening")
    }

    /// Checks index page `number`, once.
    pub(super) fn touch(&self, number: u64) -> Result<(), ShardError> {
        if !self.checked_pages.get(number) {
            let entries = check::entries_of(&self.header, number);
            let classes = self.meta.classes.len();
            check::page(&self.path, &self.map, &self.page(number), self.records_of(number), entries, classes)?;
            self.checked_pages.set(number);
        }
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
        let entry = self.entry(sample)?.2;
        Ok(SampleInfo {
            offset: entry.offset,
            length: entry.length.into(),
            size: Size::new(entry.width.into(), entry.height.into()),
            codec: Codec::from_tag(entry.codec).expect("checked with the page"),
            label: entry.label,
        })
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
        let wanted = match self.verify {
            Verify::Always => true,
            Verify::First => !self.checked_records.get(sample),
            Verify::Never => false,
        };
        let record = self.bytes_of(&entry);
        if wanted {
            self.check_record(sample, &entry, record)?;
            if self.verify == Verify::First {
                self.checked_records.set(sample);
            }
        }
        Ok(record)
    }

    fn bytes_of(&self, entry: &Entry) -> &[u8] {
        &self.map[entry.offset as usize..][..entry.length as usize]
    }

    fn check_record(&self, sample: u64, entry: &Entry, record: &[u8]) -> Result<(), ShardError> {
        let found = format::checksum(record);
        if found == entry.checksum {
            return Ok(());
        }
        Err(ShardError::Record {
            path: self.path.clone(),
            sample: self.header.first + sample,
            offset: entry.offset,
            length: entry.length.into(),
            found,
            stated: entry.checksum,
        })
    }

    /// Every fault of page `number`: the page itself, or its records and their padding.
    pub(super) fn faults(&self, number: u64) -> Vec<ShardError> {
        if let Err(fault) = self.touch(number) {
            return vec![fault];
        }
        let (mut faults, page) = (Vec::new(), self.page(number));
        for place in 0..check::entries_of(&self.header, number) {
            let entry = self.entry_at(&page, place);
            let sample = number * u64::from(self.header.page_entries) + place;
            faults.extend(self.check_record(sample, &entry, self.bytes_of(&entry)).err());
            faults.extend(self.padding(entry.offset + u64::from(entry.length)));
        }
        faults.extend(self.padding(page.offset + page.length));
        faults
    }

    /// A byte between `end` and the next multiple of the alignment that is not zero.
    fn padding(&self, end: u64) -> Option<ShardError> {
        let until = format::align(end).expect("checked with the page");
        let at = (end..until).find(|&at| self.map[at as usize] != 0)?;
        let value = self.map[at as usize].into();
        Some(ShardError::Field { path: self.path.clone(), offset: at, field: "padding", value })
    }
}

fn pages(header: &Header) -> u64 {
    header.samples.div_ceil(header.page_entries.into())
}

/// A set of small numbers that threads may add to.
struct Bits(Box<[AtomicU64]>);

impl Bits {
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
