//! Values of a chunk to coefficients.
//!
//! The fields of a tile have one width w, so where each begins follows from w and the bit its first begins at. One load of 16 bytes
//! holds them all. A byte shuffle brings the two bytes that hold each field (w <= 9, and 7 bits before it) into a 16-bit lane, a
//! multiplication moves the field to the lane's top, another shifts it down again with its sign, and a shuffle chosen by the mask
//! brings the values to their places, zeros between.

use std::arch::x86_64::*;

use crate::coef::chunk::{Chunk, Cursor};
use crate::coef::tile::{Block, CHUNK, CHUNK_BOUND, CHUNK_HEAD};

/// Widest fields that two bytes hold wherever they begin.
const WIDEST: usize = 9;

/// How to take fields of one width that begin at one bit of a byte.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Fields {
    /// The two bytes of each field.
    gather: [u8; 16],
    /// Moves each field to the top of its lane.
    left: [u16; 8],
    /// 2^w, whose high product moves it down.
    down: [u16; 8],
}

/// By 8 * width + bit.
static FIELDS: [Fields; 128] = {
    let mut table = [Fields { gather: [0; 16], left: [0; 8], down: [1; 8] }; 128];
    let mut index = 8;
    while index < 8 * (WIDEST + 1) {
        let (width, mut field) = (index / 8, 0);
        while field < 8 {
            let bit = index % 8 + field * width;
            table[index].gather[2 * field] = (bit / 8) as u8;
            table[index].gather[2 * field + 1] = (bit / 8 + 1) as u8;
            table[index].left[field] = 1 << (16 - width - bit % 8);
            table[index].down[field] = 1 << width;
            field += 1;
        }
        index += 1;
    }
    table
};

/// By mask: brings the values, which come without gaps, to their lanes.
static SCATTER: [[u8; 16]; 256] = {
    let mut table = [[0x80; 16]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut lane, mut next) = (0, 0);
        while lane < 8 {
            if mask >> lane & 1 == 1 {
                table[mask][2 * lane] = 2 * next;
                table[mask][2 * lane + 1] = 2 * next + 1;
                next += 1;
            }
            lane += 1;
        }
        mask += 1;
    }
    table
};

/// By presence: brings the masks (or widths) of the present tiles, which come without gaps, to their bytes.
static SPREAD: [[u8; 16]; 256] = {
    let mut table = [[0x80; 16]; 256];
    let mut presence = 0;
    while presence < 256 {
        let (mut tile, mut next) = (0, 0);
        while tile < 8 {
            if presence >> tile & 1 == 1 {
                table[presence][tile] = next;
                next += 1;
            }
            tile += 1;
        }
        presence += 1;
    }
    table
};

/// Blocks `first..first + count` of `chunk` from `cursor`, which are at most those it has. Returns the state behind them.
#[target_feature(enable = "avx2,popcnt")]
pub(super) fn blocks(
    chunk: &Chunk<'_>,
    first: usize,
    count: usize,
    cursor: Cursor,
    out: &mut [Block; CHUNK],
) -> Cursor {
    let mut reader = Reader { bytes: chunk.bytes(), control: cursor.control, value: cursor.value };
    let mut dcs = [0; CHUNK];
    if chunk.dc_bits() <= WIDEST {
        reader.dcs(chunk, &mut dcs);
    } else {
        chunk.dcs(&mut dcs);
    }
    let wanted = first..first + count;
    let presence = &chunk.presence()[wanted.clone()];
    for ((present, dc), block) in presence.iter().zip(&dcs[wanted]).zip(out) {
        reader.block(*present, *dc, block);
    }
    Cursor { control: reader.control, value: reader.value }
}

/// Steps over the first `count` blocks of `chunk`, at most all.
#[target_feature(enable = "avx2,popcnt")]
pub(super) fn skip(chunk: &Chunk<'_>, count: usize) -> Cursor {
    let start = chunk.start();
    let mut reader = Reader { bytes: chunk.bytes(), control: start.control, value: start.value };
    // Set bits of half a byte.
    let ones = _mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    for present in &chunk.presence()[..count] {
        let (masks, widths) = reader.masks_and_widths(*present);
        let low = _mm_shuffle_epi8(ones, _mm_and_si128(masks, _mm_set1_epi8(15)));
        let high = _mm_shuffle_epi8(ones, _mm_and_si128(_mm_srli_epi16::<4>(masks), _mm_set1_epi8(15)));
        let products = _mm_maddubs_epi16(_mm_add_epi8(low, high), widths);
        // Sums of two products are at most 240, a byte.
        reader.value += _mm_cvtsi128_si64(_mm_sad_epu8(products, _mm_setzero_si128())) as usize;
    }
    Cursor { control: reader.control, value: reader.value }
}

/// A chunk being read; the places are those of a [`Cursor`].
///
/// Places stay inside the chunk's bound whatever its bytes: a block takes at most 12 bytes of masks and widths and 960 value bits,
/// and `Chunk` holds their starts and the number of blocks to what 32 such blocks and a load behind them allow.
struct Reader<'a> {
    bytes: &'a [u8; CHUNK_BOUND],
    control: usize,
    value: usize,
}

impl Reader<'_> {
    #[inline]
    #[target_feature(enable = "avx2,popcnt")]
    fn load(&self, at: usize) -> __m128i {
        debug_assert!(at + 16 <= CHUNK_BOUND);
        // SAFETY: `at + 16 <= CHUNK_BOUND`, see the type.
        unsafe { _mm_loadu_si128(self.bytes.as_ptr().add(at).cast()) }
    }

    /// DCs of the chunk, of at most [`WIDEST`] bits: eight of w bits are w bytes.
    #[inline]
    #[target_feature(enable = "avx2,popcnt")]
    fn dcs(&self, chunk: &Chunk<'_>, out: &mut [i16; CHUNK]) {
        let width = chunk.dc_bits();
        let fields = &FIELDS[8 * width];
        let least = _mm_set1_epi16(chunk.least_dc());
        // SAFETY: three loads of 16-byte arrays.
        let (gather, left, down) = unsafe {
            (
                _mm_load_si128(fields.gather.as_ptr().cast()),
                _mm_load_si128(fields.left.as_ptr().cast()),
                _mm_load_si128(fields.down.as_ptr().cast()),
            )
        };
        for (group, out) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let lanes = _mm_shuffle_epi8(self.load(CHUNK_HEAD + group * width), gather);
            let dcs = _mm_add_epi16(_mm_mulhi_epu16(_mm_mullo_epi16(lanes, left), down), least);
            // SAFETY: 8 values of 2 bytes.
            unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), dcs) };
        }
    }

    /// The mask and the width of each tile, 0 where it is absent, in the low 8 bytes; the high ones are 0.
    #[inline]
    #[target_feature(enable = "avx2,popcnt")]
    fn masks_and_widths(&mut self, presence: u8) -> (__m128i, __m128i) {
        let tiles = presence.count_ones() as usize;
        // SAFETY: a load of 16 bytes.
        let spread = unsafe { _mm_loadu_si128(SPREAD[presence as usize].as_ptr().cast()) };
        let packed = self.load(self.control + tiles);
        let nibbles = _mm_and_si128(_mm_unpacklo_epi8(packed, _mm_srli_epi16::<4>(packed)), _mm_set1_epi8(15));
        let masks = _mm_shuffle_epi8(self.load(self.control), spread);
        self.control += tiles + tiles.div_ceil(2);
        (masks, _mm_shuffle_epi8(nibbles, spread))
    }

    #[inline]
    #[target_feature(enable = "avx2,popcnt")]
    fn block(&mut self, presence: u8, dc: i16, out: &mut Block) {
        if presence == 0 {
            *out = Block::ZERO;
            out.0[0] = dc;
            return;
        }
        let (masks, widths) = self.masks_and_widths(presence);
        let (masks, widths) = (_mm_cvtsi128_si64(masks) as u64, _mm_cvtsi128_si64(widths) as u64);

        // 10 + 6 and more have bit 4 set.
        if (widths + 0x0606_0606_0606_0606) & 0x1010_1010_1010_1010 != 0 {
            // By value, so that the places stay in registers.
            self.value = wide(self.bytes, self.value, masks, widths, out);
            out.0[0] = dc;
            return;
        }
        let zero = _mm_setzero_si128();
        let (left0, left1) = (self.tile(masks, widths), self.tile(masks >> 8, widths >> 8));
        let (mut right0, mut right1) = (zero, zero);
        if presence & 0xfc != 0 {
            (right0, right1) = (self.tile(masks >> 16, widths >> 16), self.tile(masks >> 24, widths >> 24));
        }
        store_pair::<0>(_mm_insert_epi16::<0>(left0, dc.into()), right0, out);
        store_pair::<1>(left1, right1, out);
        let (mut left2, mut left3, mut right2, mut right3) = (zero, zero, zero, zero);
        if presence & 0xf0 != 0 {
            (left2, left3) = (self.tile(masks >> 32, widths >> 32), self.tile(masks >> 40, widths >> 40));
            (right2, right3) = (self.tile(masks >> 48, widths >> 48), self.tile(masks >> 56, widths >> 56));
        }
        store_pair::<2>(left2, right2, out);
        store_pair::<3>(left3, right3, out);
    }

    /// The next tile, 8 values of 16 bits; its mask and its width are the low bytes of `masks` and `widths`.
    #[inline]
    #[target_feature(enable = "avx2,popcnt")]
    fn tile(&mut self, masks: u64, widths: u64) -> __m128i {
        let (mask, width) = ((masks & 255) as usize, (widths & 15) as usize);
        let fields = &FIELDS[8 * width + self.value % 8];
        // SAFETY: three loads of 16-byte arrays.
        let (gather, left, down, scatter) = unsafe {
            (
                _mm_load_si128(fields.gather.as_ptr().cast()),
                _mm_load_si128(fields.left.as_ptr().cast()),
                _mm_load_si128(fields.down.as_ptr().cast()),
                _mm_loadu_si128(SCATTER[mask].as_ptr().cast()),
            )
        };
        let lanes = _mm_shuffle_epi8(self.load(self.value / 8), gather);
        self.value += mask.count_ones() as usize * width;
        let top = _mm_mullo_epi16(lanes, left);
        let stored = _mm_mulhi_epi16(top, down);
        // What is stored of positive values is one less; 1 is subtracted as the -1 of a comparison. (The sign is that of `top`;
        // asked of `stored`, the compiler makes a chain of 32-bit operations of the comparison.)
        let values = _mm_sub_epi16(stored, _mm_cmpgt_epi16(top, _mm_set1_epi16(-1)));
        _mm_shuffle_epi8(values, scatter)
    }

    /// [`tile`](Self::tile) one value at a time.
    #[inline]
    #[target_feature(enable = "avx2,popcnt")]
    fn wide_tile(&mut self, masks: u64, widths: u64) -> __m128i {
        let (mut mask, width) = (masks as u8, (widths & 15) as u32);
        let mut values = [0i16; 8];
        while mask != 0 {
            let byte = self.value / 8;
            let word = u32::from_le_bytes([self.bytes[byte], self.bytes[byte + 1], self.bytes[byte + 2], 0]);
            let stored = (word >> (self.value % 8) << (32 - width)) as i32 >> (32 - width);
            values[mask.trailing_zeros() as usize] = (stored + i32::from(stored >= 0)) as i16;
            self.value += width as usize;
            mask &= mask - 1;
        }
        // SAFETY: 8 values of 2 bytes.
        unsafe { _mm_loadu_si128(values.as_ptr().cast()) }
    }
}

/// A block with wider fields, its values from bit `value` on; returns where they end.
#[cold]
#[inline(never)]
#[target_feature(enable = "avx2,popcnt")]
fn wide(bytes: &[u8; CHUNK_BOUND], value: usize, masks: u64, widths: u64, out: &mut Block) -> usize {
    let mut reader = Reader { bytes, control: 0, value };
    let mut tiles = [_mm_setzero_si128(); 8];
    for (index, tile) in tiles.iter_mut().enumerate() {
        let (masks, widths) = (masks >> (8 * index), widths >> (8 * index));
        let wide = (widths & 15) as usize > WIDEST;
        *tile = if wide { reader.wide_tile(masks, widths) } else { reader.tile(masks, widths) };
    }
    store_pair::<0>(tiles[0], tiles[2], out);
    store_pair::<1>(tiles[1], tiles[3], out);
    store_pair::<2>(tiles[4], tiles[6], out);
    store_pair::<3>(tiles[5], tiles[7], out);
    reader.value
}

/// Row pair `PAIR` of a block from the tiles of its left and its right half.
#[inline]
#[target_feature(enable = "avx2")]
fn store_pair<const PAIR: usize>(left: __m128i, right: __m128i, out: &mut Block) {
    const { assert!(PAIR < 4) }
    // SAFETY: two stores of 16 bytes into the block, whose alignment is 32; row 2 * PAIR + 1 is at most 7.
    unsafe {
        let row = out.0.as_mut_ptr().add(16 * PAIR);
        _mm_store_si128(row.cast(), _mm_unpacklo_epi64(left, right));
        _mm_store_si128(row.add(8).cast(), _mm_unpackhi_epi64(left, right));
    }
}
