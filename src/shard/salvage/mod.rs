//! What of a damaged shard file is intact: for `metacl-shard repair`.
//!
//! - here: [`Salvage`], a file's bytes as samples that hold and stretches that do not. `find`: the index pages of a file whose header, page
//!   table or footer may be gone.
//!
//! A sample is intact where its record's checksum holds and its index entry is known. Nothing but the entry says label, size and name, so where
//! an index page does not hold, the records that it describes are lost, although their bytes may be whole. A page holds where a row of the
//! page table has its checksum. Where no such row is left, as behind a cut, pages are known by their form: entries that lead from
//! record to record exactly to the page that holds them.

mod find;

use std::path::{Path, PathBuf};

use find::{Found, Page};

use super::check;
use super::error::{Refusal, Section, ShardError};
use super::format::{self, ENTRY, Entry, HEADER, Header, Meta};
use super::map::Map;
use super::{Codec, NewSample};
use crate::image::Size;

/// A shard file that may be damaged.
pub struct Salvage {
    path: PathBuf,
    map: Map,
    found: Found,
}

/// What a file says of its place in the split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stated {
    /// Samples of the file.
    pub samples: u64,
    /// Samples of the split.
    pub total: u64,
    /// Files of the split.
    pub parts: u32,
}

/// A stretch of the file.
#[derive(Debug)]
pub enum Piece<'a> {
    /// An intact sample.
    Intact {
        /// It, with its record.
        sample: NewSample<'a>,
        /// First byte of the record.
        offset: u64,
    },
    /// Bytes that are no sample any more.
    Lost(Lost<'a>),
}

/// Bytes that are no sample any more.
#[derive(Debug)]
pub struct Lost<'a> {
    /// The first of them in the file.
    pub offset: u64,
    /// They.
    pub bytes: &'a [u8],
    /// Name and label, where an index page tells.
    pub tag: Option<(&'a str, u32)>,
    /// Why.
    pub reason: Loss,
}

/// Why bytes are lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// The record does not hold.
    #[error("{0}")]
    Record(Refusal),
    /// Records without an index.
    #[error("no index page that holds says what records these are")]
    NoIndex,
}

impl Salvage {
    /// Looks through `path`; whatever its bytes are, this finds what of them is intact.
    ///
    /// # Errors
    /// [`ShardError::Io`].
    pub fn read(path: &Path) -> Result<Self, ShardError> {
        let (map, _) = Map::open(path)?;
        let found = find::find(&map);
        Ok(Self { path: path.to_owned(), map, found })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The classes, where they are left.
    pub fn classes(&self) -> Option<&[String]> {
        self.meta().map(|meta| meta.classes.as_slice())
    }

    /// The metadata, where it is left.
    pub fn metadata(&self) -> Option<&std::collections::BTreeMap<String, String>> {
        self.meta().map(|meta| &meta.pairs)
    }

    fn meta(&self) -> Option<&Meta> {
        self.found.meta.as_ref()
    }

    /// What its header states, where that looks like one and the footer, if it is left, does not say otherwise.
    pub fn stated(&self) -> Option<Stated> {
        if self.found.header_damaged {
            return None;
        }
        let header = self.map.get(..HEADER).filter(|bytes| bytes.starts_with(&format::MAGIC)).map(Header::parse)?;
        check::check_header(&header).ok()?;
        Some(Stated { samples: header.samples, total: header.total, parts: header.parts })
    }

    /// Whether some index pages are known by their form alone: their records hold, but nothing proves labels, sizes and names.
    pub fn is_unproven(&self) -> bool {
        !self.found.proven
    }

    /// All bytes that are or were records and index, in order.
    pub fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let starts = std::iter::once(HEADER as u64).chain(self.found.pages.iter().map(|page| page.end));
        let ends = self.found.pages.iter().map(|page| page.records).chain([self.found.body_end]);
        let gaps = starts.zip(ends).map(|(start, end)| self.gap(start, end));
        let pages = self.found.pages.iter().map(Some).chain([None]);
        gaps.zip(pages)
            .flat_map(|(gap, page)| gap.into_iter().chain(page.into_iter().flat_map(|page| self.samples(page))))
    }

    /// Bytes that no page describes.
    fn gap(&self, start: u64, end: u64) -> Option<Piece<'_>> {
        let bytes = self.map.get(start as usize..end as usize).filter(|bytes| !bytes.is_empty())?;
        Some(Piece::Lost(Lost { offset: start, bytes, tag: None, reason: Loss::NoIndex }))
    }

    fn samples(&self, page: &Page) -> impl Iterator<Item = Piece<'_>> {
        let names = page.offset as usize + page.entries as usize * ENTRY;
        let entries = (0..page.entries as usize).map(move |number| page.offset as usize + number * ENTRY);
        let mut name_start = 0;
        entries.map(move |at| {
            let entry = Entry::parse(&self.map[at..][..ENTRY]);
            let name = &self.map[names + name_start..names + entry.name_end as usize];
            name_start = entry.name_end as usize;
            self.sample(&entry, std::str::from_utf8(name).expect("checked with the page"))
        })
    }

    fn sample<'a>(&'a self, entry: &Entry, name: &'a str) -> Piece<'a> {
        let Entry { offset, label, .. } = *entry;
        let bytes = self.map.record(offset, entry.length);
        let (stated, found) = (entry.checksum, format::checksum(bytes));
        if stated != found {
            let reason = Loss::Record(Refusal::Checksum { section: Section::Record, stated, found });
            return Piece::Lost(Lost { offset, bytes, tag: Some((name, label)), reason });
        }
        let size = Size::new(entry.width.into(), entry.height.into());
        let codec = Codec::from_tag(entry.codec).expect("checked with the page");
        Piece::Intact { sample: NewSample { bytes, size, codec, label, name }, offset }
    }
}
