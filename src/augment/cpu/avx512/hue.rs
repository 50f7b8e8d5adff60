//! Hue on bytes: Pillow's HSV there and back, with its roundings.
//!
//! There, with `chroma` the distance from the smallest to the largest of R, G, B and `V` the largest: the saturation is `floor(255 (chroma /
//! V))`, the quotient rounded to f32 as Pillow's variable is. The hue byte is `85 c + 42.5 (x - y) / chroma` rounded down, where `c` is the
//! largest channel and `x`, `y` the two that follow it. Pillow gets there by several roundings, which matter only where that is a whole
//! number: what becomes of each of the 255 is a table ([`late`]).
//!
//! Back, channels are `V - V S w / (255 * 85)`, rounded, with `w` of the scalar `lost`: 0 for one channel, 85 for another, and the third's is
//! a table of the hue byte, as is which channel is which.

use std::arch::x86_64::*;
use std::sync::LazyLock;

use super::super::colour::{WHOLE, hue, lost};
use super::lanes::{Table, look_up};
use super::pixels::{Planes, change_pixels};

/// What a hue byte means.
struct Wheel {
    /// 1 where Pillow gives the byte before.
    late: Table,
    /// How much of the chroma the middle channel loses, in 1/85.
    middle: Table,
    /// Bits `1 << channel` where a channel loses something, `8 << channel` where it loses all.
    losses: Table,
}

static WHEEL: LazyLock<Wheel> = LazyLock::new(|| {
    let (mut middle, mut losses) = ([0; 256], [0; 256]);
    for hue in 0..=255u8 {
        for (channel, lost) in lost(hue).into_iter().enumerate() {
            match lost {
                0 => {}
                85 => losses[usize::from(hue)] |= 9 << channel,
                lost => {
                    middle[usize::from(hue)] = lost;
                    losses[usize::from(hue)] |= 1 << channel;
                }
            }
        }
    }
    Wheel { late: Table(late()), middle: Table(middle), losses: Table(losses) }
});

/// 1 for each hue byte that Pillow does not reach where it is exact. Equal quotients give equal bytes, so one chroma speaks for all.
fn late() -> [u8; 256] {
    const CHROMA: u8 = 85;
    let mut late = [0; 256];
    for largest in 0..3 {
        for steps in -42..=42i32 {
            // The channel that the hue leans to, and the one it leans away from, which is the smallest.
            let (x, y) = if steps < 0 { (0, 2 * -steps) } else { (2 * steps, 0) };
            let mut pixel = [CHROMA, x as u8, y as u8];
            pixel.rotate_right(largest);
            let exact = (85 * largest as i32 + steps).rem_euclid(255) as u8;
            late[usize::from(exact)] = exact.wrapping_sub(hue(pixel, CHROMA, CHROMA));
        }
    }
    late
}

/// Adds `shift` to the hue byte.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
pub(super) fn turn(planes: &mut Planes<'_>, shift: u8) {
    let Wheel { late, middle, losses } = &*WHEEL;
    let (late, middle, losses) = (late.vectors(), middle.vectors(), losses.vectors());
    let shift = _mm512_set1_epi8(shift as i8);
    change_pixels(planes, |pixel| {
        let [most, saturation, hue] = hsv(pixel, late);
        let turned = _mm512_add_epi8(hue, shift);
        let [half, all] = lost_levels(most, saturation, look_up(middle, turned));
        let losses = look_up(losses, turned);
        let channel = |number: u32| {
            let some = _mm512_test_epi8_mask(losses, _mm512_set1_epi8(1 << number));
            let full = _mm512_test_epi8_mask(losses, _mm512_set1_epi8(8 << number));
            _mm512_mask_sub_epi8(_mm512_mask_sub_epi8(most, some, most, half), full, most, all)
        };
        [channel(0), channel(1), channel(2)]
    });
}

/// V, S and the hue byte, which means nothing where S is 0.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
fn hsv([r, g, b]: [__m512i; 3], late: [__m512i; 4]) -> [__m512i; 3] {
    let most = _mm512_max_epu8(r, _mm512_max_epu8(g, b));
    let chroma = _mm512_sub_epi8(most, _mm512_min_epu8(r, _mm512_min_epu8(g, b)));
    let (red, green) = (_mm512_cmpeq_epi8_mask(r, most), _mm512_cmpeq_epi8_mask(g, most));
    let x = _mm512_mask_mov_epi8(_mm512_mask_mov_epi8(r, green, b), red, g);
    let y = _mm512_mask_mov_epi8(_mm512_mask_mov_epi8(g, green, r), red, b);

    // Raised to 1, black pixels need no branch.
    let one = _mm512_set1_epi8(1);
    let (xy, cv) = (_mm512_unpacklo_epi8(x, y), _mm512_unpacklo_epi8(chroma, _mm512_max_epu8(most, one)));
    let (xy_far, cv_far) = (_mm512_unpackhi_epi8(x, y), _mm512_unpackhi_epi8(chroma, _mm512_max_epu8(most, one)));
    let [saturation_0, lean_0] = quotients(_mm512_unpacklo_epi16(xy, cv));
    let [saturation_1, lean_1] = quotients(_mm512_unpackhi_epi16(xy, cv));
    let [saturation_2, lean_2] = quotients(_mm512_unpacklo_epi16(xy_far, cv_far));
    let [saturation_3, lean_3] = quotients(_mm512_unpackhi_epi16(xy_far, cv_far));
    let bytes = |a: __m512i, b: __m512i, c: __m512i, d: __m512i| {
        _mm512_packus_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d))
    };
    let saturation = bytes(saturation_0, saturation_1, saturation_2, saturation_3);

    let (near, far) = (_mm512_packs_epi32(lean_0, lean_1), _mm512_packs_epi32(lean_2, lean_3));
    let lean = _mm512_packs_epi16(_mm512_srai_epi16::<8>(near), _mm512_srai_epi16::<8>(far));
    let low = _mm512_set1_epi16(255);
    let fraction = _mm512_packus_epi16(_mm512_and_si512(near, low), _mm512_and_si512(far, low));
    // Below 0 is 255 further, which is one back.
    let start = _mm512_mask_mov_epi8(_mm512_set1_epi8(170u8 as i8), green, _mm512_set1_epi8(85));
    let start = _mm512_mask_mov_epi8(start, red, _mm512_movm_epi8(_mm512_movepi8_mask(lean)));
    let hue = _mm512_add_epi8(start, lean);
    let exact = _mm512_testn_epi8_mask(fraction, fraction);
    [most, saturation, _mm512_mask_sub_epi8(hue, exact, hue, look_up(late, hue))]
}

/// Of sixteen `[x, y, chroma, V]`: the saturation, and `42.5 (x - y) / chroma` in 1/256, rounded: at least 0.502 from a whole multiple of
/// 256 that it is not equal to.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn quotients(quads: __m512i) -> [__m512i; 2] {
    let part = |weights: [i8; 4]| {
        let weights = _mm512_set1_epi32(i32::from_le_bytes(weights.map(|weight| weight as u8)));
        _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(_mm512_setzero_si512(), quads, weights))
    };
    let (lean, chroma) = (part([1, -1, 0, 0]), part([0, 0, 1, 0]));
    let most = _mm512_cvtepi32_ps(_mm512_srli_epi32::<24>(quads));
    // Rounded down, a product does not reach a whole number that the exact one is below.
    let saturation = _mm512_mul_round_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(
        _mm512_div_ps(chroma, most),
        _mm512_set1_ps(255.0),
    );
    let lean = _mm512_div_ps(lean, _mm512_max_ps(chroma, _mm512_set1_ps(1.0)));
    [_mm512_cvttps_epi32(saturation), _mm512_cvtps_epi32(_mm512_mul_ps(lean, _mm512_set1_ps(42.5 * 256.0)))]
}

/// Levels that a channel is below V: of a loss of `middle`, and of 85.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn lost_levels(most: __m512i, saturation: __m512i, middle: __m512i) -> [__m512i; 2] {
    let zero = _mm512_setzero_si512();
    let words = |most: __m512i, saturation: __m512i, middle: __m512i| {
        let chroma = _mm512_mullo_epi16(most, saturation);
        let (low, high) = (_mm512_mullo_epi16(chroma, middle), _mm512_mulhi_epu16(chroma, middle));
        let level = |product: __m512i| {
            let inverse = _mm512_set1_ps(1.0 / WHOLE as f32);
            _mm512_cvttps_epi32(_mm512_fmadd_ps(_mm512_cvtepi32_ps(product), inverse, _mm512_set1_ps(0.5)))
        };
        let half = _mm512_packs_epi32(level(_mm512_unpacklo_epi16(low, high)), level(_mm512_unpackhi_epi16(low, high)));
        // Rounded division by 255.
        let all = _mm512_mulhi_epu16(_mm512_add_epi16(chroma, _mm512_set1_epi16(128)), _mm512_set1_epi16(257));
        [half, all]
    };
    let unpack = |values: __m512i| [_mm512_unpacklo_epi8(values, zero), _mm512_unpackhi_epi8(values, zero)];
    let (most, saturation, middle) = (unpack(most), unpack(saturation), unpack(middle));
    let [half, all] = words(most[0], saturation[0], middle[0]);
    let [half_far, all_far] = words(most[1], saturation[1], middle[1]);
    [_mm512_packus_epi16(half, half_far), _mm512_packus_epi16(all, all_far)]
}
