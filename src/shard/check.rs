//! Bytes to a trusted index: the only place that refuses. Code behind it does not check again.

use std::path::Path;

use super::error::ShardError;
use super::format::{
    self, ALIGN, Block, ENTRY, Entry, FOOTER, Footer, HEADER, Header, MAGIC, Meta, PAGE, PAGE_ENTRIES,
};
use super::{Codec, MAX_SIDE, NO_LABEL};

/// What opening establishes about one file.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) header: Header,
    pub(super) footer: Footer,
    pub(super) meta: Meta,
}

/// Checks header, footer, classes, metadata and page table of a whole file.
pub(super) fn open(path: &Path, bytes: &[u8]) -> Result<Opened, ShardError> {
    let length = bytes.len() as u64;
    let not_a_shard = |offset, what| ShardError::NotAShard { path: path.to_owned(), offset, what };
    if bytes.len() < HEADER + FOOTER {
        return Err(not_a_shard(length, "the end of the file"));
    }
    if bytes[..8] != MAGIC {
        return Err(not_a_shard(0, "other first bytes"));
    }
    let header = Header::parse(&bytes[..HEADER]);
    if header.version != format::VERSION {
        return Err(ShardError::Version { path: path.to_owned(), found: header.version });
    }
    if header.file_length != length {
        return Err(ShardError::Length { path: path.to_owned(), found: length, stated: header.file_length });
    }
    let footer_at = length - FOOTER as u64;
    let footer =
        Footer::parse(&bytes[footer_at as usize..]).ok_or_else(|| not_a_shard(footer_at, "a damaged footer"))?;
    if Footer::new(&bytes[..HEADER], footer.meta, footer.table) != footer {
        return Err(not_a_shard(0, "a header that the footer does not know"));
    }

    let field = |offset, field, value| ShardError::Field { path: path.to_owned(), offset, field, value };
    let counts = [("page_entries", 12, u64::from(header.page_entries)), ("samples", 24, header.samples)];
    if let Some((name, at, value)) = counts.into_iter().find(|(.., value)| *value == 0) {
        return Err(field(at, name, value));
    }
    if header.page_entries > PAGE_ENTRIES {
        return Err(field(12, "page_entries", header.page_entries.into()));
    }
    if header.part >= header.parts || header.first.checked_add(header.samples).is_none_or(|end| end > header.total) {
        return Err(field(48, "part", header.part.into()));
    }
    let pages = header.samples.div_ceil(header.page_entries.into());
    if footer.table.end() != Some(footer_at) || Some(footer.table.length) != pages.checked_mul(PAGE as u64) {
        return Err(field(footer_at + 24, "page table", footer.table.offset));
    }
    if footer.meta.end() != Some(footer.table.offset) {
        return Err(field(footer_at, "metadata", footer.meta.offset));
    }
    let meta = Meta::parse(block(path, bytes, &footer.meta, "metadata")?);
    let meta = meta.ok_or_else(|| field(footer.meta.offset, "metadata", footer.meta.length))?;
    let table = block(path, bytes, &footer.table, "page table")?;
    check_table(path, table, &header, &footer)?;
    Ok(Opened { header, footer, meta })
}

/// Pages follow one another, leave room for their records, and end where the metadata begins.
fn check_table(path: &Path, table: &[u8], header: &Header, footer: &Footer) -> Result<(), ShardError> {
    let mut end = HEADER as u64;
    for (number, bytes) in table.chunks_exact(PAGE).enumerate() {
        let page = Block::parse(bytes);
        let entries = ENTRY as u64 * entries_of(header, number as u64);
        let fits = page.offset > end && page.offset.is_multiple_of(ALIGN) && page.length >= entries;
        let page_end = page.end().and_then(format::align).filter(|end| fits && *end <= footer.meta.offset);
        let at = footer.table.offset + number as u64 * PAGE as u64;
        let refused = ShardError::Field { path: path.to_owned(), offset: at, field: "page offset", value: page.offset };
        end = page_end.ok_or(refused)?;
    }
    if end != footer.meta.offset {
        let field = "metadata offset";
        return Err(ShardError::Field { path: path.to_owned(), offset: end, field, value: footer.meta.offset });
    }
    Ok(())
}

/// Samples of page `number`.
pub(super) fn entries_of(header: &Header, number: u64) -> u64 {
    let per_page = u64::from(header.page_entries);
    per_page.min(header.samples - number * per_page)
}

/// The bytes of `block`, which lies in the file, by its checksum.
fn block<'a>(path: &Path, bytes: &'a [u8], block: &Block, what: &'static str) -> Result<&'a [u8], ShardError> {
    let inside = &bytes[block.offset as usize..][..block.length as usize];
    let found = format::checksum(inside);
    if found == block.checksum {
        return Ok(inside);
    }
    Err(ShardError::Checksum { path: path.to_owned(), offset: block.offset, what, found, stated: block.checksum })
}

/// Checks index page `page`, whose records begin at `records`, against checksum and rules.
pub(super) fn page(
    path: &Path,
    bytes: &[u8],
    page: &Block,
    records: u64,
    entries: u64,
    classes: usize,
) -> Result<(), ShardError> {
    let inside = block(path, bytes, page, "index page")?;
    let (table, names) = inside.split_at(entries as usize * ENTRY);
    let (mut record_end, mut name_end) = (records, 0);
    for (number, raw) in table.chunks_exact(ENTRY).enumerate() {
        let entry = Entry::parse(raw);
        let at = page.offset + (number * ENTRY) as u64;
        let refuse =
            |offset, field, value| Err(ShardError::Field { path: path.to_owned(), offset: at + offset, field, value });
        if entry.offset != record_end {
            return refuse(0, "record offset", entry.offset);
        }
        let end = entry.offset.checked_add(entry.length.into()).and_then(format::align);
        match end {
            Some(end) if entry.length > 0 && end <= page.offset => record_end = end,
            _ => return refuse(8, "record length", entry.length.into()),
        }
        let (width, height) = (u32::from(entry.width), u32::from(entry.height));
        if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
            return refuse(12, "image size", u64::from(width) << 16 | u64::from(height));
        }
        if entry.label != NO_LABEL && entry.label as usize >= classes {
            return refuse(16, "label", entry.label.into());
        }
        let name = names.get(name_end as usize..entry.name_end as usize);
        if name.is_none_or(|name| std::str::from_utf8(name).is_err()) {
            return refuse(20, "name end", entry.name_end.into());
        }
        name_end = entry.name_end;
        let codec = Codec::from_tag(entry.codec);
        let raw_length = u64::from(width) * u64::from(height) * 3;
        if codec.is_none() || entry.zero != [0; 7] {
            return refuse(24, "codec", entry.codec.into());
        }
        if codec == Some(Codec::Raw) && u64::from(entry.length) != raw_length {
            return refuse(8, "length of a raw record", entry.length.into());
        }
    }
    if record_end != page.offset || name_end as usize != names.len() {
        let field = "end of the page's records or names";
        return Err(ShardError::Field { path: path.to_owned(), offset: page.offset, field, value: record_end });
    }
    Ok(())
}
