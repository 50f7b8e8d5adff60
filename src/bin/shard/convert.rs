//! `metacl-shard convert`: a published dataset to shards.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::{Component, Path, PathBuf};

use clap::ValueEnum;
use metacl::config::parse_bytes;
use metacl::rng::{Permutation, Purpose, Stream};
use metacl::shard::Storage;
use metacl::shard::ingest::{self, Dataset, Format, LeftOut, Split};

use super::destination::Destination;
use super::limits::Limits;
use super::output::Output;
use super::part::Part;
use super::prepare::{Rules, Store, Worker};
use super::split::{self, Plan, Report};
use super::text;
use super::{Failure, Outcome};

/// Left-out files that are named on standard error; all are in `rejected.tsv`.
const NAMED: usize = 20;

/// Convert a dataset to shards
///
/// SRC is one of
///   folder      SRC/train/CLASS/IMAGE (also val, test), or SRC/CLASS/IMAGE, which becomes train;
///               JPEG and PNG; labels are the ranks of the sorted class names
///   imagenet    ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar (with --labels), or a folder with both
///   webdataset  a tar, or a folder of tars, of KEY.jpg|jpeg|png with KEY.cls or KEY.json; split by name:
///               train-000.tar, val-000.tar, test-000.tar, otherwise train
///   cifar       CIFAR-10 or CIFAR-100, binary or Python version, as folder, .tar or .tar.gz
///
/// Images are stored in the order of their sorted paths (CIFAR: file order), as --store says; pixels stay pixels, PNG files stay files
/// unless --store raw. Each is decoded once to find damage. JPEGs that cannot become coefficients (CMYK, 12 bits, 4:4:0, 4:1:1) stay
/// files, and are counted by kind.
/// Files that cannot be taken are listed at the end and in DST/SPLIT/rejected.tsv (exit code 3). Nothing is overwritten; a split
/// appears under its name only when all are whole.
///
/// DST may be a URL (s3://, gs://, az://): the dataset is made in a folder of --stage first, then copied; a split is seen there when
/// its last object is whole.
/// With --part i/n, only the i-th of n stretches of equal length of that order, into DST/part-i-of-n: run it for each i, anywhere, then
/// `metacl-shard merge`.
///
/// Example: metacl-shard convert ~/imagenet data/imagenet --max-side 512
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// Folder or archive to read
    src: PathBuf,
    /// Dataset folder to make, or its URL; may hold other splits of the same classes already
    dst: PathBuf,
    /// What SRC is
    #[arg(long, value_enum, default_value_t = FormatArg::Auto)]
    format: FormatArg,
    /// How images are stored
    #[arg(long, value_enum, default_value_t = Store::default())]
    store: Store,
    /// Shrink images whose longer side has more than N pixels (Lanczos, JPEG quality 95) [default: keep all]
    #[arg(long, value_name = "N")]
    max_side: Option<NonZeroU32>,
    #[command(flatten)]
    limits: Limits,
    /// Largest shard file, e.g. 512M or 2G
    #[arg(long, value_name = "BYTES", default_value = "1G", value_parser = parse_bytes)]
    shard_size: u64,
    /// Threads that read and check images [default: all cores]
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// Take only N samples of each split, chosen at random by --seed [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<NonZeroU64>,
    /// Seed of --limit
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Labels of ILSVRC2012_img_val.tar: lines `NAME SYNSET`, or the devkit's ILSVRC2012_validation_ground_truth.txt with --synsets
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Lines `ID SYNSET` (ILSVRC2012_ID, from the devkit's meta.mat), for the devkit's label file
    #[arg(long, value_name = "FILE", requires = "labels")]
    synsets: Option<PathBuf>,
    /// Convert only part i of n, counted from 1, e.g. 3/16
    #[arg(long, value_name = "i/n")]
    part: Option<Part>,
    /// For a DST that is a URL: folder with room for the dataset, which is made there first [default: the system's]
    #[arg(long, value_name = "FOLDER")]
    stage: Option<PathBuf>,
    /// Do not decode each image once; damage then shows in training. What is recoded is checked all the same
    #[arg(long)]
    no_check: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum FormatArg {
    Auto,
    Folder,
    Imagenet,
    Webdataset,
    Cifar,
}

impl FormatArg {
    fn format(self) -> Option<Format> {
        match self {
            Self::Auto => None,
            Self::Folder => Some(Format::Folder),
            Self::Imagenet => Some(Format::Imagenet),
            Self::Webdataset => Some(Format::Webdataset),
            Self::Cifar => Some(Format::Cifar),
        }
    }
}

pub(super) fn run(args: &Args, storage: &Storage) -> Result<Outcome, Failure> {
    crate::memory::keep_freed_memory();
    let target = args.part.map_or_else(|| args.dst.clone(), |part| args.dst.join(part.folder()));
    let destination = Destination::new(&target, args.stage.as_deref(), storage)?;
    refuse_nested(args, &destination, None)?;
    let options =
        ingest::Options { format: args.format.format(), labels: args.labels.clone(), synsets: args.synsets.clone() };
    let mut dataset = ingest::read(&args.src, &options)?;
    refuse_nested(args, &destination, Some(dataset.format))?;
    if !cfg!(feature = "turbo") && args.store == Store::Jpeg {
        eprintln!(
            "metacl-shard: note: JPEGs stay files: only builds with libjpeg-turbo store coefficients, which decode faster"
        );
    }
    for (number, split) in (0..).zip(&mut dataset.splits) {
        take_subset(split, number, args);
        if let Some(part) = args.part {
            part.take(split);
        }
    }
    if args.part.is_some_and(|part| !part.is_first()) {
        dataset.left_out.clear();
    }
    // A part of few samples may have none of a split.
    dataset.splits.retain(|split| !split.items.is_empty() || !split.left_out.is_empty());
    if let (Some(part), true) = (args.part, dataset.splits.is_empty() && dataset.left_out.is_empty()) {
        text::print(format_args!("part {part}: no samples; merging does not ask for it"))?;
        return Ok(Outcome::Done);
    }
    let names: Vec<&str> = dataset.splits.iter().map(|split| split.name.as_str()).collect();
    let classes = dataset.splits.first().map(|split| split.classes.clone()).unwrap_or_default();
    destination.refuse_existing(&names, &classes)?;
    let mut output = Output::create(destination.folder(), &names, &classes)?;

    let Dataset { format, splits, left_out: mut outside } = dataset;
    let mut reports = Vec::new();
    for mut split in splits {
        let metadata = metadata(args, format, &mut split);
        let mut report = convert_split(args, &output.folder(&split.name), &split, metadata)?;
        report.left_out.splice(0..0, split.left_out);
        if report.samples > 0 {
            output.complete(&report.name);
            reports.push(report);
        } else if let Some(part) = args.part.filter(|_| !split.items.is_empty()) {
            let message =
                format!("part {part} of {}: none of its files can be taken; convert in fewer parts", split.name);
            return Err(Failure::Failed(message));
        } else {
            outside.extend(report.left_out);
        }
    }
    finish(args, &destination, output, reports, outside)
}

fn convert_split(
    args: &Args,
    folder: &Path,
    split: &Split,
    metadata: BTreeMap<String, String>,
) -> Result<Report, Failure> {
    let rules = Rules { store: args.store, max_side: args.max_side.map(NonZeroU32::get), check: !args.no_check };
    let limits = args.limits.decoder();
    let item = |index: u64| &split.items[index as usize];
    let plan = Plan {
        name: &split.name,
        count: split.items.len() as u64,
        classes: &split.classes,
        metadata,
        shard_size: args.shard_size,
        workers: args.workers.map_or_else(all_cores, NonZeroUsize::get),
    };
    let tag = |index| (Cow::Borrowed(item(index).name.as_str()), item(index).label);
    split::write(folder, plan, tag, || Worker::new(limits), |worker, index| worker.prepare(item(index), rules))
}

/// Lists what was left out, moves the splits to their places, says what was done.
fn finish(
    args: &Args,
    destination: &Destination,
    output: Output,
    mut reports: Vec<Report>,
    outside: Vec<LeftOut>,
) -> Result<Outcome, Failure> {
    let Some(first) = reports.first_mut() else {
        name_left_out(&outside);
        let reason = outside.first().map_or(String::new(), |l| format!(" (the first: {}: {})", l.name, l.reason));
        let message = format!(
            "{}: none of {} can be taken{reason}",
            args.src.display(),
            text::count(outside.len() as u64, "file")
        );
        return Err(Failure::Failed(message));
    };
    first.left_out.extend(outside);
    let mut lists = Vec::new();
    for report in &reports {
        lists.extend(output.list_rejected(&report.name, &report.left_out)?);
    }
    output.finish()?;
    destination.publish()?;

    for report in &reports {
        text::print(report.line())?;
        name_left_out(&report.left_out);
    }
    let left_out: u64 = reports.iter().map(|report| report.left_out.len() as u64).sum();
    if left_out == 0 {
        return Ok(Outcome::Done);
    }
    let lists: Vec<String> = lists.iter().map(|path| destination.shown(path)).collect();
    text::print(format_args!("left out: {}, listed in {}", text::count(left_out, "file"), lists.join(", ")))?;
    Ok(Outcome::LeftOut)
}

fn name_left_out(left_out: &[LeftOut]) {
    for LeftOut { name, reason } in left_out.iter().take(NAMED) {
        eprintln!("metacl-shard: left out: {}: {}", text::one_line(name), text::one_line(&reason.to_string()));
    }
    if left_out.len() > NAMED {
        eprintln!("metacl-shard: left out: ... and {} more", text::thousands((left_out.len() - NAMED) as u64));
    }
}

/// Keeps `--limit` of the items, in their order.
fn take_subset(split: &mut Split, number: u32, args: &Args) {
    let count = split.items.len() as u64;
    let Some(limit) = args.limit.map(NonZeroU64::get).filter(|&limit| limit < count) else { return };
    let order = Permutation::new(count, Stream::new(args.seed, Purpose::Split).key(), number);
    let mut chosen = vec![false; split.items.len()];
    (0..limit).for_each(|place| chosen[order.at(place) as usize] = true);
    let mut chosen = chosen.into_iter();
    split.items.retain(|_| chosen.next() == Some(true));
}

/// What the shard says about its making. No absolute path: a shard may be published.
fn metadata(args: &Args, format: &str, split: &mut Split) -> BTreeMap<String, String> {
    let mut metadata = std::mem::take(&mut split.metadata);
    let source = fs::canonicalize(&args.src).unwrap_or_else(|_| args.src.clone());
    let source = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
    metadata.extend([("source".to_owned(), source), ("format".to_owned(), format.to_owned())]);
    if let Some(store) = args.store.to_possible_value() {
        metadata.insert("store".to_owned(), store.get_name().to_owned());
    }
    if let Some(side) = args.max_side {
        metadata.insert("max_side".to_owned(), side.to_string());
    }
    if let Some(limit) = args.limit {
        metadata.extend([("limit".to_owned(), limit.to_string()), ("seed".to_owned(), args.seed.to_string())]);
    }
    metadata
}

/// The next conversion would read its own output.
fn refuse_nested(args: &Args, destination: &Destination, format: Option<&str>) -> Result<(), Failure> {
    if !destination.is_disk() {
        return Ok(());
    }
    let (Ok(src), Some(dst)) = (fs::canonicalize(&args.src), resolve(&args.dst)) else { return Ok(()) };
    // In other formats, a folder more beside the archives is not looked into.
    let in_tree = format == Some("folder") && dst.starts_with(&src);
    if src.starts_with(&dst) || in_tree {
        let [src, dst] = [args.src.display(), args.dst.display()];
        return Err(Failure::Usage(format!(
            "{dst}: DST and SRC ({src}) lie in one another; choose a folder beside SRC"
        )));
    }
    Ok(())
}

/// `path` without links, though its last parts need not exist yet; `None` where that cannot be told.
fn resolve(path: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(path).ok()?;
    let mut missing = Vec::new();
    let mut existing = absolute.as_path();
    loop {
        if let Ok(real) = fs::canonicalize(existing) {
            return Some(missing.iter().rev().fold(real, |path, part| path.join(part)));
        }
        match existing.components().next_back()? {
            Component::Normal(part) => missing.push(part),
            _ => return None,
        }
        existing = existing.parent()?;
    }
}

/// One worker a core.
pub(super) fn all_cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
