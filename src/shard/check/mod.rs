//! Bytes to a trusted index: the only place that refuses. Code behind it does not check again, but for what a file that changes under
//! the map could lead astray (`check_again`).
//!
//! - here: header, footer and the place of every section, at opening. `metadata`: classes and pairs. `page`: an index page.

mod metadata;
mod page;

use std::path::Path;

pub(super) use metadata::check_metadata;
pub(super) use page::{Expected, check_again, check_page, name_of, storable};

use super::MAX_SAMPLES;
use super::error::{Fault, Refusal, Section};
use super::format::{
    self, ALIGN, Block, ENTRY, FOOTER, Footer, HEADER, Header, MAGIC, MAX_PARTS, PAGE, PAGE_ENTRIES, VERSION,
};

/// A refusal and its place; becomes a [`Fault`] where the path is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    /// Number of the sample within the file.
    pub(super) sample: Option<u64>,
    pub(super) offset: u64,
    pub(super) refusal: Refusal,
}

impl Flaw {
    pub(super) fn new(offset: u64, refusal: Refusal) -> Self {
        Self { sample: None, offset, refusal }
    }

    /// `first`: index, within the split, of the file's first sample.
    pub(super) fn of(self, path: &Path, first: u64) -> Fault {
        let sample = self.sample.map(|sample| first + sample);
        Fault { path: path.to_owned(), sample, offset: self.offset, refusal: self.refusal }
    }
}

fn ensure(holds: bool, offset: u64, refusal: Refusal) -> Result<(), Flaw> {
    if holds { Ok(()) } else { Err(Flaw::new(offset, refusal)) }
}

/// Checks header, footer, page table, and the place and checksum of the metadata section, of a whole file; the last are the places of its
/// index pages.
pub(super) fn open(bytes: &[u8]) -> Result<(Header, Footer, Box<[Block]>), Flaw> {
    let length = bytes.len() as u64;
    let least = (HEADER + FOOTER) as u64;
    ensure(length >= least, length, Refusal::TooShort { length, least })?;
    ensure_magic(bytes, 0)?;
    let header = Header::parse(&bytes[..HEADER]);
    ensure(header.version == VERSION, 8, Refusal::Version { found: header.version })?;
    ensure(header.file_length == length, 16, Refusal::Length { stated: header.file_length, found: length })?;
    let footer = check_footer(bytes)?;
    check_header(&header)?;
    check_places(&header, &footer)?;
    block(bytes, &footer.meta, Section::Metadata)?;
    let pages = check_table(block(bytes, &footer.table, Section::PageTable)?, &header, &footer)?;
    Ok((header, footer, pages))
}

fn ensure_magic(bytes: &[u8], at: usize) -> Result<(), Flaw> {
    let found = bytes[at..at + 8].try_into().expect("eight bytes");
    ensure(found == MAGIC, at as u64, Refusal::Magic { found })
}

/// The footer of a file that is long enough to have one; with it, the header is as it was written.
fn check_footer(bytes: &[u8]) -> Result<Footer, Flaw> {
    let at = bytes.len() - FOOTER;
    ensure_magic(bytes, at + 72)?;
    let raw = &bytes[at..];
    let (stated, covered) = Footer::checksum(raw);
    let found = format::checksum(covered);
    ensure(found == stated, at as u64 + 64, Refusal::Checksum { section: Section::Footer, stated, found })?;
    let footer = Footer::parse(raw);
    let (stated, found) = (footer.identity, Footer::new(&bytes[..HEADER], footer.meta, footer.table).identity);
    ensure(found == stated, at as u64 + 48, Refusal::Identity { stated, found })?;
    Ok(footer)
}

pub(super) fn check_header(header: &Header) -> Result<(), Flaw> {
    let Header { page_entries, samples, first, total, part, parts, .. } = *header;
    let page_entries_hold = (1..=PAGE_ENTRIES).contains(&page_entries);
    ensure(page_entries_hold, 12, Refusal::PageEntries { found: page_entries })?;
    ensure(samples > 0, 24, Refusal::NoSamples)?;
    ensure(total <= MAX_SAMPLES, 40, Refusal::TooManySamples { found: total })?;
    let inside = first.checked_add(samples).is_some_and(|end| end <= total);
    ensure(inside, 32, Refusal::SampleRange { first, samples, total })?;
    ensure(part < parts && parts <= MAX_PARTS, 48, Refusal::Part { part, parts })
}

/// Metadata, page table and footer follow one another; the table has a row for each page, which binds the number of samples to the
/// length of the file.
fn check_places(header: &Header, footer: &Footer) -> Result<(), Flaw> {
    let end = header.file_length - FOOTER as u64;
    let Block { offset, length, .. } = footer.table;
    let needed = pages(header) * PAGE as u64; // at most 2^32 pages
    let holds = footer.table.end() == Some(end) && length == needed;
    ensure(holds, end + 24, Refusal::TablePlace { offset, length, needed, end })?;
    let Block { offset, length, .. } = footer.meta;
    let holds = footer.meta.end() == Some(footer.table.offset);
    ensure(holds, end, Refusal::MetadataPlace { offset, length, end: footer.table.offset })
}

/// Pages follow one another, leave room for their records, and end where the metadata begins.
fn check_table(table: &[u8], header: &Header, footer: &Footer) -> Result<Box<[Block]>, Flaw> {
    let (mut from, to) = (HEADER as u64, footer.meta.offset);
    let mut pages = Vec::with_capacity(table.len() / PAGE);
    for (page, row) in (0..).zip(table.chunks_exact(PAGE)) {
        let block = Block::parse(row);
        let Block { offset, length, .. } = block;
        let least = ENTRY as u64 * entries_of(header, page);
        let fits = offset > from && offset.is_multiple_of(ALIGN) && length >= least;
        let end = block.end().and_then(format::align).filter(|end| fits && *end <= to);
        let refusal = Refusal::PagePlace { page, offset, length, least, from, to };
        from = end.ok_or(Flaw::new(footer.table.offset + page * PAGE as u64, refusal))?;
        pages.push(block);
    }
    ensure(from == to, from, Refusal::PagesEnd { end: from, expected: to })?;
    Ok(pages.into())
}

/// Number of index pages.
pub(super) fn pages(header: &Header) -> u64 {
    header.samples.div_ceil(header.page_entries.into())
}

/// Samples of page `number`.
pub(super) fn entries_of(header: &Header, number: u64) -> u64 {
    let per_page = u64::from(header.page_entries);
    per_page.min(header.samples - number * per_page)
}

/// The bytes of `block`, which lies in the file, by its checksum.
fn block<'a>(bytes: &'a [u8], block: &Block, section: Section) -> Result<&'a [u8], Flaw> {
    let inside = &bytes[block.offset as usize..][..block.length as usize];
    let (stated, found) = (block.checksum, format::checksum(inside));
    ensure(found == stated, block.offset, Refusal::Checksum { section, stated, found })?;
    Ok(inside)
}
