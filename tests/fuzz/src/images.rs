//! JPEG and PNG files, and records of every codec.

use metacl::coef::encode;
use metacl::decode::{DecodeError, Decoder, JpegLibrary, Limits, Want, jpeg_coefficients, probe, sniff, write_jpeg};
use metacl::image::{Rect, Size};
use metacl::shard::Codec;

use super::control;

/// Small enough that an honest image takes no millisecond; the rule is the programs'.
const LIMITS: Limits = Limits { max_pixels: 1 << 16 };

/// A rectangle inside `size`, chosen by four bytes.
pub(super) fn region(size: Size, by: [u8; 4]) -> Rect {
    let span = |start: u8, length: u8, side: u32| {
        let start = u32::from(start) * side / 256;
        (start, 1 + u32::from(length) * (side - start - 1) / 255)
    };
    let ((x, width), (y, height)) = (span(by[0], by[1], size.width), span(by[2], by[3], size.height));
    Rect { x, y, width, height }
}

/// Pixels of a record, interleaved.
fn pixels(decoder: &mut Decoder, codec: Codec, bytes: &[u8], size: Size, want: Want) -> Result<Vec<u8>, DecodeError> {
    decoder.decode(codec, bytes, size, want).map(|region| region.pixels.interleaved())
}

/// `region` of the interleaved pixels of an image of `size`.
pub(super) fn part(whole: &[u8], size: Size, region: Rect) -> Vec<u8> {
    let row = |y: u32| &whole[3 * (y * size.width + region.x) as usize..][..3 * region.width as usize];
    (region.y..region.y + region.height).flat_map(row).copied().collect()
}

/// Decodes whole and in part, and compares.
fn decode(decoder: &mut Decoder, codec: Codec, bytes: &[u8], size: Size, by: [u8; 4]) -> Option<Vec<u8>> {
    let region = region(size, by);
    let whole = pixels(decoder, codec, bytes, size, Want::all(size)).ok()?;
    let cut = pixels(decoder, codec, bytes, size, Want { region, verify: true });
    let cut = cut.unwrap_or_else(|error| panic!("whole, but not {region:?}: {error}"));
    assert!(cut == part(&whole, size, region), "{region:?} of {size} differs from the whole image");
    Some(whole)
}

/// Four bytes of a region, then a JPEG file: decoded by both libraries, whole and in part; its coefficients to a record and back.
pub(super) fn jpeg(bytes: &[u8]) {
    let Some((by, file)) = control(bytes) else { return };
    let Ok(size) = probe(Codec::Jpeg, file) else { return };
    let [turbo, _zune] = [JpegLibrary::Turbo, JpegLibrary::Zune].map(|library| {
        let area = LIMITS.max_pixels >= size.area();
        area.then(|| decode(&mut Decoder::with_library(LIMITS, library), Codec::Jpeg, file, size, by)).flatten()
    });
    if sniff(file) != Some(Codec::Jpeg) {
        return;
    }
    let mut rgb = Vec::new();
    let Ok(coefficients) = jpeg_coefficients(file, LIMITS, Some(&mut rgb)) else { return };
    if let Some(turbo) = turbo {
        assert!(rgb[..turbo.len()] == turbo, "other pixels beside the coefficients");
    }
    if let Ok(record) = encode(&coefficients) {
        let expanded = pixels(&mut Decoder::new(LIMITS), Codec::Coef, &record, size, Want::all(size));
        assert!(expanded.is_ok(), "a fresh record is refused: {:?}", expanded.err());
        assert!(metacl::coef::coefficients(&record).as_ref() == Ok(&coefficients), "other coefficients in the record");
    }
    if let Ok(again) = write_jpeg(&coefficients, true) {
        let read = jpeg_coefficients(&again, LIMITS, None);
        assert!(read.as_ref().is_ok_and(|read| *read == coefficients), "other coefficients in the file: {read:?}");
    }
}

/// Four bytes of a region, then a PNG file.
pub(super) fn png(bytes: &[u8]) {
    let Some((by, file)) = control(bytes) else { return };
    let Ok(size) = probe(Codec::Png, file) else { return };
    if size.area() > LIMITS.max_pixels {
        let refused = Decoder::new(LIMITS).decode(Codec::Png, file, size, Want::all(size)).err();
        assert!(matches!(refused, Some(DecodeError::TooLarge { .. })), "{refused:?}");
        return;
    }
    decode(&mut Decoder::new(LIMITS), Codec::Png, file, size, by);
}

/// A codec, a size and a region that an index could state, then a record.
pub(super) fn record(bytes: &[u8]) {
    let Some((by, record)) = control::<10>(bytes) else { return };
    let codec = Codec::ALL[usize::from(by[0]) % Codec::ALL.len()];
    let side = |at: usize| u16::from_le_bytes([by[at], by[at + 1]]).into();
    let (size, verify) = (Size::new(side(2), side(4)), by[1] % 2 == 0);
    if size.area() == 0 {
        return;
    }
    let region = region(size, [by[6], by[7], by[8], by[9]]);
    let mut decoder = Decoder::new(LIMITS);
    let first = pixels(&mut decoder, codec, record, size, Want { region, verify }).ok();
    let again = pixels(&mut decoder, codec, record, size, Want { region, verify }).ok();
    assert!(first == again, "a record decodes differently the second time");
}
