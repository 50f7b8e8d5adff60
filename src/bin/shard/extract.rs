//! `metacl-shard extract`: one sample as a file, or many as a contact sheet.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use metacl::decode::{Decoder, Want};
use metacl::image::Size;
use metacl::shard::{Codec, Storage};

use super::limits::Limits;
use super::text::{one_line, print};
use super::{Failure, Outcome, dataset, sheet};

/// Write one sample to a file, or thumbnails of many
///
/// The stored image as it is: JPEG and PNG files byte for byte, coefficients as a JPEG of the same coefficients (its other metadata
/// was dropped at conversion), raw pixels as .ppm or .png by the name of FILE. With --decode, the pixels that the engine's own
/// decoder gives, as .ppm or .png. With --contact-sheet instead of --index and --out, samples spread evenly over the split, each at
/// most 64 pixels wide and high: coefficients are not decoded for it, only the mean colour of each 8x8 block is read. An existing
/// FILE is not overwritten.
///
/// Example: metacl-shard extract data/cifar10 --split test --index 7 --out frog.png
///          metacl-shard extract data/imagenet --contact-sheet look.png --samples 400
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// Dataset, split folder or .mcs file, or its URL
    dst: PathBuf,
    /// Sample of the split, from 0
    #[arg(long, value_name = "I", required_unless_present = "contact_sheet", requires = "out")]
    index: Option<u64>,
    /// File to write
    #[arg(long, value_name = "FILE", requires = "index")]
    out: Option<PathBuf>,
    /// Split of a dataset [default: train, or the only one]
    #[arg(long, value_name = "NAME")]
    split: Option<String>,
    /// Decode it
    #[arg(long)]
    decode: bool,
    /// Huffman codes of a JPEG made of coefficients: those of the standard, or made for the image (smaller)
    #[arg(long, value_enum, default_value_t = Huffman::Optimised)]
    huffman: Huffman,
    /// Write thumbnails of many samples to FILE, .ppm or .png
    #[arg(long, value_name = "FILE", conflicts_with_all = ["index", "out", "decode"])]
    contact_sheet: Option<PathBuf>,
    /// How many samples a contact sheet shows
    #[arg(long, value_name = "N", default_value_t = 100, requires = "contact_sheet",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(sheet::MOST)))]
    samples: u32,
    #[command(flatten)]
    limits: Limits,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Huffman {
    Standard,
    Optimised,
}

pub(super) fn run(args: &Args, storage: &Storage) -> Result<Outcome, Failure> {
    let place = dataset::split(&args.dst, args.split.as_deref(), storage)?;
    let set = place.open()?;
    if let Some(out) = &args.contact_sheet {
        let (pixels, size, shown) = sheet::draw(&set, args.samples, args.limits.decoder())?;
        write_new(out, &pixels_as_file(&pixels, size, out)?)?;
        print(format_args!("{}: {shown} of {} samples, {size}", out.display(), set.len()))?;
        return Ok(Outcome::Done);
    }
    let (Some(index), Some(out)) = (args.index, &args.out) else {
        return Err(Failure::Usage("give --index and --out, or --contact-sheet".to_owned()));
    };
    if index >= set.len() {
        let [path, count] = [place.location.to_string(), set.len().to_string()];
        return Err(Failure::Failed(format!("{path}: --index {index}: there are {count} samples, counted from 0")));
    }
    let info = set.info(index)?;
    let record = set.record(index)?;
    let bytes = match info.codec {
        codec if args.decode => {
            let mut decoder = Decoder::new(args.limits.decoder());
            let region = decoder.decode(codec, &record, info.size, Want::all(info.size))?;
            pixels_as_file(&region.pixels.interleaved(), info.size, out)?
        }
        Codec::Raw => pixels_as_file(&record, info.size, out)?,
        Codec::Coef => jpeg(&record, args.huffman)?,
        Codec::Jpeg | Codec::Png => record.to_vec(),
    };
    set.examine(index, false)?;
    write_new(out, &bytes)?;
    let name = one_line(set.name(index)?);
    let class = set.classes().get(info.label as usize).map_or("no class", String::as_str);
    print(format_args!("{}: {name}, {}, {}, {}", out.display(), info.size, info.codec.name(), one_line(class)))?;
    Ok(Outcome::Done)
}

/// The JPEG file of a coefficient record.
#[cfg(feature = "turbo")]
fn jpeg(record: &[u8], huffman: Huffman) -> Result<Vec<u8>, Failure> {
    let coefficients = metacl::coef::coefficients(record)?;
    Ok(metacl::decode::write_jpeg(&coefficients, huffman == Huffman::Optimised)?)
}

#[cfg(not(feature = "turbo"))]
fn jpeg(_: &[u8], _: Huffman) -> Result<Vec<u8>, Failure> {
    Err(Failure::Failed(
        "coefficients become a JPEG only in builds with libjpeg-turbo; write pixels with --decode".into(),
    ))
}

/// RGB pixels, HWC, in the format that the name of `out` asks for.
fn pixels_as_file(pixels: &[u8], size: Size, out: &Path) -> Result<Vec<u8>, Failure> {
    let extension = out.extension().map(|extension| extension.to_ascii_lowercase());
    match extension.as_ref().and_then(|extension| extension.to_str()) {
        Some("ppm") => {
            let mut file = format!("P6\n{} {}\n255\n", size.width, size.height).into_bytes();
            file.extend_from_slice(pixels);
            Ok(file)
        }
        Some("png") => {
            let mut file = Vec::new();
            PngEncoder::new(&mut file).write_image(pixels, size.width, size.height, ExtendedColorType::Rgb8)?;
            Ok(file)
        }
        _ => {
            Err(Failure::Usage(format!("{}: pixels are written as .ppm or .png; give FILE such a name", out.display())))
        }
    }
}

/// Writes beside `path` first, so that a full disk leaves no half file under its name.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::Failed(format!("{}: cannot be written ({error})", path.display()));
    if path.symlink_metadata().is_ok() {
        return Err(Failure::Failed(format!("{}: exists and is not overwritten; give another name", path.display())));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let partial = path.with_file_name(format!(".{name}.unfinished-{}", std::process::id()));
    let written =
        File::create_new(&partial).and_then(|mut file| file.write_all(bytes)).and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        // The message below is about the first failure; this one would only repeat it.
        let _ = fs::remove_file(&partial);
    }
    written.map_err(failed)
}
