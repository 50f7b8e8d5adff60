//! One shard in object storage: its index in a nameless file of its own length, filled as it is needed, its records out of the cache.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use super::cache::ExtentName;
use super::fetch::{Piece, Want};
use super::object::Object;
use super::{Engine, RemoteError};
use crate::shard::error::ShardError;
use crate::shard::format::{self, Entry, FOOTER, Footer, HEADER};
use crate::shard::location::Location;
use crate::shard::map::Map;

/// What is asked for of a shard's end at first: footer, page table, and classes and metadata of most.
const TAIL: u64 = 64 << 10;
/// Bytes of a request for the index.
const STEP: u64 = 8 << 20;
/// Extents are cut where records start on another side of a multiple of this: a mebibyte.
const CELL: u32 = 20;

/// Times that bytes are fetched whose checksum does not hold: damage on the way would hardly come as often.
pub(super) const ATTEMPTS: usize = 3;

/// Fetches and checks a part of an index; what is refused is fetched again, as it may have been damaged on the way.
pub(in crate::shard) fn attempts<T>(fetch: impl Fn() -> Result<T, ShardError>) -> Result<T, ShardError> {
    let mut attempt = 1;
    loop {
        match fetch() {
            Err(ShardError::Refused(_)) if attempt < ATTEMPTS => attempt += 1,
            ended => return ended,
        }
    }
}

/// Where the bytes of a shard file come from.
pub(in crate::shard) struct RemoteFile {
    engine: Arc<Engine>,
    object: Arc<Object>,
    identity: u128,
    /// Behind the map: what is written here is read there.
    backing: File,
    /// Held while a page of the index is fetched, so that it is fetched once.
    filling: Mutex<()>,
}

/// The records of an index page: how many there are, and each entry by its place.
pub(in crate::shard) struct PageEntries<F: Fn(u64) -> Entry> {
    pub(in crate::shard) count: u64,
    pub(in crate::shard) entry: F,
}

impl<F: Fn(u64) -> Entry> PageEntries<F> {
    /// The places of the extent that record `place` lies in: those records of the page that start in the same cell.
    fn extent(&self, place: u64) -> Range<u64> {
        let cell = |place: u64| (self.entry)(place).offset >> CELL;
        let wanted = cell(place);
        partition_point(0..place, |place| cell(place) < wanted)..partition_point(place..self.count, |place| {
            cell(place) <= wanted
        })
    }
}

/// The first of `places` for which `holds` is no longer true.
fn partition_point(places: Range<u64>, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (places.start, places.end);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

impl RemoteFile {
    /// The shard at `location`: header, page table, metadata and footer are there, the rest of the map is holes.
    pub(in crate::shard) fn open(engine: &Arc<Engine>, location: &Location) -> Result<(Self, Map), ShardError> {
        let object = Arc::new(engine.object(location)?);
        let header = engine.get(&object, 0..HEADER as u64)?;
        let size = object.size();
        let io = |doing| {
            let folder = engine.cache().folder().to_owned();
            move |error: io::Error| RemoteError::Cache { path: folder, doing, reason: error.to_string() }
        };
        let backing = tempfile::tempfile_in(engine.cache().folder()).map_err(io("make a file"))?;
        backing.set_len(size).map_err(io("make a file of the shard's length"))?;
        let map = Map::of(&backing).map_err(io("map a file"))?;
        let identity = 0; // known once the footer is
        let (engine, filling) = (Arc::clone(engine), Mutex::default());
        let mut file = Self { engine, object, identity, backing, filling };
        file.write(0, &header)?;
        let tail = size.saturating_sub(TAIL);
        file.fill(tail..size)?;
        if let Some(raw) = map.get((size as usize).saturating_sub(FOOTER)..).filter(|raw| raw.len() == FOOTER) {
            let footer = Footer::parse(raw);
            file.identity = footer.identity;
            let (stated, covered) = Footer::checksum(raw);
            // Where it does not hold, opening will refuse the file.
            if stated == format::checksum(covered) && footer.meta.offset < tail {
                file.fill(footer.meta.offset..tail)?;
            }
        }
        Ok((file, map))
    }

    /// Fetches bytes of the index into the map.
    pub(in crate::shard) fn fill(&self, range: Range<u64>) -> Result<(), RemoteError> {
        let mut at = range.start;
        while at < range.end {
            let end = range.end.min(at + STEP);
            self.write(at, &self.engine.get(&self.object, at..end)?)?;
            at = end;
        }
        Ok(())
    }

    /// Hands the whole object to `out`, in order.
    pub(in crate::shard) fn copy(
        &self,
        mut out: impl FnMut(&[u8]) -> Result<(), ShardError>,
    ) -> Result<(), ShardError> {
        let size = self.object.size();
        for at in (0..size).step_by(STEP as usize) {
            out(&self.engine.get(&self.object, at..size.min(at + STEP))?)?;
        }
        Ok(())
    }

    /// Held while a page is fetched and checked.
    pub(in crate::shard) fn filling(&self) -> MutexGuard<'_, ()> {
        self.filling.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The record at `place` of a page with its padding, and whether its checksum holds. Of what comes from the cache that is `compared`
    /// only where asked for, and what it does not hold for is fetched anew.
    pub(in crate::shard) fn record<F: Fn(u64) -> Entry>(
        &self,
        page: &PageEntries<F>,
        place: u64,
        compared: bool,
    ) -> Result<(Cow<'static, [u8]>, bool), RemoteError> {
        let (name, places) = self.extent(page, place);
        let entry = (page.entry)(place);
        let start = entry.offset - name.start;
        let end = (start + u64::from(entry.length)).next_multiple_of(format::ALIGN);
        let sound = |bytes: &[u8]| format::checksum(&bytes[..entry.length as usize]) == entry.checksum;
        let cache = self.engine.cache();
        if let Some(bytes) = cache.read(&name, start..end) {
            if !compared || sound(&bytes) {
                return Ok((bytes.into(), true));
            }
            cache.forget(&name);
        }
        let bytes = self.engine.fetcher().fetch(self.want(page, name, places))?[start as usize..end as usize].to_vec();
        let sound = sound(&bytes);
        Ok((bytes.into(), sound))
    }

    /// Begins to fetch the extent of a record, unless the cache holds it.
    pub(in crate::shard) fn read_ahead<F: Fn(u64) -> Entry>(&self, page: &PageEntries<F>, place: u64) {
        let (name, places) = self.extent(page, place);
        let fetcher = self.engine.fetcher();
        if !fetcher.expects(&name) && !self.engine.cache().holds(&name) {
            fetcher.hint(self.want(page, name, places));
        }
    }

    /// The extent that a record lies in, and the places of its records.
    fn extent<F: Fn(u64) -> Entry>(&self, page: &PageEntries<F>, place: u64) -> (ExtentName, Range<u64>) {
        let places = page.extent(place);
        let last = (page.entry)(places.end - 1);
        let end = (last.offset + u64::from(last.length)).next_multiple_of(format::ALIGN);
        (ExtentName { identity: self.identity, start: (page.entry)(places.start).offset, end }, places)
    }

    fn want<F: Fn(u64) -> Entry>(&self, page: &PageEntries<F>, name: ExtentName, places: Range<u64>) -> Want {
        let piece = |entry: Entry| Piece {
            offset: entry.offset - name.start,
            length: entry.length.into(),
            checksum: entry.checksum,
        };
        let records = places.map(&page.entry).map(piece).collect();
        Want { object: Arc::clone(&self.object), name, records }
    }

    fn write(&self, at: u64, bytes: &[u8]) -> Result<(), RemoteError> {
        write_at(&self.backing, at, bytes).map_err(|error| RemoteError::Cache {
            path: self.engine.cache().folder().to_owned(),
            doing: "write an index",
            reason: error.to_string(),
        })
    }
}

#[cfg(unix)]
fn write_at(file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

#[cfg(not(unix))]
fn write_at(mut file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
    use std::io::{Seek, SeekFrom, Write};
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)
}
