//! One index page: its checksum, its entries, its names.

use std::ops::Range;

use super::{Flaw, block, ensure};
use crate::image::Size;
use crate::shard::error::{Refusal, Section};
use crate::shard::format::{self, Block, ENTRY, Entry, MAX_NAME};
use crate::shard::{Codec, MAX_SIDE, NO_LABEL};

/// What is known of a page before it is read: its place, where its records begin, and how many samples from which on it describes.
pub(in crate::shard) struct Expected {
    pub(in crate::shard) page: Block,
    pub(in crate::shard) records: u64,
    pub(in crate::shard) first: u64,
    pub(in crate::shard) entries: u64,
    pub(in crate::shard) classes: u64,
}

/// Holds an index page to its checksum and to every rule of the table "Index page".
pub(in crate::shard) fn check_page(bytes: &[u8], expected: &Expected) -> Result<(), Flaw> {
    let Expected { page, records, first, entries, classes } = *expected;
    let inside = block(bytes, &page, Section::IndexPage)?;
    let (table, names) = inside.split_at(entries as usize * ENTRY);
    let (mut record_end, mut name_end) = (records, 0);
    for (number, raw) in (0..).zip(table.chunks_exact(ENTRY)) {
        let entry = Entry::parse(raw);
        let at = page.offset + number * ENTRY as u64;
        let flaw = |(offset, refusal)| Flaw { sample: Some(first + number), offset: at + offset, refusal };
        record_end = check_place(&entry, record_end, page.offset).map_err(flaw)?;
        check_sample(&entry, classes).map_err(flaw)?;
        name_of(names, name_end, entry.name_end).map_err(|refusal| flaw((20, refusal)))?;
        name_end = entry.name_end;
    }
    let end = record_end.next_multiple_of(format::ALIGN); // a place in the file: no overflow
    ensure(end == page.offset, page.offset, Refusal::RecordsEnd { end, expected: page.offset })?;
    let (end, length) = (u64::from(name_end), names.len() as u64);
    ensure(end == length, page.offset, Refusal::NamesEnd { end, expected: length })
}

/// An offset within the entry, and what is wrong there.
pub(in crate::shard) type EntryFlaw = (u64, Refusal);

/// Where the record ends, which is at or before `limit`.
fn check_place(entry: &Entry, previous_end: u64, limit: u64) -> Result<u64, EntryFlaw> {
    let Entry { offset, length, .. } = *entry;
    let expected = previous_end.next_multiple_of(format::ALIGN); // a place in the file: no overflow
    if offset < previous_end {
        return Err((0, Refusal::Overlap { offset, end: previous_end }));
    }
    if offset != expected {
        return Err((0, Refusal::Gap { offset, expected }));
    }
    let end = offset.checked_add(length.into()).filter(|end| *end <= limit);
    end.ok_or((8, Refusal::RecordEnd { offset, length: length.into(), limit }))
}

fn check_sample(entry: &Entry, classes: u64) -> Result<(), EntryFlaw> {
    let codec = Codec::from_tag(entry.codec).ok_or((24, Refusal::Codec { found: entry.codec }))?;
    if let Some(at) = entry.zero.iter().position(|byte| *byte != 0) {
        return Err((25 + at as u64, Refusal::NotZero { found: entry.zero[at] }));
    }
    let size = Size::new(entry.width.into(), entry.height.into());
    storable(size, codec, entry.length.into(), entry.label, classes).map_err(|refusal| {
        let offset = match refusal {
            Refusal::ImageSize { .. } => 12,
            Refusal::Label { .. } => 16,
            _ => 8,
        };
        (offset, refusal)
    })
}

/// Whether a sample is one that the format can hold; asked by reader and writer alike.
pub(in crate::shard) fn storable(
    size: Size,
    codec: Codec,
    length: u64,
    label: u32,
    classes: u64,
) -> Result<(), Refusal> {
    let sides = 1..=MAX_SIDE;
    if !sides.contains(&size.width) || !sides.contains(&size.height) {
        return Err(Refusal::ImageSize { size });
    }
    if !(1..=u64::from(u32::MAX)).contains(&length) {
        return Err(Refusal::RecordLength { length });
    }
    let needed = size.area() * 3;
    if codec == Codec::Raw && length != needed {
        return Err(Refusal::RawLength { length, size, needed });
    }
    if label != NO_LABEL && u64::from(label) >= classes {
        return Err(Refusal::Label { label, classes });
    }
    Ok(())
}

/// The name from `start` to `end` of a page's `names`.
pub(in crate::shard) fn name_of(names: &[u8], start: u32, end: u32) -> Result<&str, Refusal> {
    let outside = || Refusal::NameEnd { start: start.into(), end: end.into(), limit: names.len() as u64 };
    let name = names.get(start as usize..end as usize).ok_or_else(outside)?;
    let length = name.len() as u64;
    if length > MAX_NAME {
        return Err(Refusal::NameLength { length });
    }
    std::str::from_utf8(name).map_err(|_| Refusal::Utf8)
}

/// Holds the entry of a page that was checked before to what its readers lean on: it may have changed under the map. `records`: where those
/// of its page lie.
pub(in crate::shard) fn check_again(entry: &Entry, records: Range<u64>, classes: u64) -> Result<(), EntryFlaw> {
    let Entry { offset, length, .. } = *entry;
    if offset < records.start {
        return Err((0, Refusal::Overlap { offset, end: records.start }));
    }
    let fits = offset.checked_add(length.into()).is_some_and(|end| end <= records.end);
    if !fits {
        return Err((8, Refusal::RecordEnd { offset, length: length.into(), limit: records.end }));
    }
    check_sample(entry, classes)
}
