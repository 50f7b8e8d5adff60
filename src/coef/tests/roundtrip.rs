//! Records hold what they were made of; what they cannot hold is refused by name.

use super::{KINDS, picture, pictures};
use crate::coef::layout::checksum;
use crate::coef::{CoefError, ColourSpace, NotCovered, coefficients, encode, header, preview};
use crate::image::{Planes, Size};

#[test]
fn decoding_is_the_inverse_of_encoding() {
    for picture in pictures() {
        let record = encode(&picture).unwrap();
        assert!(coefficients(&record).unwrap() == picture, "{:?} {}", picture.space, picture.size);
        let header = header(&record).unwrap();
        assert_eq!((header.size, header.space), (picture.size, picture.space));
        let samplings: Vec<_> = picture.components.iter().map(|component| component.sampling).collect();
        assert_eq!(header.samplings(), samplings);
    }
}

#[test]
fn the_bytes_of_version_1_are_frozen() {
    let record = encode(&picture(7, KINDS[3], Size::new(100, 50), 255)).unwrap();
    assert_eq!((record[0], record.len(), checksum(&record)), (1, RECORD_LENGTH, RECORD_SUM));
}

const RECORD_LENGTH: usize = 3336;
const RECORD_SUM: u32 = 3823551494;

#[test]
fn what_is_not_covered_is_named() {
    let good = || picture(1, KINDS[3], Size::new(40, 40), 255);
    let refused = |change: &dyn Fn(&mut crate::coef::Coefficients)| {
        let mut picture = good();
        change(&mut picture);
        encode(&picture).unwrap_err()
    };
    assert_eq!(
        refused(&|picture| picture.components[0].sampling = (1, 2)),
        NotCovered::Sampling(vec![(1, 2), (1, 1), (1, 1)])
    );
    assert_eq!(refused(&|picture| picture.components.truncate(1)), NotCovered::Sampling(vec![(2, 2)]));
    assert_eq!(refused(&|picture| picture.size = Size::new(70000, 8)), NotCovered::Size(Size::new(70000, 8)));
    assert_eq!(refused(&|picture| picture.size = Size::new(0, 8)), NotCovered::Size(Size::new(0, 8)));
    assert_eq!(refused(&|picture| picture.components[2].blocks.truncate(3)), NotCovered::Shape(2));
    assert_eq!(refused(&|picture| picture.components[1].blocks[3][9] = 16385), NotCovered::Coefficient(16385));
    assert_eq!(refused(&|picture| picture.components[1].blocks[3][9] = i16::MIN), NotCovered::Coefficient(i16::MIN));
    let mut edge = good();
    edge.components[0].blocks[0][1..3].copy_from_slice(&[16384, -16384]);
    assert!(coefficients(&encode(&edge).unwrap()).unwrap() == edge);

    let mut wide = picture(2, KINDS[0], Size::new(60000, 1), 0);
    wide.components[0].blocks.iter_mut().for_each(|block| *block = [1000; 64]);
    assert!(matches!(encode(&wide), Err(NotCovered::RowTooLong(131072..))));
}

#[test]
fn damage_to_the_header_is_named() {
    let record = encode(&picture(1, KINDS[1], Size::new(20, 20), 255)).unwrap();
    let with = |at: usize, value: u8| {
        let mut record = record.clone();
        record[at] = value;
        header(&record).unwrap_err()
    };
    assert_eq!(with(0, 2), CoefError::Version(2));
    assert_eq!(with(1, 2), CoefError::Header { what: "flags", value: 2 });
    assert_eq!(with(2, 0), CoefError::Header { what: "area", value: 0 });
    assert_eq!(with(6, 2), CoefError::Header { what: "number of components", value: 2 });
    assert_eq!(with(7, 4), CoefError::Header { what: "number of quantisation tables", value: 4 });
    assert_eq!(with(9, 2), CoefError::Header { what: "index of a quantisation table", value: 2 });
    assert_eq!(with(8, 0x41), CoefError::Header { what: "sampling of the first component", value: 0x41 });
    assert!(matches!(with(20, record[20] ^ 1), CoefError::Checksum { part, .. } if part == "the header"));
    assert!(matches!(header(&record[..5]), Err(CoefError::Short { length: 5, needed: 8 })));
    assert!(matches!(
        header(&record[..record.len() - 1]),
        Err(CoefError::Header { what: "end of the last MCU row", .. })
    ));
    let mut last = record.clone();
    *last.last_mut().unwrap() ^= 0x80;
    assert!(matches!(coefficients(&last), Err(CoefError::Checksum { part, .. }) if part == "MCU row 2"));
}

#[test]
fn a_preview_is_made_of_the_means() {
    let mut planes = Planes::default();
    for (space, sampling) in KINDS {
        let mut flat = picture(3, (space, sampling), Size::new(41, 23), 0);
        for component in &mut flat.components {
            component.quantisation[0] = 8;
        }
        preview(&encode(&flat).unwrap(), &mut planes).unwrap();
        assert_eq!(planes.as_ref().size(), Size::new(6, 3));
        assert_eq!(planes.as_ref().is_gray(), space == ColourSpace::Gray);
        if space != ColourSpace::YCbCr {
            // Step 8: the mean less 128 is the DC itself.
            let last = flat.components.len() - 1;
            let (first, chroma) = (&flat.components[0], &flat.components[last]);
            let level = |dc: i16| (dc + 128).clamp(0, 255) as u8;
            assert_eq!(planes.as_ref().row(0, 2)[5], level(first.blocks[2 * first.columns + 5][0]));
            let (x, y) = (5 / sampling.0 as usize, 2 / sampling.1 as usize);
            assert_eq!(planes.as_ref().row(2, 2)[5], level(chroma.blocks[y * chroma.columns + x][0]));
        }
    }
}
