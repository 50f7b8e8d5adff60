//! Coefficients to a record. Byte tables: `layout.md`.
//!
//! - here: the record and its MCU rows. `chunk`: a chunk of blocks;
//! - `pack`: the AC coefficients of a chunk, plainly; `avx2`: the same bytes with vectors; `bits`: what both write to.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod bits;
mod chunk;
mod pack;

use chunk::ChunkWriter;
use pack::Packer;

use super::layout::{FIXED, RGB, TABLE, VERSION, block_rows, checksum, covered, mcu_rows};
use super::tile::CHUNK;
use super::{Coefficients, ColourSpace, NotCovered};

/// The record of `picture`; [`coefficients`](super::coefficients) is its inverse.
///
/// # Errors
/// Where records do not cover the picture: it says why.
pub fn encode(picture: &Coefficients) -> Result<Vec<u8>, NotCovered> {
    encode_with(picture, Packer::fastest())
}

/// The record, the chunks packed by `packer`.
fn encode_with(picture: &Coefficients, packer: Packer) -> Result<Vec<u8>, NotCovered> {
    check(picture)?;
    let mut record = head(picture);
    let rows = mcu_rows(picture.size, picture.largest_sampling());
    let starts = record.len();
    let end = starts + 8 * rows + 8;
    record.resize(end, 0);
    record.reserve(picture.components.iter().map(|component| component.blocks.len() * 24).sum());
    let mut writer = ChunkWriter::new(packer);
    for row in 0..rows {
        let start = record.len();
        put_u32(&mut record, starts + 4 * row, start)?;
        for component in &picture.components {
            for block_row in block_rows(row, component.sampling, component.rows) {
                let blocks = &component.blocks[block_row * component.columns..][..component.columns];
                append_block_row(&mut record, blocks, &mut writer)?;
            }
        }
        let sum = checksum(&record[start..]);
        put_u32(&mut record, starts + 4 * (rows + 1 + row), sum as usize)?;
    }
    let length = record.len();
    put_u32(&mut record, starts + 4 * rows, length)?;
    let sum = checksum(&record[..end - 4]);
    put_u32(&mut record, end - 4, sum as usize)?;
    Ok(record)
}

fn check(picture: &Coefficients) -> Result<(), NotCovered> {
    let side = 1..=u32::from(u16::MAX);
    if !side.contains(&picture.size.width) || !side.contains(&picture.size.height) {
        return Err(NotCovered::Size(picture.size));
    }
    let samplings: Vec<(u8, u8)> = picture.components.iter().map(|component| component.sampling).collect();
    if !covered(&samplings) || (samplings.len() == 1) != (picture.space == ColourSpace::Gray) {
        return Err(NotCovered::Sampling(samplings));
    }
    let fits = |index: &usize| {
        let (component, (columns, rows)) = (&picture.components[*index], picture.blocks(*index));
        (component.columns, component.rows, component.blocks.len()) == (columns, rows, columns * rows)
    };
    match (0..samplings.len()).find(|index| !fits(index)) {
        Some(component) => Err(NotCovered::Shape(component)),
        None => Ok(()),
    }
}

/// The header up to the row starts.
fn head(picture: &Coefficients) -> Vec<u8> {
    let mut tables: Vec<&[u16; 64]> = Vec::new();
    let mut record = Vec::with_capacity(FIXED + 2 * 3 + TABLE * 3);
    record.extend([VERSION, if picture.space == ColourSpace::Rgb { RGB } else { 0 }]);
    record.extend((picture.size.width as u16).to_le_bytes());
    record.extend((picture.size.height as u16).to_le_bytes());
    record.extend([picture.components.len() as u8, 0]);
    for component in &picture.components {
        let known = tables.iter().position(|table| **table == component.quantisation);
        let index = known.unwrap_or_else(|| {
            tables.push(&component.quantisation);
            tables.len() - 1
        });
        record.extend([component.sampling.0 << 4 | component.sampling.1, index as u8]);
    }
    record[FIXED - 1] = tables.len() as u8;
    record.extend(tables.into_iter().flatten().flat_map(|step| step.to_le_bytes()));
    record
}

fn append_block_row(record: &mut Vec<u8>, blocks: &[[i16; 64]], writer: &mut ChunkWriter) -> Result<(), NotCovered> {
    let ends = record.len();
    let data = ends + 2 * blocks.len().div_ceil(CHUNK);
    record.resize(data, 0);
    for (index, chunk) in blocks.chunks(CHUNK).enumerate() {
        writer.append(chunk, record)?;
        let length = record.len() - data;
        let end = u16::try_from(length / 2).map_err(|_| NotCovered::RowTooLong(length))?;
        record[ends + 2 * index..][..2].copy_from_slice(&end.to_le_bytes());
    }
    Ok(())
}

fn put_u32(record: &mut [u8], at: usize, value: usize) -> Result<(), NotCovered> {
    let value = u32::try_from(value).map_err(|_| NotCovered::TooLong)?;
    record[at..at + 4].copy_from_slice(&value.to_le_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coef::tests::pictures;

    #[test]
    fn both_packers_write_the_same_bytes() {
        for picture in pictures() {
            assert_eq!(encode_with(&picture, Packer::Plain), encode_with(&picture, Packer::fastest()));
        }
    }
}
