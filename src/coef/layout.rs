//! The header of a record and its MCU rows: reading and checking. Byte tables: `layout.md`.

use xxhash_rust::xxh3::xxh3_64;

use super::{CoefError, ColourSpace};
use crate::image::Size;

/// The version that is written and read.
pub(super) const VERSION: u8 = 1;
/// Flag: the components are R, G, B.
pub(super) const RGB: u8 = 1;
/// Bytes of the header before the components.
pub(super) const FIXED: usize = 8;
/// Bytes of a quantisation table.
pub(super) const TABLE: usize = 128;

/// What a record's header tells about the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Width and height in pixels.
    pub size: Size,
    /// What the components are.
    pub space: ColourSpace,
    sampling: [(u8, u8); 3],
}

impl Header {
    /// Sampling factors (horizontal, vertical) of each component: one for gray, else three.
    pub fn samplings(&self) -> &[(u8, u8)] {
        &self.sampling[..self.space.components()]
    }

    /// Columns and rows of blocks of component `component`.
    pub(super) fn blocks(&self, component: usize) -> (usize, usize) {
        blocks(self.size, self.sampling[component], self.sampling[0])
    }

    /// MCU rows of the picture.
    pub(super) fn mcu_rows(&self) -> usize {
        mcu_rows(self.size, self.sampling[0])
    }

    /// Block rows that MCU row `row` holds of component `component`.
    pub(super) fn block_rows(&self, component: usize, row: usize) -> std::ops::Range<usize> {
        block_rows(row, self.sampling[component], self.blocks(component).1)
    }
}

/// Block rows that MCU row `row` holds of a component with factors `sampling` and `rows` block rows.
pub(super) fn block_rows(row: usize, sampling: (u8, u8), rows: usize) -> std::ops::Range<usize> {
    let factor = sampling.1 as usize;
    row * factor..((row + 1) * factor).min(rows)
}

/// Columns and rows of real blocks of a component with factors `sampling` where the largest are `largest`.
pub(super) fn blocks(size: Size, sampling: (u8, u8), largest: (u8, u8)) -> (usize, usize) {
    let count = |side: u32, factor: u8, largest: u8| (side as usize * factor as usize).div_ceil(8 * largest as usize);
    (count(size.width, sampling.0, largest.0), count(size.height, sampling.1, largest.1))
}

/// MCU rows of a picture whose largest factors are `largest`.
pub(super) fn mcu_rows(size: Size, largest: (u8, u8)) -> usize {
    (size.height as usize).div_ceil(8 * largest.1 as usize)
}

/// Whether records hold these sampling factors.
pub(super) fn covered(samplings: &[(u8, u8)]) -> bool {
    match samplings {
        [only] => *only == (1, 1),
        [first, (1, 1), (1, 1)] => matches!(first, (1, 1) | (2, 1) | (2, 2)),
        _ => false,
    }
}

/// The checksum of headers and MCU rows.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    xxh3_64(bytes) as u32
}

/// A record whose header has been checked.
pub(super) struct Record<'a> {
    pub(super) header: Header,
    bytes: &'a [u8],
    /// Where each component's quantisation table starts.
    tables: [usize; 3],
    /// Where the row starts start.
    starts: usize,
}

impl<'a> Record<'a> {
    /// Checks the header of `bytes`, its checksum too where `verify`.
    pub(super) fn open(bytes: &'a [u8], verify: bool) -> Result<Self, CoefError> {
        let short = |needed: usize| CoefError::Short { length: bytes.len(), needed };
        let fixed: &[u8; FIXED] = bytes.first_chunk().ok_or_else(|| short(FIXED))?;
        if fixed[0] != VERSION {
            return Err(CoefError::Version(fixed[0]));
        }
        let [_, flags, .., components, tables] = *fixed;
        let size = Size::new(u16_at(bytes, 2).into(), u16_at(bytes, 4).into());
        let space = space(components, flags)?;
        check(size.width > 0 && size.height > 0, "area", size.area())?;
        check((1..=components).contains(&tables), "number of quantisation tables", tables)?;
        let table_start = FIXED + 2 * components as usize;
        let starts = table_start + TABLE * tables as usize;
        if bytes.len() < starts {
            return Err(short(starts));
        }

        let mut sampling = [(1, 1); 3];
        let mut table_of = [table_start; 3];
        for (component, pair) in bytes[FIXED..table_start].chunks_exact(2).enumerate() {
            sampling[component] = (pair[0] >> 4, pair[0] & 15);
            check(pair[1] < tables, "index of a quantisation table", pair[1])?;
            table_of[component] = table_start + TABLE * pair[1] as usize;
        }
        let header = Header { size, space, sampling };
        check(covered(header.samplings()), "sampling of the first component", bytes[FIXED])?;

        let end = starts + 8 * header.mcu_rows() + 8;
        if bytes.len() < end {
            return Err(short(end));
        }
        let record = Self { header, bytes, tables: table_of, starts };
        record.check_starts(end)?;
        if verify {
            verify_sum(&bytes[..end - 4], u32_at(bytes, end - 4), || "the header".to_owned())?;
        }
        Ok(record)
    }

    fn check_starts(&self, header_end: usize) -> Result<(), CoefError> {
        let rows = self.header.mcu_rows();
        check(self.start(0) == header_end, "start of the first MCU row", self.start(0) as u64)?;
        for row in 0..rows {
            check(self.start(row) <= self.start(row + 1), "start of an MCU row", self.start(row) as u64)?;
        }
        check(self.start(rows) == self.bytes.len(), "end of the last MCU row", self.start(rows) as u64)
    }

    /// All bytes of it.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Where MCU row `row` starts.
    fn start(&self, row: usize) -> usize {
        u32_at(self.bytes, self.starts + 4 * row) as usize
    }

    /// Where the bytes of MCU row `row` are; its checksum is compared where `verify`.
    pub(super) fn mcu_row(&self, row: usize, verify: bool) -> Result<std::ops::Range<usize>, CoefError> {
        let range = self.start(row)..self.start(row + 1);
        if verify {
            let stored = u32_at(self.bytes, self.starts + 4 * (self.header.mcu_rows() + 1 + row));
            verify_sum(&self.bytes[range.clone()], stored, || format!("MCU row {row}"))?;
        }
        Ok(range)
    }

    /// Where the bytes of MCU rows `rows`, which are not none, are.
    pub(super) fn band(&self, rows: std::ops::Range<usize>) -> std::ops::Range<usize> {
        self.start(rows.start)..self.start(rows.end)
    }

    /// Quantisation table of component `component`, natural order.
    pub(super) fn quantisation(&self, component: usize) -> [u16; 64] {
        std::array::from_fn(|index| u16_at(self.bytes, self.tables[component] + 2 * index))
    }
}

fn space(components: u8, flags: u8) -> Result<ColourSpace, CoefError> {
    check(flags & !RGB == 0, "flags", flags)?;
    match (components, flags) {
        (1, 0) => Ok(ColourSpace::Gray),
        (3, 0) => Ok(ColourSpace::YCbCr),
        (3, RGB) => Ok(ColourSpace::Rgb),
        _ => Err(CoefError::Header { what: "number of components", value: components.into() }),
    }
}

fn verify_sum(bytes: &[u8], stored: u32, part: impl Fn() -> String) -> Result<(), CoefError> {
    let found = checksum(bytes);
    if found == stored { Ok(()) } else { Err(CoefError::Checksum { part: part(), found, stored }) }
}

fn check(holds: bool, what: &'static str, value: impl Into<u64>) -> Result<(), CoefError> {
    if holds { Ok(()) } else { Err(CoefError::Header { what, value: value.into() }) }
}

/// The u16 at `at`, which the caller has checked to be inside.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
