//! Made-up coefficients of every kind.

use metacl::coef::{Coefficients, ColourSpace, Component};
use metacl::image::Size;

use crate::image_support::Dice;

/// Colour space and sampling of the first component.
pub(crate) type Kind = (ColourSpace, (u8, u8));

/// Every kind of record.
pub(crate) const KINDS: [Kind; 7] = [
    (ColourSpace::Gray, (1, 1)),
    (ColourSpace::YCbCr, (1, 1)),
    (ColourSpace::YCbCr, (2, 1)),
    (ColourSpace::YCbCr, (2, 2)),
    (ColourSpace::Rgb, (1, 1)),
    (ColourSpace::Rgb, (2, 1)),
    (ColourSpace::Rgb, (2, 2)),
];

/// A picture of random blocks. `most`: largest AC coefficient, 0 for DC alone; real photos have small ones, extreme ones more.
pub(crate) fn picture(seed: u64, kind: Kind, size: Size, most: i64) -> Coefficients {
    let mut dice = Dice::new(seed);
    let samplings = [kind.1, (1, 1), (1, 1)];
    let step = if most > 1023 { 60000 } else { 12 };
    let tables = [0, 1].map(|_| std::array::from_fn::<u16, 64, _>(|_| dice.int(1, step) as u16));
    let component = |index: usize| Component {
        sampling: samplings[index],
        quantisation: tables[index.min(1)],
        columns: 0,
        rows: 0,
        blocks: Vec::new(),
    };
    let components = (0..kind.0.components()).map(component).collect();
    let mut picture = Coefficients { size, space: kind.0, components };
    for index in 0..picture.components.len() {
        let (columns, rows) = picture.blocks(index);
        let blocks = (0..columns * rows).map(|_| block(&mut dice, most)).collect();
        let component = &mut picture.components[index];
        (component.columns, component.rows, component.blocks) = (columns, rows, blocks);
    }
    picture
}

/// A block of a random class and density.
fn block(dice: &mut Dice, most: i64) -> [i16; 64] {
    let mut block = [0; 64];
    let dc = if most > 1023 { i64::from(i16::MAX) } else { 500 };
    block[0] = dice.int(-dc, dc) as i16;
    let (rows, columns) = dice.one_of(&[(0, 0), (4, 4), (4, 8), (8, 8), (8, 8), (2, 4)]);
    let density = dice.int(1, 8);
    let most = dice.one_of(&[1, 3, 40, 255, most]).min(most);
    for (index, value) in block.iter_mut().enumerate().skip(1) {
        if index / 8 < rows && index % 8 < columns && dice.int(0, 7) < density {
            let random = dice.int(-most, most);
            *value = dice.one_of(&[most, -most, random, random, random]) as i16;
        }
    }
    block
}

/// All kinds, the sizes where edges and chunks meet, small to extreme coefficients.
#[allow(dead_code, reason = "one of the files that share this needs single pictures alone")]
pub(crate) fn pictures() -> impl Iterator<Item = Coefficients> {
    let sizes =
        [(1, 1), (2, 3), (3, 1), (5, 2), (6, 9), (8, 8), (15, 17), (16, 16), (33, 31), (70, 69), (259, 20), (600, 9)];
    let all = KINDS.into_iter().flat_map(move |kind| sizes.map(|size| (kind, size)));
    all.enumerate().map(|(index, (kind, (width, height)))| {
        let most = [30, 1023, 0, 16384, 255][index % 5];
        picture(index as u64, kind, Size::new(width, height), most)
    })
}
