//! `metacl-shard convert`: a published dataset to shards.
//!
//! - here: the arguments, and the way through. `begin`: what is to be done, and whether an interrupted run was to do the same. `finish`: lists,
//!   places, words. `nested`: a target within the source.

mod begin;
mod finish;
mod nested;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use metacl::config::parse_bytes;
use metacl::shard::Storage;
use metacl::shard::ingest::{self, Dataset, Format, Split};
use nested::refuse_nested;

use super::destination::Destination;
use super::journal::Journal;
use super::limits::Limits;
use super::output::{Output, Rejected};
use super::part::Part;
use super::prepare::{Rules, Store, Worker};
use super::split::{self, Corrupt, Plan, Report};
use super::text;
use super::{Failure, Outcome};

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
/// Files that cannot be taken are listed at the end and in DST/SPLIT/rejected.tsv (exit code 3); with --corrupt error the first of them
/// ends the conversion. Nothing is overwritten; a split appears under its name only when all are whole.
///
/// Files are finished one by one in DST/.unfinished. A conversion that was killed or failed there is gone on with by the same command and
/// --resume: finished files are read back and kept, the rest is made again, and the dataset is, to the byte, that of one that was not
/// interrupted. Other options, and a source whose files before that point were changed, are refused. Without --resume, finished files that
/// are left there are named, and nothing else is done. One process at a time makes a dataset in DST.
///
/// DST may be a URL (s3://, gs://, az://): the dataset is made in a folder of --stage first, then copied; a split is seen there when
/// its last object is whole. Interrupted, it begins anew: there is no --resume.
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
    /// Go on with what an interrupted conversion of the same kind left in DST; begin where there is nothing
    #[arg(long)]
    resume: bool,
    /// What to do about a file that cannot be taken: unreadable, damaged, too large, in no class folder
    #[arg(long, value_enum, default_value_t = Corrupt::Skip)]
    corrupt: Corrupt,
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
    if args.resume && !destination.is_disk() {
        let what = "--resume is for folders; convert to a folder with --part 1/1 --resume, then `metacl-shard merge` it to the URL";
        return Err(Failure::Usage(what.to_owned()));
    }
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
    begin::take_part(args, &mut dataset);
    if let (Some(part), true) = (args.part, dataset.splits.is_empty() && dataset.left_out.is_empty()) {
        text::print(format_args!("part {part}: no samples; merging does not ask for it"))?;
        return Ok(Outcome::Done);
    }
    begin::refuse_left_out(args, &dataset)?;
    let names: Vec<String> = dataset.splits.iter().map(|split| split.name.clone()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let classes = dataset.splits.first().map(|split| split.classes.clone()).unwrap_or_default();
    destination.refuse_existing(&names, &classes)?;
    let (mut output, mut journal) = match args.resume {
        true => Output::resume(destination.folder(), &names, &classes)?,
        false => Output::create(destination.folder(), &names, &classes)?,
    };
    let metadata = begin::begin(args, &mut dataset, output.stage(), &mut journal)?;

    let made = match journal.is_whole() {
        true => finish::take_over(&mut output, &journal),
        false => convert_splits(args, dataset, metadata, &mut output, &mut journal),
    };
    let left = (destination.is_disk() && journal.files() > 0).then(|| output.stage().to_owned());
    if left.is_some() {
        output.keep();
    }
    let ended = made.and_then(|made| finish::finish(args, &destination, output, made, &mut journal));
    ended.map_err(|failure| match left.filter(|stage| stage.exists()) {
        Some(stage) => failure.with(&format!(
            "; {} kept in {}: the same command with --resume goes on, or delete that folder",
            text::count(journal.files() as u64, "finished file"),
            stage.display()
        )),
        None => failure,
    })
}

/// What became of the splits that have samples, and files left out that belong to none of them.
type Made = (Vec<Report>, Vec<Rejected>);

fn convert_splits(
    args: &Args,
    dataset: Dataset,
    metadata: Vec<BTreeMap<String, String>>,
    output: &mut Output,
    journal: &mut Journal,
) -> Result<Made, Failure> {
    let mut outside: Vec<Rejected> = dataset.left_out.into_iter().map(Rejected::from).collect();
    let mut reports = Vec::new();
    for (mut split, metadata) in dataset.splits.into_iter().zip(metadata) {
        let left_out = std::mem::take(&mut split.left_out);
        let mut report = convert_split(args, &output.folder(&split.name), &split, metadata, journal)?;
        report.left_out.splice(0..0, left_out.into_iter().map(Rejected::from));
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
    Ok((reports, outside))
}

fn convert_split(
    args: &Args,
    folder: &Path,
    split: &Split,
    metadata: BTreeMap<String, String>,
    journal: &mut Journal,
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
        corrupt: args.corrupt,
    };
    let tag = |index| (Cow::Borrowed(item(index).name.as_str()), item(index).label);
    split::write(
        folder,
        &plan,
        Some(journal),
        tag,
        || Worker::new(limits),
        |worker, index| worker.prepare(item(index), rules),
    )
}

/// One worker a core.
pub(super) fn all_cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
