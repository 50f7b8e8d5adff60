//! Rows of interleaved R, G, B to three rows: SSSE3 where the CPU has it, else a plain loop.

/// Splits `pixels` into R, G and B; every output holds at least as many bytes as there are pixels.
pub(super) fn deinterleave(pixels: &[u8], mut planes: [&mut [u8]; 3]) {
    let (pixels, _) = pixels.as_chunks::<3>();
    for plane in &mut planes {
        let whole = std::mem::take(plane);
        *plane = &mut whole[..pixels.len()];
    }
    #[cfg(target_arch = "x86_64")]
    if pixels.len() >= ssse3::BLOCK && std::arch::is_x86_feature_detected!("ssse3") {
        // SAFETY: the CPU has SSSE3.
        return unsafe { ssse3::deinterleave(pixels, planes) };
    }
    one_by_one(pixels, planes);
}

fn one_by_one(pixels: &[[u8; 3]], [red, green, blue]: [&mut [u8]; 3]) {
    for (((red, green), blue), pixel) in red.iter_mut().zip(green).zip(blue).zip(pixels) {
        [*red, *green, *blue] = *pixel;
    }
}

#[cfg(target_arch = "x86_64")]
mod ssse3 {
    use std::arch::x86_64::*;

    /// Pixels of a step.
    pub(super) const BLOCK: usize = 16;

    /// At least [`BLOCK`] pixels; the last block may overlap the one before.
    #[target_feature(enable = "ssse3")]
    pub(super) fn deinterleave(pixels: &[[u8; 3]], planes: [&mut [u8]; 3]) {
        let last = pixels.len() - BLOCK;
        let [red, green, blue] = planes;
        for at in (0..last).step_by(BLOCK).chain([last]) {
            let split = split(pixels[at..].first_chunk().expect("at most `last`"));
            for (plane, values) in [&mut *red, &mut *green, &mut *blue].into_iter().zip(split) {
                let to: &mut [u8; BLOCK] = plane[at..].first_chunk_mut().expect("as long as `pixels`");
                // SAFETY: writes the 16 bytes of `to`.
                unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), values) };
            }
        }
    }

    /// R, G and B of 16 pixels.
    #[target_feature(enable = "ssse3")]
    fn split(pixels: &[[u8; 3]; BLOCK]) -> [__m128i; 3] {
        let (parts, _) = pixels.as_flattened().as_chunks::<16>();
        let bytes = [load(&parts[0]), load(&parts[1]), load(&parts[2])];
        let channel = |masks: &[[u8; 16]; 3]| {
            let first = _mm_shuffle_epi8(bytes[0], load(&masks[0]));
            let second = _mm_shuffle_epi8(bytes[1], load(&masks[1]));
            _mm_or_si128(_mm_or_si128(first, second), _mm_shuffle_epi8(bytes[2], load(&masks[2])))
        };
        [channel(&MASKS[0]), channel(&MASKS[1]), channel(&MASKS[2])]
    }

    #[inline]
    #[target_feature(enable = "ssse3")]
    fn load(bytes: &[u8; 16]) -> __m128i {
        // SAFETY: reads the 16 bytes of `bytes`.
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    }

    /// `[channel][vector]`: which byte of the vector goes where; 255 leaves zero.
    const MASKS: [[[u8; 16]; 3]; 3] = {
        let mut masks = [[[255; 16]; 3]; 3];
        let mut byte = 0;
        while byte < 48 {
            masks[byte % 3][byte / 16][byte / 3] = (byte % 16) as u8;
            byte += 1;
        }
        masks
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_is_split() {
        for width in (0..80usize).step_by(if cfg!(miri) { 7 } else { 1 }) {
            let pixels: Vec<u8> = (0..3 * width).map(|i| (i * 7 % 251) as u8).collect();
            let mut planes: [Vec<u8>; 3] = std::array::from_fn(|_| vec![0xaa; width + 3]);
            let [red, green, blue] = &mut planes;
            deinterleave(&pixels, [red, green, blue]);
            for (channel, plane) in planes.iter().enumerate() {
                let expected: Vec<u8> = pixels.iter().skip(channel).step_by(3).copied().collect();
                assert_eq!(plane[..width], expected);
                assert_eq!(plane[width..], [0xaa; 3], "width {width}: written past the end");
            }
        }
    }
}
