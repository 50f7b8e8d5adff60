//! The stages as plain code: the oracle, and what runs on processors without AVX2.
//!
//! Formulas: libjpeg-turbo's `jidctint.c` (Loeffler, Ligtenberg, Moschytz 1989), `jdsample.c`, `jdcolor.c`. Where coefficients are far
//! beyond what a JPEG of 8-bit samples holds, sums wrap and saturate in 16 bits as in its vector code.

use std::num::Wrapping;

use super::kernels::{HalfRow, Kernels, Sums, Table};
use crate::coef::ColourSpace;
use crate::coef::chunk::{Chunk, Cursor};
use crate::coef::tile::{Block, CHUNK};

/// The plain path.
#[derive(Clone, Copy)]
pub(super) struct Scalar;

impl Kernels for Scalar {
    fn unpack(self, chunk: &Chunk<'_>, first: usize, count: usize, cursor: Cursor, out: &mut [Block; CHUNK]) -> Cursor {
        let mut dcs = [0; CHUNK];
        chunk.dcs(&mut dcs);
        let wanted = first..first + count;
        let coded = chunk.presence()[wanted.clone()].iter().zip(&dcs[wanted]);
        coded.zip(out).fold(cursor, |cursor, ((present, dc), block)| {
            let behind = chunk.block(*present, cursor, block);
            block.0[0] = *dc;
            behind
        })
    }

    fn skip(self, chunk: &Chunk<'_>, count: usize) -> Cursor {
        chunk.skip(count)
    }

    fn transform(self, blocks: &[Block], _presence: &[u8], table: &Table, out: &mut [u8], stride: usize) {
        for (index, block) in blocks.iter().enumerate() {
            let samples = inverse_dct(block, table);
            for (y, row) in samples.chunks_exact(8).enumerate() {
                out[y * stride + 8 * index..][..8].copy_from_slice(row);
            }
        }
    }

    fn full_row(self, space: ColourSpace, samples: [&[u8]; 3], out: [&mut [u8]; 3], width: usize) {
        convert_row(space, samples.map(|row| &row[..width]), out.map(|row| &mut row[..width]));
    }

    fn half_row(self, row: &HalfRow<'_>, out: [&mut [u8]; 3], sums: &mut Sums) {
        for component in [0, 1] {
            vertical(row, component, &mut sums.0[component]);
        }
        let [blues, reds] = &sums.0;
        let [red, green, blue] = out;
        let pixels = red.iter_mut().zip(green).zip(blue).take(row.width);
        for (x, ((red, green), blue)) in pixels.enumerate() {
            let chroma = |sums| upsampled(row, sums, x + row.lead);
            [*red, *green, *blue] = pixel(row.space, [row.luma[x], chroma(blues), chroma(reds)]);
        }
    }
}

/// The rows of a chroma component mixed: 3 near + far, or as they are.
fn vertical(row: &HalfRow<'_>, component: usize, sums: &mut Vec<u16>) {
    let [near, far] = row.chroma[component].map(|samples| samples[..row.samples].iter().copied().map(u16::from));
    sums.clear();
    if row.mixed && row.fancy {
        sums.extend(near.zip(far).map(|(near, far)| 3 * near + far));
    } else {
        sums.extend(near);
    }
}

/// Chroma at pixel `x`, counted from the first pixel of the first sample.
fn upsampled(row: &HalfRow<'_>, sums: &[u16], x: usize) -> u8 {
    let (near, right) = (sums[x / 2], x % 2 == 1);
    if !row.fancy {
        return near as u8;
    }
    // Beyond either end the last sample counts again.
    let far = if right { sums[(x / 2 + 1).min(sums.len() - 1)] } else { sums[(x / 2).saturating_sub(1)] };
    let value = match (row.mixed, right) {
        (false, false) => (3 * near + far + 1) >> 2,
        (false, true) => (3 * near + far + 2) >> 2,
        (true, false) => (3 * near + far + 8) >> 4,
        (true, true) => (3 * near + far + 7) >> 4,
    };
    value as u8
}

/// Pixels of samples, all rows of one length.
pub(in crate::coef) fn convert_row(space: ColourSpace, samples: [&[u8]; 3], out: [&mut [u8]; 3]) {
    let [first, second, third] = samples;
    let [red, green, blue] = out;
    for x in 0..first.len() {
        [red[x], green[x], blue[x]] = pixel(space, [first[x], second[x], third[x]]);
    }
}

fn pixel(space: ColourSpace, samples: [u8; 3]) -> [u8; 3] {
    if space == ColourSpace::Rgb {
        return samples;
    }
    let [luma, blue, red] = samples.map(i32::from);
    let (blue, red) = (blue - 128, red - 128);
    const HALF: i32 = 1 << 15;
    // 1.402, 0.344136, 0.714136, 1.772 in 16 bits.
    let r = luma + ((91881 * red + HALF) >> 16);
    let g = luma + ((-22554 * blue - 46802 * red + HALF) >> 16);
    let b = luma + ((116130 * blue + HALF) >> 16);
    [r, g, b].map(|value| value.clamp(0, 255) as u8)
}

/// 8x8 samples of a block.
fn inverse_dct(block: &Block, table: &Table) -> [u8; 64] {
    let mut values: [i16; 64] = std::array::from_fn(|index| block.0[index].wrapping_mul(table.step(index)));
    for x in 0..8 {
        let column = pass::<11>(std::array::from_fn(|y| values[8 * y + x]));
        for y in 0..8 {
            values[8 * y + x] = column[y];
        }
    }
    let mut samples = [0; 64];
    for y in 0..8 {
        let row = pass::<18>(std::array::from_fn(|x| values[8 * y + x]));
        for x in 0..8 {
            samples[8 * y + x] = (row[x].clamp(-128, 127) + 128) as u8;
        }
    }
    samples
}

/// One dimension of the inverse DCT; results are rounded, shifted right by `SHIFT` and saturated to 16 bits.
fn pass<const SHIFT: usize>(input: [i16; 8]) -> [i16; 8] {
    let wide = |value: i16| Wrapping(i32::from(value));
    let scaled = |value: i16| wide(value) << 13;
    let [i0, _, i2, _, i4, _, i6, _] = input;

    let z1 = (wide(i2) + wide(i6)) * Wrapping(4433);
    let (tmp2, tmp3) = (z1 - wide(i6) * Wrapping(15137), z1 + wide(i2) * Wrapping(6270));
    let (tmp0, tmp1) = (scaled(i0.wrapping_add(i4)), scaled(i0.wrapping_sub(i4)));
    let even = [tmp0 + tmp3, tmp1 + tmp2, tmp1 - tmp2, tmp0 - tmp3];

    let [i1, i3, i5, i7] = [input[1], input[3], input[5], input[7]];
    let (z1, z2) = (wide(i7) + wide(i1), wide(i5) + wide(i3));
    let (z3, z4) = (wide(i7.wrapping_add(i3)), wide(i5.wrapping_add(i1)));
    let z5 = (z3 + z4) * Wrapping(9633);
    let (z1, z2) = (-z1 * Wrapping(7373), -z2 * Wrapping(20995));
    let (z3, z4) = (z5 - z3 * Wrapping(16069), z5 - z4 * Wrapping(3196));
    let odd = [
        wide(i1) * Wrapping(12299) + z1 + z4,
        wide(i3) * Wrapping(25172) + z2 + z3,
        wide(i5) * Wrapping(16819) + z2 + z4,
        wide(i7) * Wrapping(2446) + z1 + z3,
    ];

    let rounded = |value: Wrapping<i32>| {
        let shifted = (value + Wrapping(1 << (SHIFT - 1))).0 >> SHIFT;
        shifted.clamp(i16::MIN.into(), i16::MAX.into()) as i16
    };
    std::array::from_fn(|index| {
        if index < 4 { rounded(even[index] + odd[index]) } else { rounded(even[7 - index] - odd[7 - index]) }
    })
}
