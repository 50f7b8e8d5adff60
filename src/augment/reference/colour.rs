//! Colour operations on a whole view, as Pillow's `ImageEnhance` and torchvision's `adjust_hue` do them.

use super::Grid;
use crate::augment::ColourOp;

pub(super) fn apply(op: ColourOp, factor: f32, view: &Grid) -> Grid {
    match op {
        ColourOp::Brightness => view.map(|pixel| pixel.map(|value| blend(0, value, factor))),
        ColourOp::Contrast => {
            let sum: u64 = view.pixels.iter().map(|&pixel| u64::from(luma(pixel))).sum();
            let mean = (sum as f64 / view.pixels.len() as f64 + 0.5) as u8;
            view.map(|pixel| pixel.map(|value| blend(mean, value, factor)))
        }
        ColourOp::Saturation => view.map(|pixel| pixel.map(|value| blend(luma(pixel), value, factor))),
        ColourOp::Hue => {
            let shift = (255.0 * f64::from(factor)).trunc() as i32;
            view.map(|pixel| {
                let [h, s, v] = to_hsv(pixel);
                to_rgb([(i32::from(h) + shift).rem_euclid(256) as u8, s, v])
            })
        }
    }
}

/// Grey of ITU-R 601-2 in 16-bit fixed point (`L24` of libImaging/Convert.c).
pub(super) fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((19_595 * u32::from(r) + 38_470 * u32::from(g) + 7_471 * u32::from(b) + 0x8000) >> 16) as u8
}

/// libImaging/Blend.c: truncated between the images, clamped beyond them.
fn blend(from: u8, to: u8, factor: f32) -> u8 {
    let value = f32::from(from) + factor * f32::from(i16::from(to) - i16::from(from));
    if (0.0..=1.0).contains(&factor) {
        value as u8
    } else if value <= 0.0 {
        0
    } else if value >= 255.0 {
        255
    } else {
        value as u8
    }
}

/// `rgb2hsv_row` of libImaging/Convert.c, with C's mixture of f32 variables and f64 constants.
fn to_hsv([r, g, b]: [u8; 3]) -> [u8; 3] {
    let most = r.max(g).max(b);
    let least = r.min(g).min(b);
    if most == least {
        return [0, 0, most];
    }
    let chroma = f32::from(most - least);
    let saturation = chroma / f32::from(most);
    let [rc, gc, bc] = [r, g, b].map(|value| f32::from(most - value) / chroma);
    let sector: f32 = if r == most {
        bc - gc
    } else if g == most {
        (2.0 + f64::from(rc) - f64::from(bc)) as f32
    } else {
        (4.0 + f64::from(gc) - f64::from(rc)) as f32
    };
    let hue = ((f64::from(sector) / 6.0 + 1.0) % 1.0) as f32;
    [(f64::from(hue) * 255.0) as u8, (f64::from(saturation) * 255.0) as u8, most]
}

/// `hsv2rgb` of libImaging/Convert.c.
fn to_rgb([h, s, v]: [u8; 3]) -> [u8; 3] {
    if s == 0 {
        return [v; 3];
    }
    let turn = f64::from(h) * 6.0 / 255.0;
    let sector = turn.floor();
    let f = f64::from((turn - sector) as f32);
    let saturation = f64::from((f64::from(s) / 255.0) as f32);
    let value = f64::from(v);
    // The product of two C floats is a float.
    let sf = f64::from((saturation as f32) * (f as f32));
    let p = (value * (1.0 - saturation)).round() as u8;
    let q = (value * (1.0 - sf)).round() as u8;
    let t = (value * (1.0 - saturation * (1.0 - f))).round() as u8;
    match sector as u32 % 6 {
        0 => [v, t, p],
        1 => [q, v, p],
        2 => [p, v, t],
        3 => [p, q, v],
        4 => [t, p, v],
        _ => [v, p, q],
    }
}
