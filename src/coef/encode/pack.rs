//! The AC coefficients of a chunk to presence, masks, widths and values.

#[cfg(target_arch = "x86_64")]
use super::avx2::Avx2;
use super::bits::Bits;
use crate::coef::NotCovered;
use crate::coef::tile::{BLOCK_CONTROL, CHUNK, position};

/// Most bits that a value takes.
const WIDEST: u32 = 15;
/// Most bytes of the values of a chunk, and what the last store reaches over.
const VALUES: usize = CHUNK * (63 * WIDEST as usize).div_ceil(8) + 8;

/// A chunk without its head and DCs.
pub(super) struct Packed {
    pub(super) presence: [u8; CHUNK],
    /// Masks and widths; with what the last store reaches over.
    pub(super) control: [u8; CHUNK * BLOCK_CONTROL + 4],
    pub(super) control_length: usize,
    pub(super) values: [u8; VALUES],
    pub(super) values_length: usize,
}

impl Packed {
    pub(super) fn new() -> Self {
        let control = [0; CHUNK * BLOCK_CONTROL + 4];
        Self { presence: [0; CHUNK], control, control_length: 0, values: [0; VALUES], values_length: 0 }
    }
}

/// Masks and widths of a block's tiles with nonzero values.
pub(super) struct Control {
    masks: [u8; 8],
    widths: u32,
    tiles: usize,
}

impl Control {
    pub(super) const EMPTY: Self = Self { masks: [0; 8], widths: 0, tiles: 0 };

    #[inline(always)]
    pub(super) fn push(&mut self, mask: u8, width: u32) {
        self.masks[self.tiles & 7] = mask;
        self.widths |= width << (4 * self.tiles);
        self.tiles += 1;
    }

    /// Writes it to the front of `out`; returns its length.
    #[inline(always)]
    pub(super) fn store(&self, out: &mut [u8]) -> usize {
        out[..8].copy_from_slice(&self.masks);
        out[self.tiles..][..4].copy_from_slice(&self.widths.to_le_bytes());
        self.tiles + self.tiles.div_ceil(2)
    }
}

/// Which code packs. All give the same bytes.
#[derive(Clone, Copy)]
pub(super) enum Packer {
    /// One value at a time: the oracle.
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
}

impl Packer {
    /// The fastest that this processor runs.
    pub(super) fn fastest() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = Avx2::detect() {
            return Self::Avx2(avx2);
        }
        Self::Plain
    }

    /// Makes `out` what `blocks` (1 to 32) hold.
    pub(super) fn pack(self, blocks: &[[i16; 64]], out: &mut Packed) -> Result<(), NotCovered> {
        #[cfg(target_arch = "x86_64")]
        if let Self::Avx2(avx2) = self
            && avx2.pack(blocks, out)
        {
            return Ok(());
        }
        plain(blocks, out)
    }
}

fn plain(blocks: &[[i16; 64]], out: &mut Packed) -> Result<(), NotCovered> {
    let mut values = Bits::new(&mut out.values);
    out.control_length = 0;
    for (block, presence) in blocks.iter().zip(&mut out.presence) {
        *presence = 0;
        let mut control = Control::EMPTY;
        for tile in 0..8 {
            let codes = std::array::from_fn(|lane| code(block, tile, lane));
            let mask = (0..8).filter(|lane| codes[*lane].is_some()).fold(0, |mask, lane| mask | 1 << lane);
            if mask == 0 {
                continue;
            }
            let width = codes.into_iter().flatten().map(width).max().unwrap_or(1);
            if width > WIDEST {
                return Err(NotCovered::Coefficient(largest(block)));
            }
            *presence |= 1 << tile;
            control.push(mask, width);
            put(&mut values, codes, width);
        }
        out.control_length += control.store(&mut out.control[out.control_length..]);
    }
    out.values_length = values.finish();
    Ok(())
}

/// What is stored of coefficient `lane` of tile `tile`: v, or v - 1 for v > 0; nothing of zeros and of the DC.
fn code(block: &[i16; 64], tile: usize, lane: usize) -> Option<i16> {
    let value = block[position(tile, lane)];
    (value != 0 && (tile, lane) != (0, 0)).then_some(if value > 0 { value - 1 } else { value })
}

/// Bits that `code` takes.
fn width(code: i16) -> u32 {
    u16::BITS + 1 - (code ^ code >> 15).leading_zeros()
}

fn put(values: &mut Bits<'_>, codes: [Option<i16>; 8], width: u32) {
    for code in codes.into_iter().flatten() {
        values.put(u64::from(code as u16) & ((1 << width) - 1), width);
    }
}

/// The AC coefficient of largest magnitude.
fn largest(block: &[i16; 64]) -> i16 {
    block[1..].iter().copied().max_by_key(|value| value.unsigned_abs()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks whose tiles have any of the masks and values of every width up to `widest`.
    fn chunk(seed: usize, widest: u32) -> Vec<[i16; 64]> {
        let block = |index: usize| {
            let mut block = [0; 64];
            for tile in 0..8 {
                let draw = (seed * 256 + index * 8 + tile).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
                let width = draw as u32 % widest + 1;
                for lane in (0..8).filter(|lane| draw >> (8 + lane) & 1 == 1) {
                    // Bits of a code from the draw, sign included.
                    let code = (((draw >> (16 + lane)) as i32) << (32 - width) >> (32 - width)) as i16;
                    block[position(tile, lane)] = if code < 0 { code } else { code + 1 };
                }
            }
            block
        };
        (0..CHUNK - seed % 3).map(block).collect()
    }

    #[test]
    fn every_mask_and_width_packs_to_the_same_bytes() {
        let (mut expected, mut found) = (Packed::new(), Packed::new());
        for seed in 0..if cfg!(miri) { 2 } else { 400 } {
            let blocks = chunk(seed, 14 + seed as u32 % 2);
            Packer::Plain.pack(&blocks, &mut expected).unwrap();
            Packer::fastest().pack(&blocks, &mut found).unwrap();
            let parts = |packed: &Packed| {
                let presence = packed.presence[..blocks.len()].to_vec();
                let control = packed.control[..packed.control_length].to_vec();
                (presence, control, packed.values[..packed.values_length].to_vec())
            };
            assert!(parts(&expected) == parts(&found), "seed {seed}");
        }
    }

    #[test]
    fn full_chunks_fit() {
        for value in [16384, -16384, 8192, -8192] {
            let blocks = [[value; 64]; CHUNK];
            let (mut expected, mut found) = (Packed::new(), Packed::new());
            Packer::Plain.pack(&blocks, &mut expected).unwrap();
            Packer::fastest().pack(&blocks, &mut found).unwrap();
            assert_eq!(expected.control_length, CHUNK * BLOCK_CONTROL);
            assert!(expected.values[..expected.values_length] == found.values[..found.values_length]);
        }
    }
}
