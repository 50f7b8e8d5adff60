//! Writes chunks: DCs, presence, masks and widths, values.

use super::{Scan, Scanner};
use crate::coef::NotCovered;
use crate::coef::tile::{BLOCK_CONTROL, CHUNK};

/// Most bytes of the values of a chunk: 32 blocks of 63 values of 15 bits, and what a store reaches over.
const VALUES: usize = CHUNK * 64 * 15 / 8 + 8;

/// Scratch for one chunk after another.
pub(super) struct ChunkWriter {
    scanner: Scanner,
    control: [u8; CHUNK * BLOCK_CONTROL],
    values: Bits,
}

impl ChunkWriter {
    pub(super) fn new(scanner: Scanner) -> Self {
        Self { scanner, control: [0; CHUNK * BLOCK_CONTROL], values: Bits::new() }
    }

    /// Appends the chunk of `blocks` (1 to 32).
    pub(super) fn append(&mut self, blocks: &[[i16; 64]], record: &mut Vec<u8>) -> Result<(), NotCovered> {
        let start = record.len();
        let mut presence = [0; CHUNK];
        let mut control = 0;
        self.values.clear();
        for (block, present) in blocks.iter().zip(&mut presence) {
            let scan = (self.scanner)(block);
            if scan.widths.iter().any(|width| *width > 15) {
                return Err(NotCovered::Coefficient(largest(block)));
            }
            (*present, control) = self.append_block(&scan, control);
        }
        self.append_dcs(blocks, control, record);
        record.extend(&presence[..blocks.len()]);
        record.extend(&self.control[..control]);
        record.extend(self.values.bytes());
        if (record.len() - start) % 2 == 1 {
            record.push(0);
        }
        Ok(())
    }

    /// Masks, widths and values of a block; returns its presence and the end of its masks and widths.
    fn append_block(&mut self, scan: &Scan, start: usize) -> (u8, usize) {
        let (mut presence, mut tiles) = (0, 0);
        let mut widths = 0u32;
        for tile in 0..8 {
            let (mask, width) = (scan.masks[tile], scan.widths[tile]);
            if mask == 0 {
                continue;
            }
            presence |= 1 << tile;
            self.control[start + tiles] = mask;
            widths |= u32::from(width) << (4 * tiles);
            tiles += 1;
            self.values.put_tile(&scan.codes[tile], mask, width.into());
        }
        let bytes = tiles.div_ceil(2);
        self.control[start + tiles..][..bytes].copy_from_slice(&widths.to_le_bytes()[..bytes]);
        (presence, start + tiles + bytes)
    }

    /// The chunk's head and DCs.
    fn append_dcs(&mut self, blocks: &[[i16; 64]], control: usize, record: &mut Vec<u8>) {
        let least = blocks.iter().map(|block| block[0]).min().unwrap_or(0);
        let span = blocks.iter().map(|block| block[0].wrapping_sub(least) as u16).max().unwrap_or(0);
        let width = u16::BITS - span.leading_zeros();
        record.extend(least.to_le_bytes());
        record.push(width as u8);
        record.extend((control as u16).to_le_bytes());
        let mut bits = Bits::new();
        for block in blocks {
            bits.put(u64::from(block[0].wrapping_sub(least) as u16), width);
        }
        record.extend(bits.bytes());
    }
}

/// The AC coefficient of largest magnitude.
fn largest(block: &[i16; 64]) -> i16 {
    block[1..].iter().copied().max_by_key(|value| value.unsigned_abs()).unwrap_or(0)
}

/// Bits, lowest first.
struct Bits {
    bytes: [u8; VALUES],
    /// Whole bytes written.
    length: usize,
    /// Bits not yet whole bytes, fewer than 8.
    rest: u64,
    count: u32,
}

impl Bits {
    fn new() -> Self {
        Self { bytes: [0; VALUES], length: 0, rest: 0, count: 0 }
    }

    fn clear(&mut self) {
        (self.length, self.rest, self.count) = (0, 0, 0);
    }

    /// The low `width` bits of the codes whose bits in `mask` are set; the others are 0.
    #[inline]
    fn put_tile(&mut self, codes: &[i16; 8], mask: u8, width: u32) {
        // Few enough bits for one word: no branch depends on the mask.
        if width <= 7 {
            return self.put_codes(codes, mask, width);
        }
        for (lane, code) in codes.iter().enumerate() {
            self.put_codes(&[*code], mask >> lane & 1, width);
        }
    }

    /// [`put_tile`](Self::put_tile) of codes that take at most 56 bits together.
    #[inline]
    fn put_codes<const N: usize>(&mut self, codes: &[i16; N], mask: u8, width: u32) {
        let (mut word, mut used) = (0, 0);
        for (lane, code) in codes.iter().enumerate() {
            word |= (u64::from(*code as u16) & ((1 << width) - 1)) << used;
            used += width * u32::from(mask >> lane & 1);
        }
        self.put(word, used);
    }

    /// The low `width` bits (at most 56) of `word`, whose other bits are 0.
    #[inline]
    fn put(&mut self, word: u64, width: u32) {
        self.rest |= word << self.count;
        self.count += width;
        self.bytes[self.length..][..8].copy_from_slice(&self.rest.to_le_bytes());
        self.length += self.count as usize / 8;
        self.rest >>= self.count & !7;
        self.count %= 8;
    }

    /// All bits, padded to a byte.
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length + (self.count > 0) as usize]
    }
}
