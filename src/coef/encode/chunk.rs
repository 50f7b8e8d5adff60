//! Writes chunks: head, DCs, and what [`Packed`] holds.

use super::bits::Bits;
use super::pack::{Packed, Packer};
use crate::coef::NotCovered;
use crate::coef::tile::CHUNK;

/// Scratch for one chunk after another.
pub(super) struct ChunkWriter {
    packer: Packer,
    packed: Packed,
}

impl ChunkWriter {
    pub(super) fn new(packer: Packer) -> Self {
        Self { packer, packed: Packed::new() }
    }

    /// Appends the chunk of `blocks` (1 to 32).
    pub(super) fn append(&mut self, blocks: &[[i16; 64]], record: &mut Vec<u8>) -> Result<(), NotCovered> {
        let start = record.len();
        self.packer.pack(blocks, &mut self.packed)?;
        let Packed { presence, control, control_length, values, values_length } = &self.packed;
        append_dcs(blocks, *control_length, record);
        record.extend_from_slice(&presence[..blocks.len()]);
        record.extend_from_slice(&control[..*control_length]);
        record.extend_from_slice(&values[..*values_length]);
        if (record.len() - start) % 2 == 1 {
            record.push(0);
        }
        Ok(())
    }
}

/// The chunk's head and DCs.
fn append_dcs(blocks: &[[i16; 64]], control: usize, record: &mut Vec<u8>) {
    let least = blocks.iter().map(|block| block[0]).min().unwrap_or(0);
    let mut offsets = [0; CHUNK];
    for (offset, block) in offsets.iter_mut().zip(blocks) {
        *offset = block[0].wrapping_sub(least) as u16;
    }
    let width = u16::BITS - offsets.iter().fold(0, |all, offset| all | offset).leading_zeros();
    record.extend_from_slice(&least.to_le_bytes());
    record.push(width as u8);
    record.extend_from_slice(&(control as u16).to_le_bytes());
    let mut bytes = [0; CHUNK * 2 + 8];
    let mut bits = Bits::new(&mut bytes);
    for offset in &offsets[..blocks.len()] {
        bits.put((*offset).into(), width);
    }
    let length = bits.finish();
    record.extend_from_slice(&bytes[..length]);
}
