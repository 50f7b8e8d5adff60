//! One open shard file: mapped, its index checked page by page at first touch. Of a shard in object storage the map holds the index,
//! which comes with the first touch too, and records come from a cache.
//!
//! - here: opening, the index, records. `faults`: all that is wrong with a page, for `verify`. `change`: what becomes of a file that
//!   changes under the map.

mod change;
mod faults;

use std::borrow::Cow;
use std::fs::File;
use std::io;
#[cfg(feature = "remote")]
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::bits::Bits;
use super::change::Stamp;
use super::check::{self, Flaw};
use super::error::{Fault, Refusal, Section, ShardError};
use super::format::{self, Block, ENTRY, Entry, Footer, HEADER, Header, Meta};
use super::map::Map;
#[cfg(feature = "remote")]
use super::remote::{self, Engine, PageEntries, RemoteFile};
use super::{Codec, SampleInfo, Stored, Verify};
use crate::image::Size;

/// A shard file whose header, footer, metadata and page table hold.
pub struct ShardFile {
    path: PathBuf,
    map: Map,
    /// Where the records are, and what of the index the map lacks, if not on disk.
    #[cfg(feature = "remote")]
    remote: Option<RemoteFile>,
    /// What the file on disk was at opening, and when it was last looked at.
    opened: Option<(Stamp, Mutex<Stamp>)>,
    header: Header,
    footer: Footer,
    /// Places of the index pages.
    index: Box<[Block]>,
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
        let (map, stamp) = Map::open(path)?;
        Ok(Self { opened: Some((stamp, Mutex::new(stamp))), ..Self::over(path, map, sibling)? })
    }

    /// Opens a shard in object storage; `sibling` as for [`open`](Self::open).
    #[cfg(feature = "remote")]
    pub(super) fn open_remote(
        engine: &Arc<Engine>,
        location: &super::Location,
        sibling: Option<&ShardFile>,
    ) -> Result<Self, ShardError> {
        remote::attempts(|| {
            let (remote, map) = RemoteFile::open(engine, location)?;
            Ok(Self { remote: Some(remote), ..Self::over(&location.shown(), map, sibling)? })
        })
    }

    /// A file whose header, footer, metadata and page table are in `map`.
    fn over(path: &Path, map: Map, sibling: Option<&ShardFile>) -> Result<Self, ShardError> {
        let (header, footer, index) = check::open(&map).map_err(|flaw| flaw.of(path, 0))?;
        let section = map.block(&footer.meta);
        let meta = match sibling.filter(|sibling| sibling.map.block(&sibling.footer.meta) == section) {
            Some(sibling) => Arc::clone(&sibling.meta),
            None => Arc::new(
                check::check_metadata(section, footer.meta.offset).map_err(|flaw| flaw.of(path, header.first))?,
            ),
        };
        Ok(Self {
            path: path.to_owned(),
            opened: None,
            header,
            footer,
            index,
            meta,
            checked_pages: Bits::new(check::pages(&header)),
            checked_records: Bits::new(0),
            verify: Verify::Always,
            map,
            #[cfg(feature = "remote")]
            remote: None,
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

    /// Files of the split.
    #[cfg(feature = "remote")]
    pub(super) fn parts(&self) -> u32 {
        self.header.parts
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

    /// The page table, which stands for all records and index pages, and where those end.
    pub(super) fn body(&self) -> (&[u8], u64) {
        (self.map.block(&self.footer.table), self.footer.meta.offset)
    }

    /// Writes all bytes of the file to `out`, which lies at `path`.
    pub(super) fn copy_to(&self, out: &mut File, path: &Path) -> Result<(), ShardError> {
        let failed = |source| ShardError::Io { path: path.to_owned(), doing: "write", source };
        #[cfg(feature = "remote")]
        if let Some(remote) = &self.remote {
            return remote.copy(|bytes| out.write_all(bytes).map_err(failed));
        }
        let mut source = File::open(&self.path).map_err(|source| ShardError::Io {
            path: self.path.clone(),
            doing: "open",
            source,
        })?;
        // The system copies, without the bytes coming here where it can.
        io::copy(&mut source, out).map(drop).map_err(failed)
    }

    /// The page table's entry `number`.
    fn page(&self, number: u64) -> Block {
        self.index[number as usize]
    }

    /// Where the records of page `number` begin: behind the page before.
    fn records_of(&self, number: u64) -> u64 {
        let before = number.checked_sub(1).map(|number| self.page(number));
        before.map_or(Some(HEADER as u64), |page| page.end().and_then(format::align)).expect("checked at opening")
    }

    /// Checks index page `number`, once.
    pub(super) fn touch(&self, number: u64) -> Result<(), ShardError> {
        if self.checked_pages.get(number) {
            return Ok(());
        }
        #[cfg(feature = "remote")]
        if let Some(remote) = &self.remote {
            // One thread fetches it; the others find it checked.
            let _filling = remote.filling();
            if !self.checked_pages.get(number) {
                let page = self.page(number);
                let end = page.end().and_then(format::align).expect("checked at opening");
                remote::attempts(|| {
                    remote.fill(page.offset..end)?;
                    self.check_page(number)
                })?;
            }
            return Ok(());
        }
        self.check_page(number)
    }

    fn check_page(&self, number: u64) -> Result<(), ShardError> {
        let expected = check::Expected {
            page: self.page(number),
            records: self.records_of(number),
            first: number * u64::from(self.header.page_entries),
            entries: check::entries_of(&self.header, number),
            classes: self.meta.classes.len() as u64,
        };
        check::check_page(&self.map, &expected).map_err(|flaw| self.explain(flaw))?;
        self.checked_pages.set(number);
        Ok(())
    }

    /// Where `sample`, which is below [`samples`](Self::samples), stands.
    fn spot(&self, sample: u64) -> Result<Spot, ShardError> {
        let per_page = u64::from(self.header.page_entries);
        let (number, place) = (sample / per_page, sample % per_page);
        self.touch(number)?;
        let page = self.page(number);
        let entry = self.entry_at(&page, place);
        // Of a shard in object storage, neighbours' entries are used too: where any may be lost, none is.
        let held = match self.is_remote() && self.map.lost() {
            true => Err((0, Refusal::Unreadable)),
            false => check::check_again(&entry, self.records_of(number)..page.offset, self.meta.classes.len() as u64),
        };
        held.map_err(|(at, refusal)| {
            let offset = page.offset + place * ENTRY as u64 + at;
            self.explain(Flaw { sample: Some(sample), offset, refusal })
        })?;
        Ok(Spot { sample, number, page, place, entry })
    }

    fn entry_at(&self, page: &Block, place: u64) -> Entry {
        Entry::parse(&self.map[page.offset as usize + place as usize * ENTRY..][..ENTRY])
    }

    pub(super) fn info(&self, sample: u64) -> Result<SampleInfo, ShardError> {
        Ok(info_of(&self.spot(sample)?.entry))
    }

    pub(super) fn name(&self, sample: u64) -> Result<&str, ShardError> {
        let Spot { number, page, place, entry, .. } = self.spot(sample)?;
        let start = if place == 0 { 0 } else { self.entry_at(&page, place - 1).name_end };
        let names = &self.map.block(&page)[check::entries_of(&self.header, number) as usize * ENTRY..];
        check::name_of(names, start, entry.name_end).map_err(|refusal| {
            let offset = page.offset + place * ENTRY as u64 + 20;
            self.explain(Flaw { sample: Some(sample), offset, refusal })
        })
    }

    pub(super) fn record(&self, sample: u64) -> Result<Cow<'_, [u8]>, ShardError> {
        let spot = self.spot(sample)?;
        if !self.is_remote() {
            self.map.read_ahead(spot.entry.offset, spot.entry.length);
        }
        self.verified(&spot)
    }

    pub(super) fn stored(&self, sample: u64) -> Result<Stored<'_>, ShardError> {
        let spot = self.spot(sample)?;
        let info = info_of(&spot.entry);
        // What comes from a cache is compared whole, so that damage in it is fetched anew.
        let check_parts = info.codec == Codec::Coef && self.verify == Verify::Always && !self.is_remote();
        let bytes = match check_parts {
            true => Cow::Borrowed(self.map.record(spot.entry.offset, spot.entry.length)),
            false => self.verified(&spot)?,
        };
        Ok(Stored { info, bytes, check_parts })
    }

    pub(super) fn prefetch(&self, sample: u64) {
        let Ok(spot) = self.spot(sample) else { return };
        if !self.is_remote() {
            self.map.prefetch(spot.entry.offset, spot.entry.length);
        }
    }

    pub(super) fn read_ahead(&self, sample: u64) -> Result<SampleInfo, ShardError> {
        let spot = self.spot(sample)?;
        #[cfg(feature = "remote")]
        if let Some(remote) = &self.remote {
            remote.read_ahead(&self.entries(&spot), spot.place);
            return Ok(info_of(&spot.entry));
        }
        self.map.read_ahead(spot.entry.offset, spot.entry.length);
        Ok(info_of(&spot.entry))
    }

    /// Whether records come from object storage.
    pub(super) fn is_remote(&self) -> bool {
        #[cfg(feature = "remote")]
        return self.remote.is_some();
        #[cfg(not(feature = "remote"))]
        false
    }

    /// The entries of the page that a sample stands on.
    #[cfg(feature = "remote")]
    fn entries(&self, spot: &Spot) -> PageEntries<impl Fn(u64) -> Entry> {
        let (page, count) = (spot.page, check::entries_of(&self.header, spot.number));
        PageEntries { count, entry: move |place| self.entry_at(&page, place) }
    }

    /// The record, its checksum compared where `verify` says so.
    fn verified(&self, spot: &Spot) -> Result<Cow<'_, [u8]>, ShardError> {
        let wanted = match self.verify {
            Verify::Always => true,
            Verify::First => !self.checked_records.get(spot.sample),
            Verify::Never => false,
        };
        let (bytes, sound) = self.padded(spot, wanted)?;
        let length = spot.entry.length as usize;
        if !sound {
            return Err(self.damage(spot, &bytes[..length]));
        }
        if wanted && self.verify == Verify::First {
            self.checked_records.set(spot.sample);
        }
        Ok(match bytes {
            Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[..length]),
            Cow::Owned(mut bytes) => {
                bytes.truncate(length);
                Cow::Owned(bytes)
            }
        })
    }

    /// A record with its padding, and whether its checksum holds; true where it is not `compared`.
    fn padded(&self, spot: &Spot, compared: bool) -> Result<(Cow<'_, [u8]>, bool), ShardError> {
        #[cfg(feature = "remote")]
        if let Some(remote) = &self.remote {
            return Ok(remote.record(&self.entries(spot), spot.place, compared)?);
        }
        let Entry { offset, length, checksum, .. } = spot.entry;
        let end = format::align(offset + u64::from(length)).expect("checked with the page");
        let bytes = &self.map[offset as usize..end as usize];
        let sound = !compared || format::checksum(&bytes[..length as usize]) == checksum;
        Ok((Cow::Borrowed(bytes), sound))
    }

    /// What is wrong with a record whose checksum does not hold.
    fn damage(&self, spot: &Spot, record: &[u8]) -> ShardError {
        let (stated, found) = (spot.entry.checksum, format::checksum(record));
        let refusal = Refusal::Checksum { section: Section::Record, stated, found };
        self.explain(Flaw { sample: Some(spot.sample), offset: spot.entry.offset, refusal })
    }
}

/// Where a sample stands in the index.
struct Spot {
    sample: u64,
    /// Of the page.
    number: u64,
    page: Block,
    /// In the page.
    place: u64,
    entry: Entry,
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
