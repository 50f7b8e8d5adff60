//! `metacl-shard synthetic`: the generated set.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

use metacl::config::parse_bytes;
use metacl::image::Size;
use metacl::shard::ingest::synthetic::{Class, MAX_CLASSES, SIDES, Synthetic};
use metacl::shard::{Codec, Storage};

use super::convert::all_cores;
use super::destination::Destination;
use super::output::Output;
use super::prepare::Prepared;
use super::split::{self, Corrupt, Plan};
use super::text;
use super::{Failure, Outcome};

/// Make a generated image classification set
///
/// Textured shapes over cluttered backgrounds. A class is a shape with a texture (striped-ring); position, size, rotation, colours,
/// light, background and noise are drawn anew for each image. The same seed gives the same bytes with any number of workers.
/// Images are stored raw; labels go round the classes in turn.
///
/// Example: metacl-shard synthetic data/shapes --train 4000 --test 1000
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// Dataset folder to make
    dst: PathBuf,
    /// Classes
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_CLASSES)))]
    classes: u32,
    /// Training images
    #[arg(long, value_name = "N", default_value = "4000")]
    train: NonZeroU64,
    /// Test images; 0 makes no test split
    #[arg(long, value_name = "N", default_value_t = 1000)]
    test: u64,
    /// Side of the square images, in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 32,
        value_parser = clap::value_parser!(u32).range(i64::from(*SIDES.start())..=i64::from(*SIDES.end())))]
    size: u32,
    /// Seed of everything that is drawn
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Largest shard file, e.g. 512M or 2G
    #[arg(long, value_name = "BYTES", default_value = "1G", value_parser = parse_bytes)]
    shard_size: u64,
    /// Threads that draw [default: all cores]
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// For a DST that is a URL: folder with room for the dataset, which is made there first [default: the system's]
    #[arg(long, value_name = "FOLDER")]
    stage: Option<PathBuf>,
}

pub(super) fn run(args: &Args, storage: &Storage) -> Result<Outcome, Failure> {
    let set = Synthetic::new(args.classes, args.size, args.seed)
        .expect("the command line was checked against the set's limits");
    let classes = set.class_names();
    let splits: Vec<(u32, &str, u64)> =
        [(0, "train", args.train.get()), (1, "test", args.test)].into_iter().filter(|&(.., count)| count > 0).collect();
    let names: Vec<&str> = splits.iter().map(|&(_, name, _)| name).collect();
    let destination = Destination::new(&args.dst, args.stage.as_deref(), storage)?;
    destination.refuse_existing(&names, &classes)?;
    let (mut output, _) = Output::create(destination.folder(), &names, &classes)?;

    let mut reports = Vec::new();
    for (number, name, count) in splits {
        let plan = Plan {
            name,
            count,
            classes: &classes,
            metadata: metadata(args),
            shard_size: args.shard_size,
            workers: args.workers.map_or_else(all_cores, NonZeroUsize::get),
            corrupt: Corrupt::Error,
        };
        let tag = |index| (Cow::Owned(sample_name(&set, index)), set.label(index));
        let size = Size::new(args.size, args.size);
        let draw = |_: &mut (), index| {
            let bytes = set.draw(number, index);
            let source_bytes = bytes.len() as u64;
            Ok(Prepared { bytes, codec: Codec::Raw, size, source_bytes, shrunk: false, kept: None })
        };
        reports.push(split::write(&output.folder(name), &plan, None, tag, || (), draw)?);
        output.complete(name);
    }
    output.finish()?;
    destination.publish()?;
    reports.iter().try_for_each(|report| text::print(report.line()))?;
    Ok(Outcome::Done)
}

/// For instance `striped-ring/000001`.
fn sample_name(set: &Synthetic, index: u64) -> String {
    format!("{}/{index:06}", Class::of(set.label(index)).to_string().to_lowercase())
}

fn metadata(args: &Args) -> BTreeMap<String, String> {
    let entries =
        [("source", "synthetic".to_owned()), ("format", "synthetic".to_owned()), ("seed", args.seed.to_string())];
    entries.map(|(key, value)| (key.to_owned(), value)).into_iter().chain([split::tool()]).collect()
}
