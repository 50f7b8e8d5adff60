//! The index pages of a file of which anything may be damaged.

use crate::shard::check::{Expected, check_metadata, check_page};
use crate::shard::error::Refusal;
use crate::shard::format::{self, ALIGN, Block, ENTRY, Entry, FOOTER, Footer, HEADER, Meta, PAGE, PAGE_ENTRIES};

/// An index page that holds, and the records before it.
pub(super) struct Page {
    /// Where its first record begins.
    pub(super) records: u64,
    pub(super) offset: u64,
    pub(super) entries: u64,
    length: u64,
    /// Where the next record or section begins.
    pub(super) end: u64,
}

/// What is left of a file's order.
pub(super) struct Found {
    /// In order, apart from each other.
    pub(super) pages: Vec<Page>,
    /// Whether each of them has its checksum in a row of the page table.
    pub(super) proven: bool,
    pub(super) meta: Option<Meta>,
    /// The footer says that the header is not what was written.
    pub(super) header_damaged: bool,
    /// Where records and pages end; what is behind the last page and before this was records or pages.
    pub(super) body_end: u64,
}

pub(super) fn find(bytes: &[u8]) -> Found {
    match footer(bytes) {
        Some(footer) => by_footer(bytes, &footer),
        None => by_content(bytes),
    }
}

/// The footer, by its own checksum.
fn footer(bytes: &[u8]) -> Option<Footer> {
    let raw = bytes.get(HEADER.max(bytes.len().saturating_sub(FOOTER))..).filter(|raw| raw.len() == FOOTER)?;
    let (stated, covered) = Footer::checksum(raw);
    (format::checksum(covered) == stated).then(|| Footer::parse(raw))
}

/// The footer says where the page table and the metadata are.
fn by_footer(bytes: &[u8], footer: &Footer) -> Found {
    let rows = range(bytes, &footer.table).unwrap_or_default().chunks_exact(PAGE);
    let pages = apart(rows.filter_map(|row| page_of(bytes, &Block::parse(row))));
    let section = range(bytes, &footer.meta).filter(|section| format::checksum(section) == footer.meta.checksum);
    let meta = section.and_then(|section| check_metadata(section, footer.meta.offset).ok());
    let header_damaged = Footer::new(&bytes[..HEADER], footer.meta, footer.table).identity != footer.identity;
    let body_end = footer.meta.offset.min(bytes.len() as u64);
    Found { pages, proven: true, meta, header_damaged, body_end }
}

/// Without a footer, rows of the table are looked for everywhere: one is a row if a page has its checksum.
fn by_content(bytes: &[u8]) -> Found {
    let rows = (HEADER..bytes.len().saturating_sub(PAGE - 1))
        .map(|at| (at, Block::parse(&bytes[at..][..PAGE])))
        .filter(|(at, row)| row.end().is_some_and(|end| end <= *at as u64))
        .filter_map(|(at, row)| Some((at as u64, page_of(bytes, &row)?)));
    let (places, pages): (Vec<u64>, Vec<Page>) = rows.unzip();
    // Behind the last page that has its row, pages are taken by their form if the file was cut before their rows.
    let cut = places.last().is_none_or(|last| last + 2 * PAGE as u64 > bytes.len() as u64);
    let from = pages.iter().map(|page| page.end).max().unwrap_or(HEADER as u64);
    let unproven = if cut { by_form(bytes, from) } else { Vec::new() };
    let proven = unproven.is_empty();
    let pages = apart(pages.into_iter().chain(unproven));

    let rest = places.first().copied().unwrap_or(bytes.len() as u64);
    let end = pages.last().map_or(HEADER as u64, |page| page.end).min(rest);
    // What follows the last page is the metadata or, where pages are missing, records.
    let meta = metadata(&bytes[end as usize..rest as usize]);
    let body_end = if meta.is_some() { end } else { rest };
    Found { pages, proven, meta, header_damaged: false, body_end }
}

/// Pages from `at` on by their form alone.
fn by_form(bytes: &[u8], mut at: u64) -> Vec<Page> {
    let mut pages = Vec::new();
    while at < bytes.len() as u64 {
        match page_at(bytes, at) {
            Some(page) => {
                at = page.end;
                pages.push(page);
            }
            None => at += ALIGN,
        }
    }
    pages
}

/// Those that do not reach into the one before, in order.
fn apart(pages: impl Iterator<Item = Page>) -> Vec<Page> {
    let mut pages: Vec<Page> = pages.collect();
    pages.sort_by_key(|page| page.offset);
    let mut end = HEADER as u64;
    pages.retain(|page| {
        let follows = page.records >= end;
        if follows {
            end = page.end;
        }
        follows
    });
    pages
}

/// The page of a row of the table, by its checksum.
fn page_of(bytes: &[u8], row: &Block) -> Option<Page> {
    let page = page_at(bytes, row.offset).filter(|page| page.length == row.length)?;
    (format::checksum(range(bytes, row)?) == row.checksum).then_some(page)
}

/// The page at `at`, by its form: its entries lead from record to record exactly to it, and keep every other rule of a page.
fn page_at(bytes: &[u8], at: u64) -> Option<Page> {
    let entry = |number: u64| Some(Entry::parse(range(bytes, &place(at + number * ENTRY as u64, ENTRY as u64))?));
    let records = entry(0)?.offset;
    if !at.is_multiple_of(ALIGN) || records < HEADER as u64 || records >= at {
        return None;
    }
    let (mut end, mut entries) = (records, 0);
    let mut last = entry(0)?;
    // At least one, as pages have: what follows the page would else be the page itself.
    while entries == 0 || format::align(end)? != at {
        last = entry(entries).filter(|_| entries < PAGE_ENTRIES.into())?;
        entries += 1;
        let follows = Some(last.offset) == format::align(end) && last.length > 0;
        end = last.offset.checked_add(last.length.into()).filter(|end| follows && *end <= at)?;
    }
    let length = entries * ENTRY as u64 + u64::from(last.name_end);
    let found = range(bytes, &place(at, length))?;
    let page = Block { checksum: format::checksum(found), ..place(at, length) };
    // How many classes there are is not known here.
    let expected = Expected { page, records, first: 0, entries, classes: u32::MAX.into() };
    check_page(bytes, &expected).ok()?;
    let end = format::align(page.end()?)?;
    Some(Page { records, offset: at, entries, length, end })
}

/// Classes and metadata at the start of `section`, by their form. Zeros are their form too, if there is nothing in them.
fn metadata(section: &[u8]) -> Option<Meta> {
    let meta = match check_metadata(section, 0) {
        Err(flaw) => match flaw.refusal {
            Refusal::MetadataRest { left } => check_metadata(&section[..section.len() - left as usize], 0).ok(),
            _ => None,
        },
        meta => meta.ok(),
    };
    meta.filter(|meta| !meta.pairs.is_empty())
}

fn place(offset: u64, length: u64) -> Block {
    Block { offset, length, checksum: 0 }
}

/// The bytes of a block, where the file has them.
fn range<'a>(bytes: &'a [u8], block: &Block) -> Option<&'a [u8]> {
    bytes.get(usize::try_from(block.offset).ok()?..usize::try_from(block.end()?).ok()?)
}
