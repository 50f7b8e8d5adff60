//! Page table and index pages.

use super::forge::{Forged, assert_refused};
use crate::image::Size;
use crate::shard::error::{Refusal, Section};
use crate::shard::format::{ENTRY, HEADER};

/// Bytes of the records of page 0, as padded: 17 and 6.
const RECORDS: u64 = 24 + 8;

#[test]
fn page_outside_its_place() {
    let to = |shard: &Forged| shard.footer().meta.offset;
    for (number, offset) in [(0, HEADER as u64), (0, 97), (0, u64::MAX), (1, 72)] {
        assert_refused(|shard| {
            let (page, row) = (shard.page(number), shard.row_at(number));
            let from = if number == 0 {
                HEADER as u64
            } else {
                (shard.page(0).offset + shard.page(0).length).next_multiple_of(8)
            };
            shard.put(row, u64::to_le_bytes(offset));
            let least = if number == 0 { 2 * ENTRY as u64 } else { ENTRY as u64 };
            (row, Refusal::PagePlace { page: number, offset, length: page.length, least, from, to: to(shard) })
        });
    }
}

#[test]
fn page_too_short_for_its_entries_or_past_the_metadata() {
    for length in [0, ENTRY as u64, 1 << 20, u64::MAX] {
        assert_refused(|shard| {
            let (page, row, to) = (shard.page(0), shard.row_at(0), shard.footer().meta.offset);
            shard.put(row + 8, u64::to_le_bytes(length));
            let (offset, least, from) = (page.offset, 2 * ENTRY as u64, HEADER as u64);
            (row, Refusal::PagePlace { page: 0, offset, length, least, from, to })
        });
    }
}

#[test]
fn pages_that_end_early() {
    assert_refused(|shard| {
        // The last page and the metadata change their common border: 8 bytes of page become metadata.
        let (footer, at) = (shard.footer(), shard.footer_at());
        shard.put(at, (footer.meta.offset + 8).to_le_bytes());
        shard.put(at + 8, (footer.meta.length - 8).to_le_bytes());
        (footer.meta.offset, Refusal::PagesEnd { end: footer.meta.offset, expected: footer.meta.offset + 8 })
    });
}

#[test]
fn damaged_page() {
    let mut forged = Forged::new();
    let at = forged.entry_at(2);
    forged.0[at as usize + 3] ^= 1;
    let fault = forged.fault().unwrap();
    assert_eq!(fault.offset, at);
    assert!(matches!(fault.refusal, Refusal::Checksum { section: Section::IndexPage, .. }), "{fault}");
}

#[test]
fn overlapping_records() {
    assert_refused(|shard| {
        let (at, end) = (shard.entry_at(1), HEADER as u64 + 17);
        shard.put(at, (end - 1).to_le_bytes());
        (at, Refusal::Overlap { offset: end - 1, end })
    });
}

#[test]
fn record_before_its_page_begins() {
    for offset in [0, HEADER as u64 - 8] {
        assert_refused(|shard| {
            let at = shard.entry_at(0);
            shard.put(at, u64::to_le_bytes(offset));
            (at, Refusal::Overlap { offset, end: HEADER as u64 })
        });
    }
}

#[test]
fn record_somewhere_else() {
    for offset in [HEADER as u64 + 17, 1 << 40, u64::MAX] {
        assert_refused(|shard| {
            let at = shard.entry_at(1);
            shard.put(at, offset.to_le_bytes());
            (at, Refusal::Gap { offset, expected: HEADER as u64 + 24 })
        });
    }
}

#[test]
fn record_that_reaches_into_the_index() {
    for length in [9, u32::MAX] {
        assert_refused(|shard| {
            let (at, limit) = (shard.entry_at(1), shard.page(0).offset);
            shard.put(at + 8, u32::to_le_bytes(length));
            (at + 8, Refusal::RecordEnd { offset: HEADER as u64 + 24, length: length.into(), limit })
        });
    }
}

#[test]
fn records_that_end_early() {
    assert_refused(|shard| {
        // The first record shrinks to one byte and the second moves up: sound both, but 16 bytes are nobody's now.
        let (at, page) = (shard.entry_at(0), shard.page(0).offset);
        shard.put(at + 8, 1u32.to_le_bytes());
        shard.put(shard.entry_at(1), (HEADER as u64 + 8).to_le_bytes());
        assert_eq!(page, HEADER as u64 + RECORDS);
        (page, Refusal::RecordsEnd { end: page - 16, expected: page })
    });
}

#[test]
fn empty_record() {
    assert_refused(|shard| {
        let at = shard.entry_at(0);
        shard.put(at + 8, [0; 4]);
        (at + 8, Refusal::RecordLength { length: 0 })
    });
}

#[test]
fn raw_record_of_another_size() {
    assert_refused(|shard| {
        let at = shard.entry_at(1);
        shard.put(at + 12, 3u16.to_le_bytes());
        (at + 8, Refusal::RawLength { length: 6, size: Size::new(3, 1), needed: 9 })
    });
}

#[test]
fn sides_out_of_range() {
    for (width, height) in [(0, 1), (1, 0), (32768, 1), (1, u16::MAX)] {
        assert_refused(|shard| {
            let at = shard.entry_at(0);
            shard.put(at + 12, u16::to_le_bytes(width));
            shard.put(at + 14, u16::to_le_bytes(height));
            (at + 12, Refusal::ImageSize { size: Size::new(width.into(), height.into()) })
        });
    }
}

#[test]
fn label_without_a_class() {
    for label in [2, u32::MAX - 1] {
        assert_refused(|shard| {
            let at = shard.entry_at(0);
            shard.put(at + 16, u32::to_le_bytes(label));
            (at + 16, Refusal::Label { label, classes: 2 })
        });
    }
}

#[test]
fn unknown_codec() {
    for found in [0, 5, 255] {
        assert_refused(|shard| {
            let at = shard.entry_at(2);
            shard.put(at + 24, [found]);
            (at + 24, Refusal::Codec { found })
        });
    }
}

#[test]
fn reserved_bytes_of_an_entry() {
    assert_refused(|shard| {
        let at = shard.entry_at(0);
        shard.put(at + 27, [9]);
        (at + 27, Refusal::NotZero { found: 9 })
    });
}

#[test]
fn name_outside_the_page() {
    let limit = "cat/ä.jpghaus/12".len() as u64;
    for (sample, start, end) in [(0, 0, limit as u32 + 1), (0, 0, u32::MAX), (1, 10, 9)] {
        assert_refused(|shard| {
            let at = shard.entry_at(sample) + 20;
            shard.put(at, u32::to_le_bytes(end));
            (at, Refusal::NameEnd { start, end: end.into(), limit })
        });
    }
}

#[test]
fn names_that_end_early() {
    assert_refused(|shard| {
        let at = shard.entry_at(1);
        shard.put(at + 20, 16u32.to_le_bytes());
        (shard.page(0).offset, Refusal::NamesEnd { end: 16, expected: 17 })
    });
}

#[test]
fn name_cut_within_a_letter() {
    assert_refused(|shard| {
        let at = shard.entry_at(0) + 20;
        shard.put(at, 5u32.to_le_bytes());
        (at, Refusal::Utf8)
    });
}

#[test]
fn bytes_between_records() {
    // Behind a record of 17 bytes; behind page 0, whose names end off the grid.
    let gaps: [fn(&Forged) -> u64; 2] = [|_| HEADER as u64 + 23, |shard| shard.page(0).offset + shard.page(0).length];
    for gap in gaps {
        assert_refused(|shard| {
            let at = gap(shard);
            assert_ne!(at % 8, 0, "no gap there");
            shard.put(at, [1]);
            (at, Refusal::NotZero { found: 1 })
        });
    }
}

#[test]
fn damaged_record() {
    let mut forged = Forged::new();
    forged.0[HEADER + 24] ^= 1;
    let fault = forged.fault().unwrap();
    assert_eq!((fault.sample, fault.offset), (Some(1), HEADER as u64 + 24));
    assert!(matches!(fault.refusal, Refusal::Checksum { section: Section::Record, .. }), "{fault}");
}
