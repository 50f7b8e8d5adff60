//! What image files decode to, and that no bytes whatever make the decoder panic or hand out pixels of a damaged JPEG.
//!
//! What the two JPEG libraries make of the same file: `decode_libraries.rs`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod image_support;
#[cfg(feature = "turbo")]
mod jpeg_support;

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ExtendedColorType, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, Rgba};
use image_support::{Dice, mean_difference, photo_like};
use metacl::decode::{DecodeError, Decoder, JpegLibrary, Limits, Want, probe, sniff};
use metacl::image::{Pixels, Rect, Size};
use metacl::shard::Codec;

const SMALL: Size = Size::new(45, 38);

const LIBRARIES: &[JpegLibrary] = &[
    #[cfg(feature = "turbo")]
    JpegLibrary::Turbo,
    JpegLibrary::Zune,
];

fn decode(library: JpegLibrary, codec: Codec, bytes: &[u8], size: Size) -> Result<Vec<u8>, DecodeError> {
    let mut decoder = Decoder::with_library(Limits::default(), library);
    decoder.decode(codec, bytes, size, Want::all(size)).map(|region| region.pixels.interleaved())
}

fn jpeg(pixels: &Pixels) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Size { width, height } = pixels.as_ref().size();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 90);
    encoder.encode(pixels.as_ref().data(), width, height, ExtendedColorType::Rgb8).unwrap();
    bytes
}

fn gray_jpeg(size: Size) -> Vec<u8> {
    let gray: Vec<u8> = photo_like(size).as_ref().data().iter().copied().step_by(3).collect();
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 90)
        .encode(&gray, size.width, size.height, ExtendedColorType::L8)
        .unwrap();
    bytes
}

/// Every kind of JPEG that can be written here, small.
fn variants() -> Vec<Vec<u8>> {
    #[cfg(feature = "turbo")]
    return jpeg_support::kinds()
        .into_iter()
        .map(|(_, kind)| {
            // Any bytes will do as CMYK.
            let rows = if kind.four() { 4 * SMALL.height / 3 + 1 } else { SMALL.height };
            let source = photo_like(Size::new(SMALL.width, rows)).into_data();
            jpeg_support::encode(&source[..kind.bytes(SMALL)], SMALL, kind)
        })
        .collect();
    #[cfg(not(feature = "turbo"))]
    return Vec::new();
}

fn png(picture: impl Into<DynamicImage>) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn rgb_png(pixels: &Pixels) -> Vec<u8> {
    let Size { width, height } = pixels.as_ref().size();
    png(ImageBuffer::<Rgb<u8>, _>::from_raw(width, height, pixels.as_ref().data().to_vec()).unwrap())
}

#[test]
fn jpeg_comes_near_its_source_in_every_library() {
    let source = photo_like(SMALL);
    let bytes = jpeg(&source);
    assert_eq!(sniff(&bytes), Some(Codec::Jpeg));
    assert_eq!(probe(Codec::Jpeg, &bytes).unwrap(), SMALL);
    for &library in LIBRARIES {
        let decoded = decode(library, Codec::Jpeg, &bytes, SMALL).unwrap();
        let off = mean_difference(&decoded, source.as_ref().data());
        assert!(off < 4.0, "{library:?}: {off} levels on average");
    }
}

#[test]
fn gray_jpeg_has_three_equal_channels() {
    let bytes = gray_jpeg(SMALL);
    for &library in LIBRARIES {
        let decoded = decode(library, Codec::Jpeg, &bytes, SMALL).unwrap();
        assert!(decoded.chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]), "{library:?}");
        assert!(decoded.iter().any(|v| *v != decoded[0]), "{library:?}");
    }
}

/// A big-endian TIFF block whose one entry is orientation 6, a quarter turn.
#[test]
fn exif_orientation_is_ignored() {
    let plain = jpeg(&photo_like(SMALL));
    let tiff = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let segment = [b"Exif\0\0".as_slice(), tiff].concat();
    let length = (segment.len() as u16 + 2).to_be_bytes();
    let turned = [&plain[..2], &[0xff, 0xe1], &length, &segment, &plain[2..]].concat();
    assert_eq!(probe(Codec::Jpeg, &turned).unwrap(), SMALL);
    for &library in LIBRARIES {
        let decoded = decode(library, Codec::Jpeg, &turned, SMALL).unwrap();
        assert_eq!(decoded, decode(library, Codec::Jpeg, &plain, SMALL).unwrap(), "{library:?}");
    }
}

#[test]
fn png_of_every_kind_decodes_as_pillow_converts() {
    let (width, height) = (SMALL.width, SMALL.height);
    let mut dice = Dice::new(10);
    let mut deep = move || dice.int(0, 65535) as u16;
    let expect = |what: &str, bytes: Vec<u8>, expected: Vec<u8>| {
        assert_eq!(sniff(&bytes), Some(Codec::Png));
        assert_eq!(probe(Codec::Png, &bytes).unwrap(), SMALL, "{what}");
        // The second time under the wrong name.
        for codec in [Codec::Png, Codec::Jpeg] {
            assert!(decode(JpegLibrary::default(), codec, &bytes, SMALL).unwrap() == expected, "{what} as {codec:?}");
        }
    };
    let high = |sample: &u16| (sample >> 8) as u8;

    let rgb = photo_like(SMALL);
    expect("RGB", rgb_png(&rgb), rgb.as_ref().data().to_vec());

    let rgb16: ImageBuffer<Rgb<u16>, _> = ImageBuffer::from_fn(width, height, |_, _| Rgb([deep(), deep(), deep()]));
    expect("RGB 16", png(rgb16.clone()), rgb16.iter().map(high).collect());
    let rgba16: ImageBuffer<Rgba<u16>, _> =
        ImageBuffer::from_fn(width, height, |_, _| Rgba([deep(), deep(), deep(), deep()]));
    expect(
        "RGBA 16",
        png(rgba16.clone()),
        rgba16.pixels().flat_map(|p| [high(&p[0]), high(&p[1]), high(&p[2])]).collect(),
    );
    let gray16: ImageBuffer<Luma<u16>, _> = ImageBuffer::from_fn(width, height, |_, _| Luma([deep()]));
    expect("gray 16", png(gray16.clone()), gray16.iter().flat_map(|v| [high(v); 3]).collect());
    let gray_alpha16: ImageBuffer<LumaA<u16>, _> = ImageBuffer::from_fn(width, height, |_, _| LumaA([deep(), deep()]));
    expect("gray, alpha 16", png(gray_alpha16.clone()), gray_alpha16.pixels().flat_map(|p| [high(&p[0]); 3]).collect());

    let rgba: ImageBuffer<Rgba<u8>, _> =
        ImageBuffer::from_fn(width, height, |_, _| Rgba([deep() as u8, deep() as u8, deep() as u8, deep() as u8]));
    expect("RGBA", png(rgba.clone()), rgba.pixels().flat_map(|p| [p[0], p[1], p[2]]).collect());
    let gray: ImageBuffer<Luma<u8>, _> = ImageBuffer::from_fn(width, height, |_, _| Luma([deep() as u8]));
    expect("gray", png(gray.clone()), gray.iter().flat_map(|v| [*v; 3]).collect());
    let gray_alpha: ImageBuffer<LumaA<u8>, _> =
        ImageBuffer::from_fn(width, height, |_, _| LumaA([deep() as u8, deep() as u8]));
    expect("gray, alpha", png(gray_alpha.clone()), gray_alpha.pixels().flat_map(|p| [p[0]; 3]).collect());
}

/// 4 x 2, palette of 4 bits: (1,2,3), (200,100,50), (255,255,255); rows 0 1 2 0 and 2 2 1 0.
#[test]
fn palette_png_is_expanded() {
    let crc = |bytes: &[u8]| {
        !bytes.iter().fold(!0u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ ((crc & 1) * 0xedb8_8320))
        })
    };
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        let body = [kind, data].concat();
        [&(data.len() as u32).to_be_bytes(), body.as_slice(), &crc(&body).to_be_bytes()].concat()
    };
    // Two rows of filter byte and four nibbles, as one stored deflate block in a zlib wrapper; Adler-32 behind.
    let rows = [0u8, 0x01, 0x20, 0, 0x22, 0x10];
    let (a, b) = rows.iter().fold((1u32, 0u32), |(a, b), v| (a + u32::from(*v), a + u32::from(*v) + b));
    let zlib = [&[0x78, 0x01, 1, 6, 0, 0xf9, 0xff], rows.as_slice(), &(b << 16 | a).to_be_bytes()].concat();
    let bytes = [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        chunk(b"IHDR", &[0, 0, 0, 4, 0, 0, 0, 2, 4, 3, 0, 0, 0]),
        chunk(b"PLTE", &[1, 2, 3, 200, 100, 50, 255, 255, 255]),
        chunk(b"IDAT", &zlib),
        chunk(b"IEND", &[]),
    ]
    .concat();
    let decoded = decode(JpegLibrary::default(), Codec::Png, &bytes, Size::new(4, 2)).unwrap();
    let palette = [[1, 2, 3], [200, 100, 50], [255, 255, 255]];
    assert_eq!(decoded, [0, 1, 2, 0, 2, 2, 1, 0].map(|i| palette[i]).concat());
}

/// A part is the cut of the whole, whatever its place, for every kind of record.
#[test]
fn a_region_is_the_cut_of_the_whole_image() {
    let mut dice = Dice::new(14);
    let size = Size::new(131, 117);
    let source = photo_like(size);
    let gray_png = png(ImageBuffer::<Luma<u8>, _>::from_fn(size.width, size.height, |x, y| Luma([(x * 5 + y) as u8])));
    let records = [
        (Codec::Raw, source.as_ref().data().to_vec()),
        (Codec::Png, rgb_png(&source)),
        (Codec::Png, gray_png),
        (Codec::Jpeg, jpeg(&source)),
        (Codec::Jpeg, gray_jpeg(size)),
    ];
    #[cfg(feature = "turbo")]
    let mut records = Vec::from(records);
    #[cfg(feature = "turbo")]
    for (_, kind) in jpeg_support::kinds() {
        let noise: Vec<u8> = (0..kind.bytes(size)).map(|_| dice.int(0, 255) as u8).collect();
        records.push((Codec::Jpeg, jpeg_support::encode(&noise, size, kind)));
    }
    for (number, (codec, bytes)) in records.iter().enumerate() {
        let library = JpegLibrary::default();
        let Ok(whole) = decode(library, *codec, bytes, size) else { panic!("record {number} is refused") };
        let mut decoder = Decoder::with_library(Limits::default(), library);
        for _ in 0..150 {
            let (width, height) = (dice.side(size.width), dice.side(size.height));
            let x = dice.int(0, i64::from(size.width - width)) as u32;
            let y = dice.int(0, i64::from(size.height - height)) as u32;
            let rect = Rect { x, y, width, height };
            let region = decoder.decode(*codec, bytes, size, Want { region: rect, verify: true }).unwrap();
            assert_eq!(region.rect(), rect);
            let rows = (y..y + height).flat_map(|y| {
                let first = 3 * (y * size.width + x) as usize;
                &whole[first..first + 3 * width as usize]
            });
            assert!(region.pixels.interleaved().iter().eq(rows), "record {number}, {codec:?}, {rect:?}");
        }
    }
}

#[test]
fn gray_images_share_one_plane() {
    for &library in LIBRARIES {
        let bytes = gray_jpeg(SMALL);
        let mut decoder = Decoder::with_library(Limits::default(), library);
        assert!(decoder.decode(Codec::Jpeg, &bytes, SMALL, Want::all(SMALL)).unwrap().pixels.is_gray());
    }
}

#[test]
fn each_refusal_has_its_variant() {
    let bytes = jpeg(&photo_like(SMALL));
    let mut decoder = Decoder::new(Limits { max_pixels: SMALL.area() });
    let mut refused = |codec, bytes: &[u8], size: Size, region: Rect| {
        decoder.decode(codec, bytes, size, Want { region, verify: true }).err().expect("refused")
    };
    let wider = Size::new(SMALL.width + 1, SMALL.height);
    let other = Size::new(SMALL.height, SMALL.width);
    let empty = Size::new(0, 5);
    let corner = Rect { x: 40, y: 0, width: 6, height: 1 };
    let nothing = Rect { width: 0, ..SMALL.rect() };

    assert!(matches!(refused(Codec::Jpeg, &bytes, wider, wider.rect()), DecodeError::TooLarge { .. }));
    let huge = Size::new(u32::MAX, u32::MAX);
    assert!(matches!(refused(Codec::Raw, &[], huge, huge.rect()), DecodeError::TooLarge { .. }));
    assert!(matches!(refused(Codec::Jpeg, &bytes, other, other.rect()), DecodeError::SizeMismatch { .. }));
    let png = rgb_png(&photo_like(SMALL));
    assert!(matches!(refused(Codec::Png, &png, other, other.rect()), DecodeError::SizeMismatch { .. }));
    assert!(matches!(refused(Codec::Jpeg, &bytes, empty, empty.rect()), DecodeError::Empty { .. }));
    assert!(matches!(refused(Codec::Jpeg, &bytes, SMALL, corner), DecodeError::RegionOutside { .. }));
    assert!(matches!(refused(Codec::Jpeg, &bytes, SMALL, nothing), DecodeError::RegionOutside { .. }));
    assert!(matches!(refused(Codec::Coef, &bytes, SMALL, SMALL.rect()), DecodeError::Coef(_)));
    assert!(matches!(refused(Codec::Raw, &bytes, SMALL, SMALL.rect()), DecodeError::RawLength { .. }));
    for garbage in [&[][..], b"GIF89a", &[0xff, 0xd8, 0xff], &bytes[2..]] {
        assert!(matches!(refused(Codec::Jpeg, garbage, SMALL, SMALL.rect()), DecodeError::Jpeg { .. }));
        assert!(matches!(probe(Codec::Jpeg, garbage), Err(DecodeError::Jpeg { .. })));
        assert_eq!(sniff(garbage).is_some(), garbage.len() == 3);
    }
    assert!(matches!(probe(Codec::Png, b"GIF89a"), Err(DecodeError::Png { .. })));
    assert!(matches!(probe(Codec::Raw, &bytes), Err(DecodeError::NoHeader { .. })));
    assert!(matches!(probe(Codec::Coef, &bytes), Err(DecodeError::Coef(_))));
}

/// The limit holds for what the bytes say, too: a header of 61680 x 61680 must not allocate.
#[test]
fn a_header_that_lies_about_its_size_is_a_mismatch() {
    let mut bytes = jpeg(&photo_like(SMALL));
    let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a baseline frame");
    bytes[frame + 5..frame + 9].fill(0xf0);
    for &library in LIBRARIES {
        let error = decode(library, Codec::Jpeg, &bytes, SMALL).unwrap_err();
        let DecodeError::SizeMismatch { found, .. } = error else { panic!("{library:?}: {error}") };
        assert_eq!(found, Size::new(0xf0f0, 0xf0f0));
    }
}

#[test]
fn a_jpeg_cut_at_any_length_is_refused() {
    for bytes in [jpeg(&photo_like(SMALL)), gray_jpeg(SMALL)].into_iter().chain(variants()) {
        for &library in LIBRARIES {
            let Ok(size) = probe(Codec::Jpeg, &bytes) else { panic!("a whole file is refused") };
            if decode(library, Codec::Jpeg, &bytes, size).is_err() {
                continue; // zune-jpeg knows fewer kinds.
            }
            for cut in 0..bytes.len() {
                let decoded = decode(library, Codec::Jpeg, &bytes[..cut], size);
                assert!(decoded.is_err(), "{library:?} took {cut} of {} bytes", bytes.len());
            }
        }
    }
}

/// A PNG whose pixels are all there is fine without its end chunk; anything shorter is refused.
#[test]
fn a_png_cut_at_any_length_is_refused_or_whole() {
    let bytes = rgb_png(&photo_like(SMALL));
    let whole = decode(JpegLibrary::default(), Codec::Png, &bytes, SMALL).unwrap();
    let mut taken = 0;
    for cut in 0..bytes.len() {
        if let Ok(decoded) = decode(JpegLibrary::default(), Codec::Png, &bytes[..cut], SMALL) {
            assert!(decoded == whole, "cut to {cut} of {} bytes", bytes.len());
            taken += 1;
        }
    }
    assert!(taken < 20, "{taken} lengths were taken");
}

/// Damage gives an error or pixels, never a panic; the pixels are those of the bytes, whatever was decoded before.
#[test]
fn flipped_bytes_do_no_harm() {
    let mut dice = Dice::new(11);
    let files = [jpeg(&photo_like(SMALL)), gray_jpeg(SMALL), rgb_png(&photo_like(SMALL))];
    for bytes in files.into_iter().chain(variants()) {
        let codec = sniff(&bytes).unwrap();
        let size = probe(codec, &bytes).unwrap();
        for &library in LIBRARIES {
            let mut used = Decoder::with_library(Limits::default(), library);
            for _ in 0..300 {
                let mut damaged = bytes.clone();
                for _ in 0..dice.int(1, 4) {
                    let at = dice.int(0, bytes.len() as i64 - 1) as usize;
                    damaged[at] = dice.int(0, 255) as u8;
                }
                let fresh = decode(library, codec, &damaged, size);
                let again = used.decode(codec, &damaged, size, Want::all(size));
                match (fresh, again) {
                    (Ok(fresh), Ok(again)) => {
                        assert!(fresh == again.pixels.interleaved(), "{library:?} shows stale pixels")
                    }
                    (fresh, again) => assert_eq!(fresh.is_err(), again.is_err(), "{library:?}"),
                }
                // A damaged header may state any size; it is only read.
                let _ = probe(codec, &damaged);
            }
        }
    }
}
