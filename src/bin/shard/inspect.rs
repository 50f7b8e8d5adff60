//! `metacl-shard inspect`: what a dataset holds.

use std::path::PathBuf;

use metacl::shard::{Codec, ShardFile, ShardSet, Storage};
use serde_json::{Value, json};

use super::split::SOURCE_BYTES;
use super::text::{self, one_line, print};
use super::{Failure, Outcome, dataset};

/// Show what a dataset holds
///
/// Reads the index only. With --json: samples, source_bytes (files or pixels as they came, of the
/// whole split), stored_bytes (records), file_bytes (shard files) and codecs (samples by codec: coef, jpeg, raw, png), in sum and under splits, there also files, classes, metadata
/// and identity (a digest that changes when a byte of any file does).
///
/// Example: metacl-shard inspect data/cifar10
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
    let mut total = Counts { source_bytes: Some(0), ..Counts::default() };
    let mut splits = serde_json::Map::new();
    for place in dataset::splits(&args.dst, storage)? {
        let set = place.open_whole()?;
        let counts = Counts::of(&set)?;
        if args.json {
            splits.insert(place.name, split_json(&set, &counts));
        } else {
            print_split(&place.name, &set, &counts)?;
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
    /// Unknown where the shard was not written by this program.
    source_bytes: Option<u64>,
    stored_bytes: u64,
    file_bytes: u64,
    /// Samples by [`Codec::ALL`].
    codecs: [u64; 4],
}

impl Counts {
    fn of(set: &ShardSet) -> Result<Self, Failure> {
        let mut counts = Self { samples: set.len(), source_bytes: source_bytes(set), ..Self::default() };
        for index in 0..set.len() {
            let info = set.info(index)?;
            counts.stored_bytes += info.length;
            for (count, codec) in counts.codecs.iter_mut().zip(Codec::ALL) {
                *count += u64::from(info.codec == codec);
            }
        }
        counts.file_bytes = set.shards().iter().map(ShardFile::bytes).sum();
        Ok(counts)
    }

    fn add(&mut self, other: &Self) {
        self.samples += other.samples;
        self.source_bytes = self.source_bytes.zip(other.source_bytes).map(|(all, more)| all + more);
        self.stored_bytes += other.stored_bytes;
        self.file_bytes += other.file_bytes;
        self.codecs.iter_mut().zip(other.codecs).for_each(|(count, more)| *count += more);
    }

    fn json(&self) -> Value {
        let codecs = Codec::ALL.map(Codec::name).into_iter().zip(self.codecs);
        json!({
            "samples": self.samples,
            "source_bytes": self.source_bytes,
            "stored_bytes": self.stored_bytes,
            "file_bytes": self.file_bytes,
            "codecs": codecs.map(|(name, count)| (name.to_owned(), count.into())).collect::<serde_json::Map<_, _>>(),
        })
    }
}

/// What `convert` noted: bytes of the whole split as they came.
fn source_bytes(set: &ShardSet) -> Option<u64> {
    set.metadata().get(SOURCE_BYTES)?.parse().ok()
}

fn split_json(set: &ShardSet, counts: &Counts) -> Value {
    let mut split = counts.json();
    split["files"] = set.shards().len().into();
    split["classes"] = set.classes().into();
    split["metadata"] = json!(set.metadata());
    split["identity"] = format!("{:032x}", set.identity()).into();
    split
}

fn print_split(name: &str, set: &ShardSet, counts: &Counts) -> Result<(), Failure> {
    let [samples, files] =
        [(counts.samples, "sample"), (set.shards().len() as u64, "file")].map(|(n, noun)| text::count(n, noun));
    let classes = text::count(set.classes().len() as u64, "class");
    print(format_args!("{name}: {samples} of {classes} in {files}"))?;
    let by_codec = Codec::ALL.into_iter().zip(counts.codecs).filter(|&(_, count)| count > 0);
    let codecs: Vec<String> =
        by_codec.map(|(codec, count)| format!("{} {}", text::thousands(count), codec.name())).collect();
    print(format_args!("  codecs    {}", codecs.join(", ")))?;
    let source = counts.source_bytes.map_or_else(|| "unknown".to_owned(), text::bytes);
    let [stored, file] = [counts.stored_bytes, counts.file_bytes].map(text::bytes);
    print(format_args!("  bytes     {source} at the source, {stored} stored, {file} with index"))?;
    print(format_args!("  identity  {:032x}", set.identity()))?;
    for (key, value) in set.metadata() {
        print(format_args!("  {:8}  {}", one_line(key), one_line(value)))?;
    }
    Ok(())
}
