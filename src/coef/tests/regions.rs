//! Both paths give the same pixels, and a region is the cut of the whole.

use super::{KINDS, Numbers, picture, pictures};
use crate::coef::{CoefError, Expander, Path, encode};
use crate::image::{Planes, Rect, Size};

fn expand(expander: &mut Expander, record: &[u8], size: Size, region: Rect) -> Vec<u8> {
    let mut out = Planes::default();
    expander.expand(record, size, region, true, &mut out).unwrap();
    assert_eq!(out.size(), region.size());
    out.as_ref().interleaved()
}

#[test]
fn regions_of_both_paths_are_cuts_of_the_whole() {
    let mut numbers = Numbers::new(5);
    let (mut fastest, mut scalar) = (Expander::new(Path::Fastest), Expander::new(Path::Scalar));
    for picture in pictures() {
        let (record, size) = (encode(&picture).unwrap(), picture.size);
        let whole = expand(&mut scalar, &record, size, size.rect());
        assert!(expand(&mut fastest, &record, size, size.rect()) == whole, "{:?} {size}", picture.space);
        for _ in 0..if cfg!(miri) { 2 } else { 40 } {
            let (x, y) = (numbers.below(size.width as usize) as u32, numbers.below(size.height as usize) as u32);
            let width = 1 + numbers.below((size.width - x) as usize) as u32;
            let height = 1 + numbers.below((size.height - y) as usize) as u32;
            let region = Rect { x, y, width, height };
            let row = |y: u32| &whole[(y * size.width + x) as usize * 3..][..width as usize * 3];
            let cut: Vec<u8> = (y..y + height).flat_map(row).copied().collect();
            for expander in [&mut fastest, &mut scalar] {
                let found = expand(expander, &record, size, region);
                assert!(found == cut, "{region:?} of {:?} {:?} {size}", picture.space, picture.components[0].sampling);
            }
        }
    }
}

#[test]
fn a_flat_picture_is_flat() {
    for kind in KINDS {
        let mut flat = picture(0, kind, Size::new(37, 41), 0);
        for component in &mut flat.components {
            component.quantisation[0] = 8;
            component.blocks.iter_mut().for_each(|block| block[0] = 20);
        }
        let expected = match kind.0 {
            // 148, 148, 148 as Y, Cb, Cr.
            crate::coef::ColourSpace::YCbCr => [176, 127, 183],
            _ => [148; 3],
        };
        for path in [Path::Fastest, Path::Scalar] {
            let pixels = expand(&mut Expander::new(path), &encode(&flat).unwrap(), flat.size, flat.size.rect());
            assert!(pixels.chunks_exact(3).all(|pixel| pixel == expected), "{kind:?} {:?}", &pixels[..3]);
        }
    }
}

#[test]
fn wrong_requests_are_refused() {
    let size = Size::new(20, 10);
    let record = encode(&picture(0, KINDS[3], size, 20)).unwrap();
    let mut expander = Expander::new(Path::Fastest);
    let mut expand = |size: Size, region: Rect| expander.expand(&record, size, region, true, &mut Planes::default());
    let other = Size::new(10, 20);
    assert_eq!(expand(other, other.rect()), Err(CoefError::Size { expected: other, found: size }));
    for region in [
        Rect { x: 0, y: 0, width: 21, height: 10 },
        Rect { x: 20, y: 0, width: 1, height: 1 },
        Rect { x: u32::MAX, y: 0, width: u32::MAX, height: 1 },
        Rect { x: 3, y: 3, width: 0, height: 4 },
    ] {
        assert_eq!(expand(size, region), Err(CoefError::Region { region, size }));
    }
}
