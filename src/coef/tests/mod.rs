//! Synthetic pictures for the tests of this module.

mod damage;
mod regions;
mod roundtrip;

use super::layout::blocks;
use super::{Coefficients, ColourSpace, Component};
use crate::image::Size;
use crate::rng::{Purpose, Stream};

/// Numbers, one after another.
pub(super) struct Numbers {
    stream: Stream,
    count: u32,
}

impl Numbers {
    pub(super) fn new(seed: u64) -> Self {
        Self { stream: Stream::new(seed, Purpose::Synthetic), count: 0 }
    }

    /// Uniform in `0..bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.count += 1;
        self.stream.draw([self.count, 0, 0, 0]).integer(bound as u64) as usize
    }

    fn within(&mut self, most: i16) -> i16 {
        (self.below(2 * most as usize + 1) as i32 - i32::from(most)) as i16
    }
}

/// Every kind of record: colour space and sampling of the first component.
pub(super) const KINDS: [(ColourSpace, (u8, u8)); 7] = [
    (ColourSpace::Gray, (1, 1)),
    (ColourSpace::YCbCr, (1, 1)),
    (ColourSpace::YCbCr, (2, 1)),
    (ColourSpace::YCbCr, (2, 2)),
    (ColourSpace::Rgb, (1, 1)),
    (ColourSpace::Rgb, (2, 1)),
    (ColourSpace::Rgb, (2, 2)),
];

/// A picture of random blocks. `most`: largest AC coefficient, 0 for DC alone; real photos have small ones, extreme ones more.
pub(super) fn picture(seed: u64, kind: (ColourSpace, (u8, u8)), size: Size, most: i16) -> Coefficients {
    let mut numbers = Numbers::new(seed);
    let samplings = [kind.1, (1, 1), (1, 1)];
    let count = if kind.0 == ColourSpace::Gray { 1 } else { 3 };
    let step = if most > 1023 { 60000 } else { 12 };
    let tables: [[u16; 64]; 2] = std::array::from_fn(|_| std::array::from_fn(|_| 1 + numbers.below(step) as u16));
    let component = |index: usize| {
        let sampling = samplings[index];
        let (columns, rows) = blocks(size, sampling, samplings[0]);
        let blocks = (0..columns * rows).map(|_| block(&mut numbers, most)).collect();
        Component { sampling, quantisation: tables[index.min(1)], columns, rows, blocks }
    };
    Coefficients { size, space: kind.0, components: (0..count).map(component).collect() }
}

/// A block of a random class and density.
fn block(numbers: &mut Numbers, most: i16) -> [i16; 64] {
    let mut block = [0; 64];
    block[0] = if most > 1023 { numbers.within(i16::MAX) } else { numbers.within(500) };
    let (rows, columns) = [(0, 0), (4, 4), (4, 8), (8, 8), (8, 8), (2, 4)][numbers.below(6)];
    let density = 1 + numbers.below(8);
    // Widths below and above what the vector code takes at once.
    let most = [1, 3, 40, 255, most][numbers.below(5)].min(most);
    for (index, value) in block.iter_mut().enumerate().skip(1) {
        if index / 8 < rows && index % 8 < columns && numbers.below(8) < density {
            *value = match numbers.below(6) {
                0 => most,
                1 => -most,
                _ => numbers.within(most),
            };
        }
    }
    block
}

/// All kinds, the sizes where edges and chunks meet (in Miri, which is slow, an edge and a chunk), small to extreme coefficients.
pub(super) fn pictures() -> impl Iterator<Item = Coefficients> {
    const SIZES: &[(u32, u32)] = if cfg!(miri) {
        &[(5, 2), (257, 1)]
    } else {
        &[(1, 1), (2, 3), (3, 1), (5, 2), (6, 9), (8, 8), (15, 17), (16, 16), (33, 31), (70, 69), (259, 20), (600, 9)]
    };
    let all = KINDS.into_iter().flat_map(|kind| SIZES.iter().map(move |size| (kind, *size)));
    all.enumerate().map(|(index, (kind, (width, height)))| {
        let most = [30, 1023, 0, 16384, 255][index % 5];
        picture(index as u64, kind, Size::new(width, height), most)
    })
}
