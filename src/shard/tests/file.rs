//! Header, footer, places of the sections, classes and metadata.

use super::forge::{Forged, assert_refused};
use crate::shard::error::{Refusal, Section};
use crate::shard::format::{FOOTER, HEADER, PAGE};
use crate::shard::{MAX_SAMPLES, NO_LABEL};

#[test]
fn an_untouched_shard_passes_and_sealing_it_changes_nothing() {
    let mut forged = Forged::new();
    let bytes = forged.0.clone();
    forged.seal();
    assert_eq!(forged.0, bytes);
    assert_eq!(forged.fault(), None);
}

#[test]
fn too_short() {
    for length in [0, HEADER + FOOTER - 1] {
        let mut forged = Forged::new();
        forged.0.truncate(length);
        let refusal = Refusal::TooShort { length: length as u64, least: (HEADER + FOOTER) as u64 };
        assert_eq!(forged.fault().map(|fault| fault.refusal), Some(refusal));
    }
}

#[test]
fn foreign_magic() {
    assert_refused(|shard| {
        shard.put(0, *b"PK\x03\x04abcd");
        (0, Refusal::Magic { found: *b"PK\x03\x04abcd" })
    });
}

#[test]
fn foreign_magic_at_the_end() {
    let mut forged = Forged::new();
    let at = forged.footer_at() + 72;
    forged.put(at, [7; 8]);
    let fault = forged.fault().unwrap();
    assert_eq!((fault.offset, fault.refusal), (at, Refusal::Magic { found: [7; 8] }));
}

#[test]
fn later_version() {
    assert_refused(|shard| {
        shard.put(8, 2u32.to_le_bytes());
        (8, Refusal::Version { found: 2 })
    });
}

#[test]
fn another_length_than_stated() {
    assert_refused(|shard| {
        let found = shard.0.len() as u64;
        shard.put(16, (found - 8).to_le_bytes());
        (16, Refusal::Length { stated: found - 8, found })
    });
}

#[test]
fn damaged_footer() {
    let mut forged = Forged::new();
    let at = forged.footer_at();
    forged.0[at as usize] ^= 1;
    let fault = forged.fault().unwrap();
    assert_eq!(fault.offset, at + 64);
    assert!(matches!(fault.refusal, Refusal::Checksum { section: Section::Footer, .. }), "{fault}");
}

#[test]
fn header_of_another_file() {
    let mut forged = Forged::new();
    let stated = forged.footer().identity;
    forged.0[56] ^= 1;
    let at = forged.footer_at() + 48;
    let fault = forged.fault().unwrap();
    assert_eq!(fault.offset, at);
    assert!(matches!(fault.refusal, Refusal::Identity { stated: s, .. } if s == stated), "{fault}");
}

#[test]
fn page_entries_out_of_range() {
    for found in [0, 4097, u32::MAX] {
        assert_refused(|shard| {
            shard.put(12, found.to_le_bytes());
            (12, Refusal::PageEntries { found })
        });
    }
}

#[test]
fn no_samples() {
    assert_refused(|shard| {
        shard.put(24, [0; 8]);
        (24, Refusal::NoSamples)
    });
}

#[test]
fn more_samples_than_32_bits_number() {
    assert_refused(|shard| {
        shard.put(40, (MAX_SAMPLES + 1).to_le_bytes());
        (40, Refusal::TooManySamples { found: MAX_SAMPLES + 1 })
    });
}

#[test]
fn samples_past_the_total() {
    for (first, samples) in [(1, 3), (u64::MAX, 3), (0, u64::MAX), (u64::MAX, u64::MAX)] {
        assert_refused(|shard| {
            shard.put(24, samples.to_le_bytes());
            shard.put(32, first.to_le_bytes());
            (32, Refusal::SampleRange { first, samples, total: 3 })
        });
    }
}

#[test]
fn part_that_cannot_be() {
    for (part, parts) in [(0, 0), (1, 1), (0, 100_001), (u32::MAX, u32::MAX)] {
        assert_refused(|shard| {
            shard.put(48, part.to_le_bytes());
            shard.put(52, parts.to_le_bytes());
            (48, Refusal::Part { part, parts })
        });
    }
}

#[test]
fn hostile_count_of_samples() {
    // The largest that the header's own rules allow: nothing may be sized by it.
    assert_refused(|shard| {
        shard.put(24, MAX_SAMPLES.to_le_bytes());
        shard.put(40, MAX_SAMPLES.to_le_bytes());
        let (table, end) = (shard.footer().table, shard.footer_at());
        let needed = (MAX_SAMPLES / 2) * PAGE as u64;
        (end + 24, Refusal::TablePlace { offset: table.offset, length: table.length, needed, end })
    });
}

#[test]
fn page_table_elsewhere() {
    for offset in [0, 1, u64::MAX] {
        assert_refused(|shard| {
            let end = shard.footer_at();
            let length = shard.footer().table.length;
            shard.put(end + 24, offset.to_le_bytes());
            (end + 24, Refusal::TablePlace { offset, length, needed: length, end })
        });
    }
}

#[test]
fn metadata_elsewhere() {
    for offset in [0, 8, u64::MAX] {
        assert_refused(|shard| {
            let (at, meta, table) = (shard.footer_at(), shard.footer().meta, shard.footer().table);
            shard.put(at, offset.to_le_bytes());
            (at, Refusal::MetadataPlace { offset, length: meta.length, end: table.offset })
        });
    }
}

#[test]
fn damaged_metadata_and_page_table() {
    let places =
        |shard: &Forged| [(Section::Metadata, shard.footer().meta), (Section::PageTable, shard.footer().table)];
    for which in 0..2 {
        let mut forged = Forged::new();
        let (section, block) = places(&forged)[which];
        forged.0[block.offset as usize + 5] ^= 1;
        let fault = forged.fault().unwrap();
        assert_eq!(fault.offset, block.offset);
        assert!(matches!(fault.refusal, Refusal::Checksum { section: s, .. } if s == section), "{fault}");
    }
}

#[test]
fn hostile_count_of_classes() {
    assert_refused(|shard| {
        let meta = shard.footer().meta;
        shard.put(meta.offset, u32::MAX.to_le_bytes());
        // Behind the two classes, the count of pairs is taken for a length of 2, and the next length begins amid that of the key.
        let at = 4 + (4 + 3) + (4 + 5) + (4 + 2) + 4;
        (meta.offset + at, Refusal::MetadataEnd { needed: 0x0161_0000, left: meta.length - at })
    });
}

#[test]
fn text_longer_than_the_metadata() {
    assert_refused(|shard| {
        let meta = shard.footer().meta;
        shard.put(meta.offset + 4, NO_LABEL.to_le_bytes());
        (meta.offset + 8, Refusal::MetadataEnd { needed: u32::MAX.into(), left: meta.length - 8 })
    });
}

#[test]
fn metadata_that_goes_on() {
    assert_refused(|shard| {
        // One pair fewer: the second one, of 4 + 1 + 4 + 2 bytes, is left over.
        let meta = shard.footer().meta;
        let end = meta.offset + meta.length;
        shard.put(end - 11 - 10 - 4, 1u32.to_le_bytes());
        (end - 11, Refusal::MetadataRest { left: 11 })
    });
}

#[test]
fn metadata_keys_out_of_order() {
    for key in [b"b", b"c"] {
        assert_refused(|shard| {
            let meta = shard.footer().meta;
            let end = meta.offset + meta.length;
            shard.put(end - 11 - 10 + 4, *key);
            (end - 11, Refusal::MetadataOrder { key: "b".to_owned() })
        });
    }
}

#[test]
fn class_that_is_no_text() {
    assert_refused(|shard| {
        let meta = shard.footer().meta;
        shard.put(meta.offset + 8, [0xff]);
        (meta.offset + 8, Refusal::Utf8)
    });
}
