//! `metacl-shard inspect`: what a dataset holds.

use std::fs;
use std::path::PathBuf;

use metacl::shard::{Codec, ShardSet};
use serde_json::{Value, json};

use super::extract::codec_name;
use super::text::{self, one_line, print};
use super::{Failure, Outcome, dataset};

const CODECS: [Codec; 4] = [Codec::Coef, Codec::Jpeg, Codec::Raw, Codec::Png];

/// Show what a dataset holds
///
/// Reads the index only. With --json: samples, source_bytes (files or pixels as they came), stored_bytes (records), file_bytes (whole
/// shard files) and codecs (samples by codec: coef, jpeg, raw, png), in sum and under splits, there also files, classes, metadata
/// and identity (a digest that changes when a byte of any file does).
///
/// Example: metacl-shard inspect data/cifar10
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// Dataset, split folder or .mcs file
    dst: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let mut total = Counts::default();
    let mut splits = serde_json::Map::new();
    for place in dataset::splits(&args.dst)? {
        let set = place.open()?;
        let files = place.files()?;
        let counts = Counts::of(&set, &files)?;
        if args.json {
            splits.insert(place.name, split_json(&set, &counts, files.len()));
        } else {
            print_split(&place.name, &set, &counts, files.len())?;
        }
        total.add(&counts);
    }
    if args.json {
        let mut whole = total.json();
        whole["splits"] = splits.into();
        text::print_json(&whole)?;
    }
    Ok(Outcome::Done)
}

#[derive(Default)]
struct Counts {
    samples: u64,
    source_bytes: u64,
    stored_bytes: u64,
    file_bytes: u64,
    /// Samples by [`CODECS`].
    codecs: [u64; 4],
}

impl Counts {
    fn of(set: &ShardSet, files: &[PathBuf]) -> Result<Self, Failure> {
        let mut counts = Self { samples: set.len(), source_bytes: set.source_bytes(), ..Self::default() };
        for index in 0..set.len() {
            let info = set.info(index)?;
            counts.stored_bytes += info.length;
            for (count, codec) in counts.codecs.iter_mut().zip(CODECS) {
                *count += u64::from(info.codec == codec);
            }
        }
        for file in files {
            counts.file_bytes += fs::metadata(file)?.len();
        }
        Ok(counts)
    }

    fn add(&mut self, other: &Self) {
        self.samples += other.samples;
        self.source_bytes += other.source_bytes;
        self.stored_bytes += other.stored_bytes;
        self.file_bytes += other.file_bytes;
        self.codecs.iter_mut().zip(other.codecs).for_each(|(count, more)| *count += more);
    }

    fn json(&self) -> Value {
        let codecs = CODECS.map(codec_name).into_iter().zip(self.codecs);
        json!({
            "samples": self.samples,
            "source_bytes": self.source_bytes,
            "stored_bytes": self.stored_bytes,
            "file_bytes": self.file_bytes,
            "codecs": codecs.map(|(name, count)| (name.to_owned(), count.into())).collect::<serde_json::Map<_, _>>(),
        })
    }
}

fn split_json(set: &ShardSet, counts: &Counts, files: usize) -> Value {
    let mut split = counts.json();
    split["files"] = files.into();
    split["classes"] = set.classes().into();
    split["metadata"] = json!(set.metadata());
    split["identity"] = format!("{:032x}", set.identity()).into();
    split
}

fn print_split(name: &str, set: &ShardSet, counts: &Counts, files: usize) -> Result<(), Failure> {
    let [samples, files] = [(counts.samples, "sample"), (files as u64, "file")].map(|(n, noun)| text::count(n, noun));
    let classes = text::count(set.classes().len() as u64, "class");
    print(format_args!("{name}: {samples} of {classes} in {files}"))?;
    let by_codec = CODECS.into_iter().zip(counts.codecs).filter(|&(_, count)| count > 0);
    let codecs: Vec<String> = by_codec.map(|(codec, count)| format!("{} {}", text::thousands(count), codec_name(codec))).collect();
    print(format_args!("  codecs    {}", codecs.join(", ")))?;
    let [source, stored, file] = [counts.source_bytes, counts.stored_bytes, counts.file_bytes].map(text::bytes);
    print(format_args!("  bytes     {source} at the source, {stored} stored, {file} with index"))?;
    print(format_args!("  identity  {:032x}", set.identity()))?;
    for (key, value) in set.metadata() {
        print(format_args!("  {:8}  {}", one_line(key), one_line(value)))?;
    }
    Ok(())
}
