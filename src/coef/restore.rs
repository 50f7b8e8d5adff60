//! A record to what it was made of, to sizes, to a small picture: what need not be fast.

use super::chunk::BlockRow;
use super::expand::scalar::convert_row;
use super::layout::{Header, Record};
use super::tile::{Block, CHUNK, CHUNK_BOUND};
use super::{CoefError, Coefficients, ColourSpace, Component};
use crate::image::{Planes, Size};

/// Size, colour space and samplings of `record`.
///
/// # Errors
/// Where the header is damaged; its checksum is compared.
pub fn header(record: &[u8]) -> Result<Header, CoefError> {
    Ok(Record::open(record, true)?.header)
}

/// What [`encode`](super::encode) was given.
///
/// # Errors
/// Where `record` is damaged; all checksums are compared.
pub fn coefficients(record: &[u8]) -> Result<Coefficients, CoefError> {
    let record = Record::open(record, true)?;
    let header = record.header;
    let component = |index: usize| {
        let (columns, rows) = header.blocks(index);
        let (sampling, quantisation) = (header.samplings()[index], record.quantisation(index));
        Component { sampling, quantisation, columns, rows, blocks: Vec::with_capacity(columns * rows) }
    };
    let mut components: Vec<Component> = (0..header.samplings().len()).map(component).collect();
    each_block(&record, |index, block| components[index].blocks.push(block.0))?;
    Ok(Coefficients { size: header.size, space: header.space, components })
}

/// A picture of an eighth of the size, rounded up, made of the DCs alone; gray where the record is gray. For contact sheets.
///
/// # Errors
/// Where `record` is damaged; all checksums are compared.
pub fn preview(record: &[u8], out: &mut Planes) -> Result<(), CoefError> {
    let record = Record::open(record, true)?;
    let header = record.header;
    let steps: [u16; 3] = std::array::from_fn(|index| record.quantisation(index)[0]);
    let mut samples: [Vec<u8>; 3] = Default::default();
    each_block(&record, |index, block| samples[index].push(mean(block.0[0], steps[index])))?;
    let size = Size::new(header.size.width.div_ceil(8), header.size.height.div_ceil(8));
    out.reset(size, header.space == ColourSpace::Gray);
    let (width, mut rows) = (size.width as usize, [const { Vec::new() }; 3]);
    for y in 0..size.height as usize {
        for (index, (horizontal, vertical)) in header.samplings().iter().enumerate() {
            let largest = header.samplings()[0];
            let row = &samples[index][y * *vertical as usize / largest.1 as usize * header.blocks(index).0..];
            let at = |x: usize| row[x * *horizontal as usize / largest.0 as usize];
            rows[index].clear();
            rows[index].extend((0..width).map(at));
        }
        if header.space == ColourSpace::Gray {
            out.padded_row_mut(0, y as u32)[..width].copy_from_slice(&rows[0]);
        } else {
            let to = out.padded_rows_mut(y as u32).map(|row| &mut row[..width]);
            convert_row(header.space, [&rows[0], &rows[1], &rows[2]], to);
        }
    }
    Ok(())
}

/// Mean of a block, as a sample.
fn mean(dc: i16, step: u16) -> u8 {
    (((i32::from(dc) * i32::from(step) + 4) >> 3) + 128).clamp(0, 255) as u8
}

/// Hands every block and its component's index to `take`: MCU row by MCU row, component by component, row by row.
fn each_block(record: &Record<'_>, mut take: impl FnMut(usize, &Block)) -> Result<(), CoefError> {
    let header = record.header;
    for mcu_row in 0..header.mcu_rows() {
        let range = record.mcu_row(mcu_row, true)?;
        let mut at = range.start;
        for component in 0..header.samplings().len() {
            for _ in header.block_rows(component, mcu_row) {
                let (row, next) = BlockRow::open(record, mcu_row, at, header.blocks(component).0, range.end)?;
                each_of_row(record, &row, header.blocks(component).0, |block| take(component, block))?;
                at = next;
            }
        }
    }
    Ok(())
}

fn each_of_row(
    record: &Record<'_>,
    row: &BlockRow,
    columns: usize,
    mut take: impl FnMut(&Block),
) -> Result<(), CoefError> {
    let mut block = Block::ZERO;
    for index in 0..columns.div_ceil(CHUNK) {
        let mut spare = [0; CHUNK_BOUND];
        let chunk = row.chunk(record, index, &mut spare)?;
        let mut dcs = [0; CHUNK];
        chunk.dcs(&mut dcs);
        let mut cursor = chunk.start();
        for (presence, dc) in chunk.presence().iter().zip(dcs) {
            cursor = chunk.block(*presence, cursor, &mut block);
            block.0[0] = dc;
            take(&block);
        }
        if !chunk.ends_at(cursor) {
            return Err(row.contradiction(cursor));
        }
    }
    Ok(())
}
