//! Loops over three planes, 64 bytes at a time, the last ones behind a mask.

use std::arch::x86_64::*;

use super::lanes::{load, load_part, store, store_part};

/// R, G and B, of equal length.
pub(super) type Planes<'a> = [&'a mut [u8]; 3];

/// Changes every value by `change`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn change_each(planes: &mut Planes<'_>, change: impl Fn(__m512i) -> __m512i) {
    for plane in planes {
        let (whole, rest) = plane.as_chunks_mut();
        for values in whole {
            store(values, change(load(values)));
        }
        if !rest.is_empty() {
            store_part(rest, change(load_part(rest)));
        }
    }
}

/// Changes every pixel by `change`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn change_pixels([red, green, blue]: &mut Planes<'_>, change: impl Fn([__m512i; 3]) -> [__m512i; 3]) {
    let ((red, red_rest), (green, green_rest)) = (red.as_chunks_mut(), green.as_chunks_mut());
    let (blue, blue_rest) = blue.as_chunks_mut();
    for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
        let [r, g, b] = change([load(red), load(green), load(blue)]);
        store(red, r);
        store(green, g);
        store(blue, b);
    }
    if !red_rest.is_empty() {
        let [r, g, b] = change([load_part(red_rest), load_part(green_rest), load_part(blue_rest)]);
        store_part(red_rest, r);
        store_part(green_rest, g);
        store_part(blue_rest, b);
    }
}

/// Shows every pixel to `read`, black ones behind the last.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn read_pixels([red, green, blue]: &Planes<'_>, mut read: impl FnMut([__m512i; 3])) {
    let ((red, red_rest), (green, green_rest)) = (red.as_chunks(), green.as_chunks());
    let (blue, blue_rest) = blue.as_chunks();
    for ((red, green), blue) in red.iter().zip(green).zip(blue) {
        read([load(red), load(green), load(blue)]);
    }
    if !red_rest.is_empty() {
        read([load_part(red_rest), load_part(green_rest), load_part(blue_rest)]);
    }
}
