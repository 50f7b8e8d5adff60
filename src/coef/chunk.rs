//! Block rows and chunks: their bounds, and taking blocks out of them one value at a time (the oracle of the vector code).

use super::CoefError;
use super::layout::{Record, u16_at};
use super::tile::{BLOCK_CONTROL, Block, CHUNK, CHUNK_BOUND, CHUNK_HEAD, position};

/// A chunk whose head has been checked: whatever its other bytes, reading it stays inside `bytes`.
pub(super) struct Chunk<'a> {
    /// From the chunk's first byte on.
    bytes: &'a [u8; CHUNK_BOUND],
    /// Blocks in it.
    pub(super) blocks: usize,
    /// Bytes up to its declared end, padding included.
    length: usize,
    control: usize,
}

impl<'a> Chunk<'a> {
    /// From the chunk's first byte on.
    pub(super) fn bytes(&self) -> &'a [u8; CHUNK_BOUND] {
        self.bytes
    }

    /// Bits of a DC, at most 16.
    pub(super) fn dc_bits(&self) -> usize {
        self.bytes[2] as usize
    }

    /// What is added to each DC.
    pub(super) fn least_dc(&self) -> i16 {
        u16_at(self.bytes, 0) as i16
    }

    /// Absolute DC of each block, into the front of `out`.
    pub(super) fn dcs(&self, out: &mut [i16; CHUNK]) {
        let (least, width) = (self.least_dc(), self.dc_bits());
        for (block, dc) in out[..self.blocks].iter_mut().enumerate() {
            *dc = least.wrapping_add(bits(self.bytes, 8 * CHUNK_HEAD + block * width, width) as i16);
        }
    }

    /// Where the presence bytes start.
    pub(super) fn presence_at(&self) -> usize {
        CHUNK_HEAD + (self.blocks * self.dc_bits()).div_ceil(8)
    }

    /// Presence byte of each block.
    pub(super) fn presence(&self) -> &'a [u8] {
        &self.bytes[self.presence_at()..][..self.blocks]
    }

    /// The state before the first block.
    pub(super) fn start(&self) -> Cursor {
        let control = self.presence_at() + self.blocks;
        Cursor { control, value: 8 * (control + self.control) }
    }

    /// Whether `cursor`, behind the last block, is where the chunk's head and its block row say.
    pub(super) fn ends_at(&self, cursor: Cursor) -> bool {
        let control = self.presence_at() + self.blocks + self.control;
        cursor.control == control && cursor.value.div_ceil(8).next_multiple_of(2) == self.length
    }

    /// The state behind the first `count` blocks.
    pub(super) fn skip(&self, count: usize) -> Cursor {
        let mut cursor = self.start();
        for &present in &self.presence()[..count] {
            let tiles = present.count_ones() as usize;
            for tile in 0..tiles {
                let mask = self.bytes[cursor.control + tile];
                cursor.value += mask.count_ones() as usize * self.width(cursor.control + tiles, tile);
            }
            cursor.control += tiles + tiles.div_ceil(2);
        }
        cursor
    }

    /// The AC coefficients of the next block; the DC becomes 0. Returns the state behind it.
    pub(super) fn block(&self, presence: u8, mut cursor: Cursor, out: &mut Block) -> Cursor {
        *out = Block::ZERO;
        let widths = cursor.control + presence.count_ones() as usize;
        let present = (0..8).filter(|tile| presence >> tile & 1 == 1);
        for (index, tile) in present.enumerate() {
            let mask = self.bytes[cursor.control + index];
            let width = self.width(widths, index);
            for lane in (0..8).filter(|lane| mask >> lane & 1 == 1) {
                out.0[position(tile, lane)] = value(bits(self.bytes, cursor.value, width), width);
                cursor.value += width;
            }
        }
        cursor.control = widths + presence.count_ones().div_ceil(2) as usize;
        cursor
    }

    fn width(&self, widths: usize, index: usize) -> usize {
        (self.bytes[widths + index / 2] >> (4 * (index % 2)) & 15) as usize
    }
}

/// How far a chunk has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Byte of the next mask, from the chunk's start.
    pub(super) control: usize,
    /// Bit of the next value, from the chunk's start.
    pub(super) value: usize,
}

/// `width` bits (0..=16) from bit `at` on.
fn bits(bytes: &[u8], at: usize, width: usize) -> u16 {
    let byte = at / 8;
    let four = &bytes[byte..byte + 4];
    let word = u32::from_le_bytes([four[0], four[1], four[2], four[3]]);
    (word >> (at % 8) & ((1 << width) - 1)) as u16
}

/// The coefficient that `code` of `width` bits stands for; width 0, which no writer makes, gives 1 as in the vector code.
fn value(code: u16, width: usize) -> i16 {
    let stored = if width == 0 { 0 } else { (code << (16 - width)) as i16 >> (16 - width) };
    if stored < 0 { stored } else { stored + 1 }
}

/// Where a chunk lies in its record.
pub(super) struct Place {
    /// Its first byte.
    pub(super) start: usize,
    /// Bytes up to its declared end, padding included: even, at most 131070.
    pub(super) length: usize,
    /// Blocks in it, at most [`CHUNK`].
    pub(super) blocks: usize,
}

/// A block row inside a record.
pub(super) struct BlockRow {
    mcu_row: usize,
    /// Where its table of ends starts.
    ends: usize,
    columns: usize,
    /// End of the MCU row.
    limit: usize,
}

impl BlockRow {
    /// The block row at `at` of MCU row `mcu_row`, which ends at `limit`; and where the next one starts.
    pub(super) fn open(
        record: &Record<'_>,
        mcu_row: usize,
        at: usize,
        columns: usize,
        limit: usize,
    ) -> Result<(Self, usize), CoefError> {
        let row = Self { mcu_row, ends: at, columns, limit };
        let data = row.data();
        if data > limit {
            return Err(row.wrong("end of a table of chunks", data));
        }
        let end = data + row.end(record, row.chunks());
        if end > limit {
            return Err(row.wrong("end of a block row", end));
        }
        Ok((row, end))
    }

    fn chunks(&self) -> usize {
        self.columns.div_ceil(CHUNK)
    }

    /// Where its chunks start.
    fn data(&self) -> usize {
        self.ends + 2 * self.chunks()
    }

    /// Bytes of the first `chunks` chunks.
    fn end(&self, record: &Record<'_>, chunks: usize) -> usize {
        if chunks == 0 { 0 } else { 2 * u16_at(record.bytes(), self.ends + 2 * (chunks - 1)) as usize }
    }

    /// Where chunk `index` lies; its head has been checked.
    pub(super) fn place(&self, record: &Record<'_>, index: usize) -> Result<Place, CoefError> {
        let (start, end) = (self.data() + self.end(record, index), self.data() + self.end(record, index + 1));
        if end > self.limit || start + CHUNK_HEAD > end {
            return Err(self.wrong("end of a chunk", end));
        }
        let place = Place { start, length: end - start, blocks: CHUNK.min(self.columns - index * CHUNK) };
        let (dc_bits, control) = (record.bytes()[start + 2], u16_at(record.bytes(), start + 3).into());
        if dc_bits > 16 {
            return Err(self.wrong("number of bits of a DC", dc_bits.into()));
        }
        if control > BLOCK_CONTROL * place.blocks {
            return Err(self.wrong("length of the masks and widths of a chunk", control));
        }
        Ok(place)
    }

    /// Chunk `index`; `spare` holds its bytes where it starts near the record's end.
    pub(super) fn chunk<'a>(
        &self,
        record: &Record<'a>,
        index: usize,
        spare: &'a mut [u8; CHUNK_BOUND],
    ) -> Result<Chunk<'a>, CoefError> {
        let Place { start, length, blocks } = self.place(record, index)?;
        let rest = &record.bytes()[start..];
        let bytes = match rest.first_chunk() {
            Some(bytes) => bytes,
            None => {
                spare[..rest.len()].copy_from_slice(rest);
                spare[rest.len()..].fill(0);
                &*spare
            }
        };
        Ok(Chunk { bytes, blocks, length, control: u16_at(bytes, 3).into() })
    }

    /// The error for a chunk whose blocks do not end where it does.
    pub(super) fn contradiction(&self, cursor: Cursor) -> CoefError {
        self.wrong("last value bit of a chunk", cursor.value)
    }

    fn wrong(&self, what: &'static str, value: usize) -> CoefError {
        CoefError::Blocks { row: self.mcu_row, what, value }
    }
}
