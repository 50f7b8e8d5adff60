//! `metacl-shard extract`: one sample as a file.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use metacl::decode::{Decoder, Limits, Want};
use metacl::image::Size;
use metacl::shard::Codec;

use super::text::{one_line, print};
use super::{Failure, Outcome, dataset};

/// Write one sample to a file
///
/// The stored image as it is: JPEG and PNG files byte for byte, raw pixels as .ppm or .png by the name of FILE. With --decode, the
/// pixels that the engine's own decoder gives, as .ppm or .png. An existing FILE is not overwritten.
///
/// Example: metacl-shard extract data/cifar10 --split test --index 7 --out frog.png
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// Dataset, split folder or .mcs file
    dst: PathBuf,
    /// Sample of the split, from 0
    #[arg(long, value_name = "I")]
    index: u64,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Split of a dataset [default: train, or the only one]
    #[arg(long, value_name = "NAME")]
    split: Option<String>,
    /// Decode it
    #[arg(long)]
    decode: bool,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let place = dataset::split(&args.dst, args.split.as_deref())?;
    let set = place.open()?;
    if args.index >= set.len() {
        let [path, count] = [place.path.display().to_string(), set.len().to_string()];
        return Err(Failure::Failed(format!(
            "{path}: --index {}: there are {count} samples, counted from 0",
            args.index
        )));
    }
    let info = set.info(args.index)?;
    let record = set.record(args.index)?;
    let bytes = if args.decode {
        let mut decoder = Decoder::new(Limits::default());
        let region = decoder.decode(info.codec, record, info.size, Want::all(info.size))?;
        pixels_as_file(&region.pixels.interleaved(), info.size, &args.out)?
    } else {
        match info.codec {
            Codec::Raw => pixels_as_file(record, info.size, &args.out)?,
            _ => record.to_vec(),
        }
    };
    write_new(&args.out, &bytes)?;
    let name = one_line(set.name(args.index)?);
    let class = set.classes().get(info.label as usize).map_or("no class", String::as_str);
    print(format_args!("{}: {name}, {}, {}, {}", args.out.display(), info.size, info.codec.name(), one_line(class)))?;
    Ok(Outcome::Done)
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
        _ => Err(Failure::Usage(format!(
            "--out {}: pixels are written as .ppm or .png; give FILE such a name",
            out.display()
        ))),
    }
}

/// Writes beside `path` first, so that a full disk leaves no half file under its name.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::Failed(format!("{}: cannot be written ({error})", path.display()));
    if path.symlink_metadata().is_ok() {
        return Err(Failure::Failed(format!("{}: exists and is not overwritten; give another --out", path.display())));
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
