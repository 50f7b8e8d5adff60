//! Four-component JPEGs to RGB, as Pillow does it: `JpegImagePlugin` takes every CMYK file for Adobe's inverted kind, then
//! `convert("RGB")` runs `cmyk2rgb` (libImaging/Convert.c).
//!
//! With stored (inverted) samples `c', m', y', k'`, ink is `255 - c'` and so on, and
//! `R = k' - MULDIV255(255 - c', k')`, `MULDIV255(a, b) = (t + (t >> 8)) >> 8` with `t = a b + 128`.

/// `four` holds inverted C, M, Y, K, `rgb` gets R, G, B; both of the same number of pixels.
pub(super) fn inverted_to_rgb(four: &[u8], rgb: &mut [u8]) {
    for (from, to) in four.chunks_exact(4).zip(rgb.chunks_exact_mut(3)) {
        for channel in 0..3 {
            to[channel] = from[3] - scaled(255 - from[channel], from[3]);
        }
    }
}

/// YCCK to the CMYK it was made of, in place, as libjpeg does it (jdcolor.c, `ycck_cmyk_convert`): 255 minus the RGB of the
/// YCbCr; K passes. libjpeg-turbo does this itself; zune-jpeg hands out YCCK.
pub(super) fn from_ycck(four: &mut [u8]) {
    for pixel in four.chunks_exact_mut(4) {
        let y = i32::from(pixel[0]);
        let (cb, cr) = (i32::from(pixel[1]) - 128, i32::from(pixel[2]) - 128);
        // jdcolor.c: 1.40200, 0.34414, 0.71414 and 1.77200 in 16-bit fixed point.
        let red = y + ((91_881 * cr + 32_768) >> 16);
        let green = y + ((-22_554 * cb - 46_802 * cr + 32_768) >> 16);
        let blue = y + ((116_130 * cb + 32_768) >> 16);
        for (to, value) in pixel.iter_mut().zip([red, green, blue]) {
            *to = 255 - value.clamp(0, 255) as u8;
        }
    }
}

/// `a * b / 255`, rounded.
fn scaled(a: u8, b: u8) -> u8 {
    let t = u32::from(a) * u32::from(b) + 128;
    ((t + (t >> 8)) >> 8) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_key_is_black_and_no_ink_is_white() {
        let mut rgb = [9; 9];
        inverted_to_rgb(&[255, 255, 255, 255, 255, 255, 255, 0, 255, 0, 128, 255], &mut rgb);
        assert_eq!(rgb, [255, 255, 255, 0, 0, 0, 255, 0, 128]);
    }

    #[test]
    fn scaling_rounds_to_nearest() {
        for a in 0..=255u8 {
            for b in 0..=255u8 {
                let exact = f64::from(a) * f64::from(b) / 255.0;
                assert_eq!(f64::from(scaled(a, b)), exact.round(), "{a} * {b}");
            }
        }
    }

    #[test]
    fn gray_ycck_is_equal_ink() {
        let mut four = [77, 128, 128, 3];
        from_ycck(&mut four);
        assert_eq!(four, [178, 178, 178, 3]);
    }
}
