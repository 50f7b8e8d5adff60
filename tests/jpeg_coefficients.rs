//! JPEG files to coefficients and back: the pixels beside the coefficients are the decoder's, a rewritten file holds the same, and no
//! bytes whatever do harm.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(feature = "turbo")]

mod image_support;
mod jpeg_support;

use image_support::{Dice, photo_like};
use jpeg_support::{Kind, PLAIN, encode, kinds};
use metacl::coef::{Coefficients, ColourSpace};
use metacl::decode::{
    CoefficientsError, DecodeError, Decoder, Limits, Want, WriteJpegError, jpeg_coefficients, probe, write_jpeg,
};
use metacl::image::Size;
use metacl::shard::Codec;
use turbojpeg_sys as tj;

const SIZES: [Size; 5] = [Size::new(64, 48), Size::new(45, 38), Size::new(17, 9), Size::new(7, 5), Size::new(1, 1)];

fn file(size: Size, kind: Kind) -> Vec<u8> {
    // Any bytes will do as CMYK.
    let rows = if kind.four() { 4 * size.height / 3 + 1 } else { size.height };
    encode(&photo_like(Size::new(size.width, rows)).into_data()[..kind.bytes(size)], size, kind)
}

fn covered() -> impl Iterator<Item = (&'static str, Kind)> {
    kinds().into_iter().filter(|(_, kind)| !kind.four())
}

fn decode(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let size = probe(Codec::Jpeg, bytes)?;
    let mut decoder = Decoder::new(Limits::default());
    Ok(decoder.decode(Codec::Jpeg, bytes, size, Want::all(size))?.pixels.interleaved())
}

/// Coefficients, and the pixels that came with them.
fn read(bytes: &[u8]) -> Result<(Coefficients, Vec<u8>), CoefficientsError> {
    let mut pixels = Vec::new();
    let coefficients = jpeg_coefficients(bytes, Limits::default(), Some(&mut pixels))?;
    Ok((coefficients, pixels))
}

/// Three gray files of one size and quality as the scans of one 4:4:4 file.
fn multi_scan(size: Size) -> Vec<u8> {
    let gray = Kind { space: tj::TJCS_TJCS_GRAY, sampling: tj::TJSAMP_TJSAMP_GRAY, ..PLAIN };
    let mut picture = photo_like(size).into_data();
    let files: Vec<Vec<u8>> = (0..3)
        .map(|_| {
            picture.rotate_left(1);
            encode(&picture, size, gray)
        })
        .collect();
    let at = |file: &[u8], marker: u8| file.windows(2).position(|pair| pair == [0xff, marker]).unwrap();
    let first = &files[0];
    let frame = at(first, 0xc0);
    let mut out = first[..frame].to_vec();
    out.extend([0xff, 0xc0, 0, 17, 8]);
    out.extend(&first[frame + 5..frame + 9]);
    out.extend([3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0]);
    out.extend(&first[frame + 2 + usize::from(first[frame + 3])..at(first, 0xda)]);
    for (number, file) in (1..).zip(&files) {
        let scan = at(file, 0xda);
        out.extend([0xff, 0xda, 0, 8, 1, number, 0]);
        out.extend(&file[scan + 7..file.len() - 2]);
    }
    out.extend([0xff, 0xd9]);
    out
}

#[test]
fn pixels_beside_the_coefficients_are_the_decoders() {
    for size in SIZES {
        for (name, kind) in covered() {
            let bytes = file(size, kind);
            let (coefficients, pixels) = read(&bytes).unwrap_or_else(|e| panic!("{name} {size}: {e}"));
            assert!(pixels == decode(&bytes).unwrap(), "{name} {size}");
            assert_eq!(coefficients.size, size);
            for component in &coefficients.components {
                assert_eq!(component.blocks.len(), component.rows * component.columns, "{name} {size}");
            }
            // The same coefficients without pixels.
            assert_eq!(coefficients, jpeg_coefficients(&bytes, Limits::default(), None).unwrap(), "{name} {size}");
        }
        let bytes = multi_scan(size);
        assert!(read(&bytes).unwrap().1 == decode(&bytes).unwrap(), "several scans, {size}");
    }
}

#[test]
fn colours_sampling_and_blocks_are_as_stated() {
    let size = Size::new(45, 38);
    let kind = |name: &str| kinds().into_iter().find(|(other, _)| *other == name).unwrap().1;
    let shape = |name: &str| {
        let coefficients = read(&file(size, kind(name))).unwrap().0;
        let of = coefficients.components.iter().map(|c| (c.sampling, c.columns, c.rows)).collect::<Vec<_>>();
        (coefficients.space, of)
    };
    let full = ((1, 1), 6, 5);
    assert_eq!(shape("gray"), (ColourSpace::Gray, vec![full]));
    assert_eq!(shape("4:4:4"), (ColourSpace::YCbCr, vec![full; 3]));
    assert_eq!(shape("RGB"), (ColourSpace::Rgb, vec![full; 3]));
    let chroma = ((1, 1), 3, 3);
    assert_eq!(shape("4:2:0"), (ColourSpace::YCbCr, vec![((2, 2), 6, 5), chroma, chroma]));
    let chroma = ((1, 1), 6, 3);
    assert_eq!(shape("4:4:0"), (ColourSpace::YCbCr, vec![((1, 2), 6, 5), chroma, chroma]));
}

/// A gray picture of one value: its DC is 8 * (value - 128) over the table's first entry, and AC is zero.
#[test]
fn values_are_natural_and_absolute() {
    let size = Size::new(16, 8);
    let gray = Kind { space: tj::TJCS_TJCS_GRAY, sampling: tj::TJSAMP_TJSAMP_GRAY, quality: 50, ..PLAIN };
    let coefficients = read(&encode(&vec![200; 16 * 8 * 3], size, gray)).unwrap().0;
    let component = &coefficients.components[0];
    // Table K.1 of ITU-T T.81, which quality 50 means: first row 16 11 10 16, second 12 12 14 19.
    assert_eq!(component.quantisation[..4], [16, 11, 10, 16]);
    assert_eq!(component.quantisation[8..12], [12, 12, 14, 19]);
    let mut block = [0; 64];
    block[0] = 8 * (200 - 128) / 16;
    assert_eq!(component.blocks, [block; 2]);
}

#[test]
fn a_rewritten_file_holds_the_same() {
    for size in SIZES {
        for (name, bytes) in covered().map(|(name, kind)| (name, file(size, kind))).chain([("scans", multi_scan(size))])
        {
            let (coefficients, pixels) = read(&bytes).unwrap();
            for optimise in [false, true] {
                let written = write_jpeg(&coefficients, optimise).unwrap_or_else(|e| panic!("{name} {size}: {e}"));
                let (again, _) = read(&written).unwrap();
                assert_eq!(again, coefficients, "{name} {size}");
                assert!(decode(&written).unwrap() == pixels, "{name} {size}");
            }
        }
    }
}

/// Larger than the writer's first buffer; three different tables, one with entries of 16 bits; the extremes of the range.
#[test]
fn large_files_and_extreme_values_survive() {
    let mut dice = Dice::new(31);
    let mut coefficients = read(&file(Size::new(400, 300), PLAIN)).unwrap().0;
    for (number, component) in coefficients.components.iter_mut().enumerate() {
        component.quantisation[5] = 200 + 100 * number as u16;
        for block in &mut component.blocks {
            block.iter_mut().for_each(|value| *value = dice.one_of(&[-1023, 1023, 0, 1, -7]));
            block[0] = dice.one_of(&[-1024, 1023]);
        }
    }
    for optimise in [false, true] {
        let written = write_jpeg(&coefficients, optimise).unwrap();
        assert!(written.len() > 100_000);
        assert_eq!(read(&written).unwrap().0, coefficients);
    }
}

#[test]
fn contradictions_are_not_written() {
    let good = read(&file(Size::new(45, 38), PLAIN)).unwrap().0;
    let refused = |change: fn(&mut Coefficients)| {
        let mut bad = good.clone();
        change(&mut bad);
        write_jpeg(&bad, true).unwrap_err()
    };
    let malformed = |change| assert!(matches!(refused(change), WriteJpegError::Malformed { .. }));
    malformed(|c| c.components[1].sampling = (0, 1));
    malformed(|c| c.components[1].sampling = (1, 5));
    malformed(|c| c.components[2].blocks.truncate(1));
    malformed(|c| c.components[0].rows += 1);
    malformed(|c| c.size.width = 200);
    malformed(|c| c.components[0].blocks[3][7] = 1024);
    malformed(|c| c.components[0].blocks[3][0] = -1025);
    assert!(matches!(refused(|c| c.space = ColourSpace::Gray), WriteJpegError::Components { .. }));
    let empty = refused(|c| {
        c.size = Size::new(0, 0);
        c.components.iter_mut().for_each(|c| (c.rows, c.columns, c.blocks) = (0, 0, Vec::new()));
    });
    assert!(matches!(empty, WriteJpegError::Library(_)), "{empty}");
}

#[test]
fn what_is_not_taken_says_why() {
    let size = Size::new(20, 20);
    for (name, kind) in kinds().into_iter().filter(|(_, kind)| kind.four()) {
        let error = read(&file(size, kind)).unwrap_err();
        assert!(matches!(error, CoefficientsError::NotCovered("CMYK")), "{name}: {error}");
    }
    let mut deep = file(size, PLAIN);
    let frame = deep.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    (deep[frame + 1], deep[frame + 4]) = (0xc1, 12);
    assert!(matches!(read(&deep).unwrap_err(), CoefficientsError::NotCovered("12-bit")));

    let bytes = file(size, PLAIN);
    let limits = Limits { max_pixels: size.area() - 1 };
    let error = jpeg_coefficients(&bytes, limits, None).unwrap_err();
    assert!(matches!(error, CoefficientsError::Broken(DecodeError::TooLarge { .. })), "{error}");
    for garbage in [&[][..], b"GIF89a", &[0xff, 0xd8, 0xff], &bytes[2..]] {
        let error = read(garbage).unwrap_err();
        assert!(matches!(error, CoefficientsError::Broken(DecodeError::Jpeg { .. })), "{error}");
    }
}

#[test]
fn a_file_cut_at_any_length_is_refused() {
    for (name, kind) in covered() {
        let bytes = file(Size::new(45, 38), kind);
        for cut in 0..bytes.len() {
            assert!(read(&bytes[..cut]).is_err(), "{name}: took {cut} of {} bytes", bytes.len());
        }
    }
}

/// Whatever the bytes: the decoder's pixels or its refusal, and what was read can be written. 4,800 damaged files.
#[test]
fn flipped_bytes_do_no_harm() {
    let mut dice = Dice::new(30);
    let mut pixels = Vec::new();
    let (mut taken, mut refused) = (0, 0);
    for (name, bytes) in
        covered().map(|(name, kind)| (name, file(Size::new(45, 38), kind))).chain([("scans", multi_scan(SIZES[1]))])
    {
        for _ in 0..400 {
            let mut damaged = bytes.clone();
            for _ in 0..dice.int(1, 4) {
                let at = dice.int(0, bytes.len() as i64 - 1) as usize;
                damaged[at] = dice.int(0, 255) as u8;
            }
            // A header that lies about its size is met by the limit.
            let limits = Limits { max_pixels: 1 << 20 };
            match jpeg_coefficients(&damaged, limits, Some(&mut pixels)) {
                Ok(coefficients) => {
                    taken += 1;
                    let expected = decode(&damaged).unwrap_or_else(|e| panic!("{name}: only the decoder refuses: {e}"));
                    assert!(expected == pixels[..expected.len()], "{name}");
                    let written = write_jpeg(&coefficients, false).unwrap_or_else(|e| panic!("{name}: {e}"));
                    assert_eq!(read(&written).unwrap().0, coefficients, "{name}");
                }
                Err(CoefficientsError::Broken(DecodeError::Jpeg { .. })) => {
                    refused += 1;
                    assert!(decode(&damaged).is_err(), "{name}: only the decoder takes it");
                }
                Err(_) => {}
            }
        }
    }
    assert!(taken > 500 && refused > 500, "{taken} taken, {refused} refused");
}
