//! Letters of 3x5 dots: capitals, digits and a few signs; enough for captions.

use image::{Rgb, RgbImage};

/// Dots of a letter across.
const WIDTH: u32 = 3;
/// Dots of a letter down.
pub(super) const HEIGHT: u32 = 5;

/// Rows of each letter from above, three bits each, the left dot first.
#[rustfmt::skip]
const LETTERS: [(char, [u8; 5]); 41] = [
    ('A', [2, 5, 7, 5, 5]), ('B', [6, 5, 6, 5, 6]), ('C', [3, 4, 4, 4, 3]), ('D', [6, 5, 5, 5, 6]), ('E', [7, 4, 6, 4, 7]),
    ('F', [7, 4, 6, 4, 4]), ('G', [3, 4, 5, 5, 3]), ('H', [5, 5, 7, 5, 5]), ('I', [7, 2, 2, 2, 7]), ('J', [1, 1, 1, 5, 2]),
    ('K', [5, 5, 6, 5, 5]), ('L', [4, 4, 4, 4, 7]), ('M', [5, 7, 7, 5, 5]), ('N', [6, 5, 5, 5, 5]), ('O', [2, 5, 5, 5, 2]),
    ('P', [6, 5, 6, 4, 4]), ('Q', [2, 5, 5, 6, 3]), ('R', [6, 5, 6, 5, 5]), ('S', [3, 4, 2, 1, 6]), ('T', [7, 2, 2, 2, 2]),
    ('U', [5, 5, 5, 5, 7]), ('V', [5, 5, 5, 5, 2]), ('W', [5, 5, 7, 7, 5]), ('X', [5, 5, 2, 5, 5]), ('Y', [5, 5, 2, 2, 2]),
    ('Z', [7, 1, 2, 4, 7]), ('0', [7, 5, 5, 5, 7]), ('1', [2, 6, 2, 2, 7]), ('2', [6, 1, 2, 4, 7]), ('3', [6, 1, 2, 1, 6]),
    ('4', [5, 5, 7, 1, 1]), ('5', [7, 4, 6, 1, 6]), ('6', [3, 4, 6, 5, 2]), ('7', [7, 1, 2, 2, 2]), ('8', [2, 5, 2, 5, 2]),
    ('9', [2, 5, 3, 1, 6]), ('-', [0, 0, 7, 0, 0]), ('_', [0, 0, 0, 0, 7]), ('.', [0, 0, 0, 0, 2]), ('#', [5, 7, 5, 7, 5]),
    (':', [0, 2, 0, 2, 0]),
];

/// Pixels that `text` is wide, with `dot` pixels to a dot.
pub(super) fn width(text: &str, dot: u32) -> u32 {
    (text.chars().count() as u32 * (WIDTH + 1)).saturating_sub(1) * dot
}

/// As much of `text` as is at most `most` pixels wide.
pub(super) fn cut(text: &str, most: u32, dot: u32) -> &str {
    let letters = (most + dot) / ((WIDTH + 1) * dot);
    text.char_indices().nth(letters as usize).map_or(text, |(end, _)| &text[..end])
}

/// Writes `text` in capitals, its upper left corner at `(x, y)`; what has no letter here is left blank, what lies outside is cut off.
pub(super) fn write(picture: &mut RgbImage, (x, y): (u32, u32), dot: u32, colour: Rgb<u8>, text: &str) {
    for (place, letter) in (0..).zip(text.chars()) {
        let letter = letter.to_ascii_uppercase();
        let rows = LETTERS.iter().find(|(known, _)| *known == letter).map_or([0; 5], |(_, rows)| *rows);
        for (down, row) in (0..).zip(rows) {
            for across in (0..WIDTH).filter(|across| row >> (WIDTH - 1 - across) & 1 == 1) {
                let (left, top) = (x + (place * (WIDTH + 1) + across) * dot, y + down * dot);
                for (x, y) in (0..dot * dot).map(|i| (left + i % dot, top + i / dot)) {
                    if let Some(pixel) = picture.get_pixel_mut_checked(x, y) {
                        *pixel = colour;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_has_its_dots() {
        let mut picture = RgbImage::new(7, 5);
        write(&mut picture, (0, 0), 1, Rgb([9; 3]), "lT");
        let rows: Vec<String> =
            picture.rows().map(|row| row.map(|pixel| if pixel.0[0] == 9 { '#' } else { '.' }).collect()).collect();
        assert_eq!(rows, ["#...###", "#....#.", "#....#.", "#....#.", "###..#."]);
        assert_eq!((width("lT", 1), cut("abcd", 7, 1), cut("ab", 70, 1)), (7, "ab", "ab"));
    }
}
