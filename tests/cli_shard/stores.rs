//! `convert --store`: what each makes of JPEGs, PNGs and pixels; and what `extract` makes of coefficients.

use std::fs;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use metacl::decode::{Decoder, Limits, Want};
use metacl::image::Size;
use metacl::shard::{Codec, ShardSet};
use tempfile::{TempDir, tempdir};

use crate::make::*;

/// Every `--store` of this build.
const STORES: &[&str] = &[
    "jpeg",
    "raw",
    #[cfg(feature = "turbo")]
    "coef",
];

/// `a.jpg` and `b.png` of one class, and the folder that datasets go to.
fn source() -> (TempDir, PathBuf) {
    let temp = tempdir().unwrap();
    let src = temp.path().join("src");
    write(src.join("train/x/a.jpg"), jpeg(1, 50, 37));
    write(src.join("train/x/b.png"), png(2, 31, 40));
    (temp, src)
}

/// Codec and size of every sample.
fn kinds(dataset: &Path) -> Vec<(Codec, Size)> {
    let set = ShardSet::open_split(dataset, "train").unwrap();
    (0..set.len()).map(|index| set.info(index).unwrap()).map(|info| (info.codec, info.size)).collect()
}

/// What a JPEG becomes.
fn codec(store: &str) -> Codec {
    Codec::ALL.into_iter().find(|codec| codec.name() == store).unwrap()
}

fn decoded(codec: Codec, bytes: &[u8], size: Size) -> Vec<u8> {
    let mut decoder = Decoder::new(Limits::default());
    decoder.decode(codec, bytes, size, Want::all(size)).unwrap().pixels.interleaved()
}

/// What `inspect` says the dataset's metadata holds under `key`.
fn metadata(dataset: &Path, key: &str) -> serde_json::Value {
    let whole: serde_json::Value = serde_json::from_str(&shard(&["inspect", path(dataset), "--json"]).out).unwrap();
    whole["splits"]["train"]["metadata"][key].clone()
}

#[test]
fn files_stay_as_they_are_or_become_pixels() {
    let (temp, src) = source();
    let sizes = [Size::new(50, 37), Size::new(31, 40)];
    let files = [jpeg(1, 50, 37), png(2, 31, 40)];
    for store in ["jpeg", "raw"] {
        let dst = temp.path().join(store);
        convert(&src, &dst, &["--store", store], 0);
        let codecs = if store == "raw" { [Codec::Raw; 2] } else { [Codec::Jpeg, Codec::Png] };
        assert_eq!(kinds(&dst), [(codecs[0], sizes[0]), (codecs[1], sizes[1])]);
        assert_eq!(metadata(&dst, "store"), store);
        let stored = samples(&dst, "train").into_iter().map(|(_, _, bytes)| bytes);
        for (place, bytes) in stored.enumerate() {
            let pixels = || decoded([Codec::Jpeg, Codec::Png][place], &files[place], sizes[place]);
            assert!(bytes == if store == "raw" { pixels() } else { files[place].clone() }, "{store}, {place}");
        }
    }
}

#[test]
fn shrunk_images_are_stored_as_asked() {
    let (temp, src) = source();
    let sizes = [Size::new(20, 15), Size::new(16, 20)];
    for store in STORES {
        let dst = temp.path().join(store);
        let run = convert(&src, &dst, &["--store", store, "--max-side", "20"], 0);
        assert_eq!(kinds(&dst), sizes.map(|size| (codec(store), size)), "{store}");
        assert!(run.out.contains("2 shrunk"), "{}", run.out);
    }
}

#[test]
fn pixels_stay_pixels_in_every_store() {
    let temp = tempdir().unwrap();
    let src = temp.path().join("src");
    write(src.join("data_batch_1.bin"), cifar_binary(&[(&[2], 9)]));
    for store in STORES {
        let dst = temp.path().join(store);
        convert(&src, &dst, &["--store", store], 0);
        assert_eq!(samples(&dst, "train")[0].2, cifar_image(9).1);
    }
}

/// Two colours in the order of the samples, each in the middle of its cell, whatever the codec.
#[test]
fn a_contact_sheet_shows_the_samples_in_order() {
    let temp = tempdir().unwrap();
    let src = temp.path().join("src");
    let colours = [[200, 30, 60], [20, 160, 90], [240, 240, 10]];
    for (name, colour) in ["a", "b", "c"].into_iter().zip(colours) {
        let mut bytes = Vec::new();
        let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 95);
        RgbImage::from_pixel(400, 160, Rgb(colour)).write_with_encoder(encoder).unwrap();
        write(src.join(format!("train/x/{name}.jpg")), bytes);
    }
    for store in STORES {
        let dst = temp.path().join(store);
        convert(&src, &dst, &["--store", store], 0);
        let file = temp.path().join(format!("{store}.png"));
        let run = shard(&["extract", path(&dst), "--contact-sheet", path(&file)]);
        assert_eq!(run.code, 0, "{}", run.err);
        let sheet = image::load_from_memory(&fs::read(&file).unwrap()).unwrap().into_rgb8();
        // Two columns and two rows of 64 pixels, 2 between and around.
        assert_eq!(sheet.dimensions(), (134, 134));
        for (centre, colour) in [(34, 34), (100, 34), (34, 100)].into_iter().zip(colours) {
            let pixel = sheet.get_pixel(centre.0, centre.1);
            assert!(pixel.0.iter().zip(colour).all(|(a, b)| a.abs_diff(b) < 4), "{store}: {pixel:?} for {colour:?}");
        }
        assert_eq!(sheet.get_pixel(34, 34 - 20), sheet.get_pixel(0, 0), "{store}: above a flat picture is nothing");
        assert_eq!(sheet.get_pixel(100, 100), sheet.get_pixel(0, 0), "{store}: the last cell is empty");
    }
    let (raw, one) = (temp.path().join("raw"), temp.path().join("one.ppm"));
    let args = ["extract", path(&raw), "--samples", "1", "--contact-sheet", path(&one)];
    assert_eq!(shard(&args).code, 0);
    assert!(fs::read(&one).unwrap().starts_with(b"P6\n68 68\n255\n"));
    assert_one_line(&shard(&args), "one.ppm");
    for wrong in
        [&["--index", "0"][..], &["--contact-sheet", "x.png", "--index", "0", "--out", "y.png"], &["--samples", "3"]]
    {
        assert_eq!(shard(&[&["extract", path(&raw)], wrong].concat()).code, 2, "{wrong:?}");
    }
}

#[cfg(feature = "turbo")]
mod coefficients {
    use metacl::decode::jpeg_coefficients;

    use super::*;
    use crate::jpeg_support::{encode, kinds as jpeg_kinds};

    const SIZE: Size = Size::new(45, 38);

    /// A file of each kind of JPEG.
    fn every_kind(src: &Path) -> Vec<(&'static str, Vec<u8>)> {
        let file = |(name, kind): (&'static str, crate::jpeg_support::Kind)| {
            let bytes: Vec<u8> = pixels(5, 45, 60).into_raw().into_iter().take(kind.bytes(SIZE)).collect();
            (name, encode(&bytes, SIZE, kind))
        };
        let mut files: Vec<_> = jpeg_kinds().into_iter().map(file).collect();
        files.sort_by_key(|(name, _)| name.replace([' ', ':'], "_"));
        for (name, bytes) in &files {
            write(src.join(format!("train/x/{}.jpg", name.replace([' ', ':'], "_"))), bytes);
        }
        files
    }

    #[test]
    fn what_cannot_be_recoded_is_kept_and_counted() {
        let temp = tempdir().unwrap();
        let (src, dst) = (temp.path().join("src"), temp.path().join("out"));
        let files = every_kind(&src);
        let run = convert(&src, &dst, &[], 0);
        let kept = "4:1:1 1, 4:4:0 1, CMYK 3";
        assert!(run.out.contains(&format!("kept as JPEG: {kept};")), "{}", run.out);
        assert_eq!(metadata(&dst, "kept_as_jpeg"), kept);
        assert_eq!(metadata(&dst, "store"), "coef");
        for ((name, bytes), (codec, (_, _, record))) in files.iter().zip(kinds(&dst).iter().zip(samples(&dst, "train")))
        {
            let stays = ["4:1:1", "4:4:0", "CMYK", "YCCK", "YCCK progressive"].contains(name);
            assert_eq!(codec.0, if stays { Codec::Jpeg } else { Codec::Coef }, "{name}");
            assert!(!stays || record == *bytes, "{name}");
        }
    }

    #[test]
    fn extract_writes_a_jpeg_of_the_same_coefficients() {
        let temp = tempdir().unwrap();
        let (src, dst) = (temp.path().join("src"), temp.path().join("out"));
        let files = every_kind(&src);
        convert(&src, &dst, &[], 0);
        let extract = |index: usize, extra: &[&str]| {
            let out = temp.path().join(format!("{index}{}.jpg", extra.concat()));
            let run =
                shard(&[&["extract", path(&dst), "--index", &index.to_string(), "--out", path(&out)], extra].concat());
            assert_eq!(run.code, 0, "{}", run.err);
            fs::read(out).unwrap()
        };
        let mut smaller = 0;
        for (index, (name, file)) in files.iter().enumerate() {
            let [standard, optimised] = [extract(index, &["--huffman", "standard"]), extract(index, &[])];
            let Ok(expected) = jpeg_coefficients(file, Limits::default(), None) else {
                assert!(standard == *file && optimised == *file, "{name}");
                continue;
            };
            for written in [&standard, &optimised] {
                assert_eq!(jpeg_coefficients(written, Limits::default(), None).unwrap(), expected, "{name}");
                assert_eq!(decoded(Codec::Jpeg, written, SIZE), decoded(Codec::Jpeg, file, SIZE), "{name}");
            }
            let ppm = temp.path().join(format!("{index}.ppm"));
            let args = ["extract", path(&dst), "--index", &index.to_string(), "--decode", "--out", path(&ppm)];
            assert_eq!(shard(&args).code, 0);
            assert!(fs::read(&ppm).unwrap().ends_with(&decoded(Codec::Jpeg, file, SIZE)), "{name}");
            smaller += u32::from(optimised.len() < standard.len());
        }
        assert!(smaller >= 8, "{smaller} of the optimised files are smaller");
    }

    #[test]
    fn damage_is_found_without_the_check_too() {
        let temp = tempdir().unwrap();
        let (src, dst) = (temp.path().join("src"), temp.path().join("out"));
        let files = every_kind(&src);
        for (name, bytes) in &files {
            let file = src.join(format!("train/x/{}-cut.jpg", name.replace([' ', ':'], "_")));
            write(file, &bytes[..bytes.len() * 9 / 10]);
        }
        convert(&src, &dst, &[], 3);
        let left_out = rejected(&dst, "train");
        assert_eq!(left_out.len(), files.len());
        assert!(left_out.iter().all(|(name, _)| name.ends_with("-cut.jpg")));

        let unchecked = temp.path().join("unchecked");
        convert(&src, &unchecked, &["--no-check"], 3);
        // Only those that are kept as they are go unchecked.
        assert_eq!(rejected(&unchecked, "train").len(), files.len() - 3);
    }
}
