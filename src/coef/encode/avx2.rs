//! Packing with AVX2: the eight values of a tile at a time.

use std::arch::x86_64::*;

use super::bits::Bits;
use super::pack::{Control, Packed};

/// Proof that the processor has what this code uses.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        let bits = is_x86_feature_detected!("popcnt") && is_x86_feature_detected!("lzcnt");
        let shifts = is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2");
        (is_x86_feature_detected!("avx2") && bits && shifts).then_some(Self(()))
    }

    /// Makes `out` what `blocks` hold; `false` where a value takes more than [`WIDEST`] bits: then `out` holds anything.
    pub(super) fn pack(self, blocks: &[[i16; 64]], out: &mut Packed) -> bool {
        // SAFETY: an `Avx2` exists only where the processor has all that `pack` enables.
        unsafe { pack(blocks, out) }
    }
}

/// The signed 16-bit factor 2^width of `_mm_madd_epi16` goes no further.
const WIDEST: u32 = 14;

#[target_feature(enable = "avx2,popcnt,lzcnt,bmi1,bmi2")]
fn pack(blocks: &[[i16; 64]], out: &mut Packed) -> bool {
    let mut values = Bits::new(&mut out.values);
    let mut length = 0;
    for (block, presence) in blocks.iter().zip(&mut out.presence) {
        let tiles = tiles(block);
        *presence = tiles.presence;
        let mut control = Control::EMPTY;
        let mut left = u32::from(tiles.presence);
        while left != 0 {
            let tile = left.trailing_zeros() as usize & 7;
            left &= left - 1;
            let codes = load(&tiles.codes.0[tile]);
            let mask = (tiles.masks >> (8 * tile)) as u8;
            let width = width(codes);
            if width > WIDEST {
                return false;
            }
            control.push(mask, width);
            let [first, second] = join(codes, mask, width);
            let (four, all) = (4 * width, mask.count_ones() * width);
            if all <= 56 {
                // Where there are no more than four values, `second` is 0.
                values.put(first | second << four, all);
            } else {
                values.put(first, four);
                values.put(second, all - four);
            }
        }
        length += control.store(&mut out.control[length..]);
    }
    out.control_length = length;
    out.values_length = values.finish();
    true
}

/// A block by tiles.
struct Tiles {
    /// Bit t: tile t has a nonzero AC coefficient.
    presence: u8,
    /// Byte t, bit e: coefficient e of tile t is an AC coefficient and not zero.
    masks: u64,
    /// v, or v - 1 for v > 0; 0 for the DC.
    codes: Codes,
}

#[repr(align(16))]
struct Codes([[i16; 8]; 8]);

#[inline]
#[target_feature(enable = "avx2")]
fn tiles(block: &[i16; 64]) -> Tiles {
    // The tiles of a row pair are its left and its right half.
    let (rows, _) = block.as_chunks::<8>();
    let halves = |upper, lower| (_mm_unpacklo_epi64(upper, lower), _mm_unpackhi_epi64(upper, lower));
    let (first, third) = halves(_mm_insert_epi16::<0>(load(&rows[0]), 0), load(&rows[1]));
    let (second, fourth) = halves(load(&rows[2]), load(&rows[3]));
    let (fifth, seventh) = halves(load(&rows[4]), load(&rows[5]));
    let (sixth, eighth) = halves(load(&rows[6]), load(&rows[7]));
    let tiles = [first, second, third, fourth, fifth, sixth, seventh, eighth];

    let zero = _mm_setzero_si128();
    let mut codes = Codes([[0; 8]; 8]);
    for (out, values) in codes.0.iter_mut().zip(tiles) {
        store(out, _mm_add_epi16(values, _mm_cmpgt_epi16(values, zero)));
    }
    let mut empty = 0;
    for pair in 0..4 {
        let [a, b] = [tiles[2 * pair], tiles[2 * pair + 1]].map(|values| _mm_cmpeq_epi16(values, zero));
        empty |= u64::from(_mm_movemask_epi8(_mm_packs_epi16(a, b)) as u16) << (16 * pair);
    }
    let masks = !empty;
    let absent = _mm_cmpeq_epi8(_mm_cvtsi64_si128(masks as i64), zero);
    Tiles { presence: !_mm_movemask_epi8(absent) as u8, masks, codes }
}

/// Bits that the widest code takes.
#[inline]
#[target_feature(enable = "avx2,lzcnt")]
fn width(codes: __m128i) -> u32 {
    // Magnitudes are codes, of negative ones all bits inverted. There is an instruction for the least of eight: of the inverted ones.
    let inverted = _mm_xor_si128(codes, _mm_cmpgt_epi16(codes, _mm_set1_epi16(-1)));
    let magnitude = !_mm_cvtsi128_si32(_mm_minpos_epu16(inverted)) as u16;
    u32::BITS + 1 - u32::from(magnitude).leading_zeros()
}

/// The low `width` bits (at most [`WIDEST`]) of the codes that `mask` names: the first four joined, then the rest.
#[inline]
#[target_feature(enable = "avx2")]
fn join(codes: __m128i, mask: u8, width: u32) -> [u64; 2] {
    let steps = &STEPS[width as usize & 15];
    let dense = _mm_and_si128(_mm_shuffle_epi8(codes, load(&COMPACT[mask as usize])), load(&steps.keep));
    // Two a 32-bit lane, then four a 64-bit lane.
    let twos = _mm_madd_epi16(dense, load(&steps.factors));
    let upper = _mm_sll_epi64(_mm_srli_epi64::<32>(twos), load(&steps.count));
    let fours = _mm_or_si128(_mm_blend_epi32::<0b1010>(twos, _mm_setzero_si128()), upper);
    [_mm_cvtsi128_si64(fours) as u64, _mm_extract_epi64::<1>(fours) as u64]
}

/// The constants of [`join`] for one width.
#[repr(align(16))]
struct Steps {
    /// 2^width - 1.
    keep: [i16; 8],
    /// 1, 2^width, 1, ...
    factors: [i16; 8],
    /// 2 * width.
    count: [u64; 2],
}

static STEPS: [Steps; 16] = {
    let mut all = [const { Steps { keep: [0; 8], factors: [1; 8], count: [0; 2] } }; 16];
    let mut width = 0;
    while width <= WIDEST as usize {
        let factor = 1 << width;
        all[width] = Steps {
            keep: [factor - 1; 8],
            factors: [1, factor, 1, factor, 1, factor, 1, factor],
            count: [2 * width as u64, 0],
        };
        width += 1;
    }
    all
};

/// For `_mm_shuffle_epi8`: moves the 16-bit lanes that a mask names to the front, in order, and clears the rest.
static COMPACT: [[u8; 16]; 256] = {
    let mut all = [[0x80; 16]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut lane, mut to) = (0, 0);
        while lane < 8 {
            if mask >> lane & 1 == 1 {
                all[mask][2 * to] = 2 * lane as u8;
                all[mask][2 * to + 1] = 2 * lane as u8 + 1;
                to += 1;
            }
            lane += 1;
        }
        mask += 1;
    }
    all
};

#[inline]
#[target_feature(enable = "avx2")]
fn load<T: Lanes>(values: &T) -> __m128i {
    // SAFETY: reads the 16 bytes of `values`.
    unsafe { _mm_loadu_si128(std::ptr::from_ref(values).cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(out: &mut [i16; 8], values: __m128i) {
    // SAFETY: writes the 16 bytes of `out`.
    unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), values) }
}

/// What has 16 bytes, all initialised.
trait Lanes {}
impl Lanes for [u8; 16] {}
impl Lanes for [i16; 8] {}
impl Lanes for [u64; 2] {}
