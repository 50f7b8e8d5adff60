//! The bytes of `format.md`, field by field: encode and parse over `&[u8]`. No files, no judgement.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// First and last bytes of every file.
pub(super) const MAGIC: [u8; 8] = *b"METACLS\x01";
/// The version that this code reads and writes.
pub(super) const VERSION: u32 = 1;
/// Samples of every index page but the last.
pub(super) const PAGE_ENTRIES: u32 = 4096;
/// Bytes of the header.
pub(super) const HEADER: usize = 64;
/// Bytes of the footer.
pub(super) const FOOTER: usize = 80;
/// Bytes of an index entry.
pub(super) const ENTRY: usize = 40;
/// Bytes of a page table entry.
pub(super) const PAGE: usize = 24;
/// Most files of a split: the digits of their names.
pub(super) const MAX_PARTS: u32 = 100_000;
/// Most bytes of a name.
pub(super) const MAX_NAME: u64 = 4096;
/// Records start at multiples of this.
pub(super) const ALIGN: u64 = 8;

pub(super) fn checksum(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// `at` rounded up to the next record's start; `None` past the end of the number line.
pub(super) fn align(at: u64) -> Option<u64> {
    at.checked_next_multiple_of(ALIGN)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) page_entries: u32,
    pub(super) file_length: u64,
    pub(super) samples: u64,
    pub(super) first: u64,
    pub(super) total: u64,
    pub(super) part: u32,
    pub(super) parts: u32,
    pub(super) split_id: u64,
}

impl Header {
    /// Of a file that is a whole split; its length is not known yet.
    pub(super) fn alone(page_entries: u32, samples: u64) -> Self {
        let (file_length, first, part, parts, split_id) = (0, 0, 0, 1, 0);
        Self { version: VERSION, page_entries, file_length, samples, first, total: samples, part, parts, split_id }
    }

    pub(super) fn encode(&self) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        out[0..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&self.version.to_le_bytes());
        out[12..16].copy_from_slice(&self.page_entries.to_le_bytes());
        out[16..24].copy_from_slice(&self.file_length.to_le_bytes());
        out[24..32].copy_from_slice(&self.samples.to_le_bytes());
        out[32..40].copy_from_slice(&self.first.to_le_bytes());
        out[40..48].copy_from_slice(&self.total.to_le_bytes());
        out[48..52].copy_from_slice(&self.part.to_le_bytes());
        out[52..56].copy_from_slice(&self.parts.to_le_bytes());
        out[56..64].copy_from_slice(&self.split_id.to_le_bytes());
        out
    }

    /// Of [`HEADER`] bytes whose magic is known.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        Self {
            version: u32_at(bytes, 8),
            page_entries: u32_at(bytes, 12),
            file_length: u64_at(bytes, 16),
            samples: u64_at(bytes, 24),
            first: u64_at(bytes, 32),
            total: u64_at(bytes, 40),
            part: u32_at(bytes, 48),
            parts: u32_at(bytes, 52),
            split_id: u64_at(bytes, 56),
        }
    }
}

/// A range of the file and its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) checksum: u64,
}

impl Block {
    pub(super) fn encode(&self) -> [u8; PAGE] {
        let mut out = [0; PAGE];
        out[0..8].copy_from_slice(&self.offset.to_le_bytes());
        out[8..16].copy_from_slice(&self.length.to_le_bytes());
        out[16..24].copy_from_slice(&self.checksum.to_le_bytes());
        out
    }

    pub(super) fn parse(bytes: &[u8]) -> Self {
        Self { offset: u64_at(bytes, 0), length: u64_at(bytes, 8), checksum: u64_at(bytes, 16) }
    }

    /// One past its last byte; `None` past the end of the number line.
    pub(super) fn end(&self) -> Option<u64> {
        self.offset.checked_add(self.length)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) meta: Block,
    pub(super) table: Block,
    pub(super) identity: u128,
}

impl Footer {
    /// The footer of a file with this `header`, identity worked out.
    pub(super) fn new(header: &[u8], meta: Block, table: Block) -> Self {
        let mut hash = Xxh3::new();
        hash.update(header);
        hash.update(&meta.encode());
        hash.update(&table.encode());
        Self { meta, table, identity: hash.digest128() }
    }

    pub(super) fn encode(&self) -> [u8; FOOTER] {
        let mut out = [0; FOOTER];
        out[0..24].copy_from_slice(&self.meta.encode());
        out[24..48].copy_from_slice(&self.table.encode());
        out[48..64].copy_from_slice(&self.identity.to_le_bytes());
        let sum = checksum(&out[..64]);
        out[64..72].copy_from_slice(&sum.to_le_bytes());
        out[72..80].copy_from_slice(&MAGIC);
        out
    }

    /// Of [`FOOTER`] bytes.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        Self {
            meta: Block::parse(&bytes[0..24]),
            table: Block::parse(&bytes[24..48]),
            identity: u128::from_le_bytes(bytes[48..64].try_into().expect("sixteen bytes")),
        }
    }

    /// The stored checksum of [`FOOTER`] bytes, and the bytes that it covers.
    pub(super) fn checksum(bytes: &[u8]) -> (u64, &[u8]) {
        (u64_at(bytes, 64), &bytes[..64])
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) width: u16,
    pub(super) height: u16,
    pub(super) label: u32,
    pub(super) name_end: u32,
    pub(super) codec: u8,
    pub(super) zero: [u8; 7],
    pub(super) checksum: u64,
}

impl Entry {
    pub(super) fn encode(&self) -> [u8; ENTRY] {
        let mut out = [0; ENTRY];
        out[0..8].copy_from_slice(&self.offset.to_le_bytes());
        out[8..12].copy_from_slice(&self.length.to_le_bytes());
        out[12..14].copy_from_slice(&self.width.to_le_bytes());
        out[14..16].copy_from_slice(&self.height.to_le_bytes());
        out[16..20].copy_from_slice(&self.label.to_le_bytes());
        out[20..24].copy_from_slice(&self.name_end.to_le_bytes());
        out[24] = self.codec;
        out[25..32].copy_from_slice(&self.zero);
        out[32..40].copy_from_slice(&self.checksum.to_le_bytes());
        out
    }

    /// Of [`ENTRY`] bytes.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        Self {
            offset: u64_at(bytes, 0),
            length: u32_at(bytes, 8),
            width: u16::from_le_bytes([bytes[12], bytes[13]]),
            height: u16::from_le_bytes([bytes[14], bytes[15]]),
            label: u32_at(bytes, 16),
            name_end: u32_at(bytes, 20),
            codec: bytes[24],
            zero: bytes[25..32].try_into().expect("seven bytes"),
            checksum: u64_at(bytes, 32),
        }
    }
}

/// Classes and metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) classes: Vec<String>,
    pub(super) pairs: BTreeMap<String, String>,
}

impl Meta {
    /// `None` where a text or a count does not fit 32 bits.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let put = |out: &mut Vec<u8>, text: &str| {
            out.extend(u32::try_from(text.len()).ok()?.to_le_bytes());
            out.extend(text.as_bytes());
            Some(())
        };
        out.extend(u32::try_from(self.classes.len()).ok()?.to_le_bytes());
        for class in &self.classes {
            put(&mut out, class)?;
        }
        out.extend(u32::try_from(self.pairs.len()).ok()?.to_le_bytes());
        for (key, value) in &self.pairs {
            put(&mut out, key)?;
            put(&mut out, value)?;
        }
        Some(out)
    }
}
