//! `metacl-shard stats`: sizes, labels and bytes of the samples.

use std::path::PathBuf;

use metacl::shard::{Codec, ShardSet, Storage};
use serde_json::{Value, json};

use super::text::{self, print};
use super::{Failure, Outcome, dataset};

/// Classes that the text shows; --json shows all.
const SHOWN: usize = 20;

/// Show sizes, labels and bytes per pixel
///
/// Reads the index only. With --json, for each split: samples, width, height, pixels (min, mean, max), megapixels (sum),
/// bytes_per_pixel (stored), codecs (samples, stored_bytes and bytes_per_pixel of each), labels (samples of each class), unlabelled.
///
/// Example: metacl-shard stats data/imagenet/val --json
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// Dataset, split folder or .mcs file, or its URL
    dst: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, storage: &Storage) -> Result<Outcome, Failure> {
    let mut splits = serde_json::Map::new();
    for place in dataset::splits(&args.dst, storage)? {
        let set = place.open_whole()?;
        let stats = Stats::of(&set)?;
        if args.json {
            splits.insert(place.name, stats.json(set.classes()));
        } else {
            stats.print(&place.name, set.classes())?;
        }
    }
    if args.json {
        text::print_json(&json!({ "splits": splits }))?;
    }
    Ok(Outcome::Done)
}

/// Smallest, sum and largest of a quantity.
#[derive(Clone, Copy)]
struct Range {
    min: u64,
    sum: u64,
    max: u64,
}

impl Range {
    const EMPTY: Self = Self { min: u64::MAX, sum: 0, max: 0 };

    fn add(&mut self, value: u64) {
        *self = Self { min: self.min.min(value), sum: self.sum + value, max: self.max.max(value) };
    }

    fn mean(self, samples: u64) -> f64 {
        self.sum as f64 / samples.max(1) as f64
    }

    fn json(self, samples: u64) -> Value {
        json!({ "min": self.min.min(self.max), "mean": self.mean(samples), "max": self.max })
    }

    fn text(self, samples: u64) -> String {
        let [min, max] = [self.min.min(self.max), self.max].map(text::thousands);
        format!("{min} to {max}, mean {:.1}", self.mean(samples))
    }
}

/// The samples of one codec.
#[derive(Clone, Copy, Default)]
struct Stored {
    samples: u64,
    bytes: u64,
    pixels: u64,
}

impl Stored {
    fn bytes_per_pixel(self) -> f64 {
        self.bytes as f64 / self.pixels.max(1) as f64
    }
}

struct Stats {
    samples: u64,
    width: Range,
    height: Range,
    pixels: Range,
    stored_bytes: u64,
    /// By [`Codec::ALL`].
    codecs: [Stored; 4],
    /// Samples by label.
    labels: Vec<u64>,
    unlabelled: u64,
}

impl Stats {
    fn of(set: &ShardSet) -> Result<Self, Failure> {
        let mut stats = Self {
            samples: set.len(),
            width: Range::EMPTY,
            height: Range::EMPTY,
            pixels: Range::EMPTY,
            stored_bytes: 0,
            codecs: [Stored::default(); 4],
            labels: vec![0; set.classes().len()],
            unlabelled: 0,
        };
        for index in 0..set.len() {
            let info = set.info(index)?;
            stats.width.add(info.size.width.into());
            stats.height.add(info.size.height.into());
            stats.pixels.add(info.size.area());
            stats.stored_bytes += info.length;
            if let Some(place) = Codec::ALL.iter().position(|&codec| codec == info.codec) {
                let stored = &mut stats.codecs[place];
                stored.samples += 1;
                stored.bytes += info.length;
                stored.pixels += info.size.area();
            }
            match stats.labels.get_mut(info.label as usize) {
                Some(count) => *count += 1,
                None => stats.unlabelled += 1,
            }
        }
        Ok(stats)
    }

    fn megapixels(&self) -> f64 {
        self.pixels.sum as f64 / 1e6
    }

    fn bytes_per_pixel(&self) -> f64 {
        self.stored_bytes as f64 / self.pixels.sum.max(1) as f64
    }

    fn json(&self, classes: &[String]) -> Value {
        let labels: serde_json::Map<String, Value> =
            classes.iter().cloned().zip(self.labels.iter().map(|&count| count.into())).collect();
        let codecs = Codec::ALL.iter().zip(self.codecs).filter(|(_, stored)| stored.samples > 0).map(|(codec, stored)| {
            let bytes_per_pixel = stored.bytes_per_pixel();
            let value = json!({ "samples": stored.samples, "stored_bytes": stored.bytes, "bytes_per_pixel": bytes_per_pixel });
            (codec.name().to_owned(), value)
        });
        json!({
            "samples": self.samples,
            "codecs": codecs.collect::<serde_json::Map<_, _>>(),
            "width": self.width.json(self.samples),
            "height": self.height.json(self.samples),
            "pixels": self.pixels.json(self.samples),
            "megapixels": self.megapixels(),
            "stored_bytes": self.stored_bytes,
            "bytes_per_pixel": self.bytes_per_pixel(),
            "labels": labels,
            "unlabelled": self.unlabelled,
        })
    }

    fn print(&self, name: &str, classes: &[String]) -> Result<(), Failure> {
        print(format_args!("{name}: {}", text::count(self.samples, "sample")))?;
        print(format_args!("  width   {} px", self.width.text(self.samples)))?;
        print(format_args!("  height  {} px", self.height.text(self.samples)))?;
        let [megapixels, mean] = [self.megapixels(), self.pixels.mean(self.samples) / 1e6];
        print(format_args!("  pixels  {megapixels:.1} megapixels, mean {mean:.3}"))?;
        print(format_args!(
            "  stored  {}, {:.3} bytes a pixel",
            text::bytes(self.stored_bytes),
            self.bytes_per_pixel()
        ))?;
        for (codec, stored) in Codec::ALL.iter().zip(self.codecs).filter(|(_, stored)| stored.samples > 0) {
            let [name, samples, bytes] =
                [codec.name().to_owned(), text::count(stored.samples, "sample"), text::bytes(stored.bytes)];
            print(format_args!("    {name:4}  {samples}, {bytes}, {:.3} bytes a pixel", stored.bytes_per_pixel()))?;
        }
        print(format_args!(
            "  labels  {}, {} samples without one",
            text::count(classes.len() as u64, "class"),
            self.unlabelled
        ))?;
        for (class, &count) in classes.iter().zip(&self.labels).take(SHOWN) {
            print(format_args!("    {:>9}  {}", text::thousands(count), text::one_line(class)))?;
        }
        if classes.len() > SHOWN {
            let fewest = self.labels.iter().min().copied().unwrap_or(0);
            let most = self.labels.iter().max().copied().unwrap_or(0);
            let more = text::count((classes.len() - SHOWN) as u64, "class");
            print(format_args!("    ... {more} more; {fewest} to {most} samples a class over all"))?;
        }
        Ok(())
    }
}
