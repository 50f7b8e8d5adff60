//! `metacl-shard bench`: how many views a second this shard gives on this machine, and what bounds it.
//!
//! [`usage`]: what the process has used. [`report`]: figures as text and JSON. [`verdict`]: figures to words.

mod report;
mod usage;
mod verdict;

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Instant;

use metacl::episode::{Order, Planner};
use metacl::loader::{Delivery, Executor, LoadError, LoaderOptions, load_views};
use metacl::shard::{Codec, ShardSet, Storage, Verify};
use xxhash_rust::xxh3::Xxh3;

use super::convert::all_cores;
use super::recipe::{RecipeName, Source};
use super::{Failure, Outcome, text};
use crate::resident::Memory;
use report::Report;
use usage::Usage;

/// Measure how fast the loader gives augmented views of a dataset
///
/// Runs the training loader (read, check, decode, augment, batches of 64 images, 512 for cifar) on shuffled samples and drops the
/// batches. Prints samples/s (a sample is one image with all its views), CPU time, memory, the share of each stage, and what
/// bounds the rate. CPU-seconds are those of the whole process; where other programs share the cores, trust them more than samples/s.
///
/// Recipes: rrc (one view of 224 px: crop 0.08..1 bicubic, mirror; u8), simclr (two views of 224 px: also jitter 0.8 0.8 0.8 0.2,
/// gray, blur; u8), cifar (two views of 32 px: crop, mirror, jitter 0.4 0.4 0.4 0.1, gray; f32 in 0..1).
///
/// With --json also `digest`, XXH3-128 of all delivered bytes: it depends on data, recipe, views, seed and samples, and not on workers,
/// on how JPEGs are stored (coef or jpeg), or, where nothing is blurred, on the executor. Its CPU time is not counted.
///
/// Example: metacl-shard bench data/imagenet --recipe simclr --workers 8 --samples 20000
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,
    /// Views of each image [default: the recipe's]
    #[arg(long, value_name = "V")]
    views: Option<NonZeroU32>,
    /// Worker threads [default: the cores this process may use]
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// How many samples, rounded up to whole batches [default: 4096, cifar 65536]
    #[arg(long, value_name = "N")]
    samples: Option<NonZeroU64>,
    /// Who renders the views
    #[arg(long, value_enum, default_value_t = ExecutorName::Fast)]
    executor: ExecutorName,
    /// When checksums are compared
    #[arg(long, value_enum, default_value_t = VerifyName::Always)]
    verify: VerifyName,
    /// Print figures and digest as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ExecutorName {
    /// The fastest code for this CPU
    Fast,
    /// Plain code, same bytes
    Scalar,
    /// The definition, pixel by pixel: very slow; blur may differ by one level
    Reference,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum VerifyName {
    /// At every read
    Always,
    /// At the first read of each record
    First,
    /// Not at all
    Never,
}

pub(super) fn run(args: &Args, storage: &Storage) -> Result<Outcome, Failure> {
    let executor = executor(args.executor)?;
    let place = args.source.place(storage)?;
    let verify = match args.verify {
        VerifyName::Always => Verify::Always,
        VerifyName::First => Verify::First,
        VerifyName::Never => Verify::Never,
    };
    let set = Arc::new(place.open_whole()?.with_verify(verify));
    let planner = planner(args, &set)?;
    let view = planner.spec().view;
    let batch = u64::from(planner.spec().batch);
    let cifar = matches!(args.source.recipe, RecipeName::Cifar);
    let samples = args.samples.map_or(if cifar { 65_536 } else { 4_096 }, NonZeroU64::get);
    let workers = args.workers.map_or_else(all_cores, NonZeroUsize::get);
    let options = LoaderOptions {
        workers,
        limits: args.source.limits(),
        executor,
        delivery: if cifar { Delivery::UnitF32 } else { Delivery::U8 },
        ..LoaderOptions::default()
    };
    let stores = stores(&set, samples)?;

    let (start, before) = (Instant::now(), Usage::now());
    let (mut memory, mut digest, mut digest_cpu) = (Memory::now(), Xxh3::new(), 0.0);
    let mut loader = load_views(set.clone(), planner, options, 0..samples.div_ceil(batch))?;
    for batch in &mut loader {
        let batch = batch.map_err(|error: LoadError| Failure::Failed(error.to_string()))?;
        memory = memory.most(Memory::now());
        if args.json {
            let cpu = usage::thread_cpu();
            digest.update(batch.bytes());
            digest_cpu += usage::thread_cpu() - cpu;
        }
    }
    let wall = start.elapsed().as_secs_f64();
    let used = Usage::now().since(&before);
    let report = Report {
        stats: loader.stats(),
        seconds: wall,
        cpu: used.cpu - digest_cpu,
        used,
        memory,
        workers,
        stores,
        view,
        verify: args.verify,
        executor: args.executor,
        recipe: args.source.recipe,
        seed: args.source.seed,
        kernels: metacl::augment::cpu::Kernels::fastest().name(),
    };
    if args.json {
        text::print_json(&report.json(digest.digest128()))?;
    } else {
        text::print(report.text())?;
    }
    Ok(Outcome::Done)
}

fn planner(args: &Args, set: &ShardSet) -> Result<Planner, Failure> {
    let mut views = args.source.recipe.recipe().views();
    if let Some(count) = args.views {
        views = vec![views[0]; count.get() as usize];
    }
    let most = if matches!(args.source.recipe, RecipeName::Cifar) { 512 } else { 64 };
    let (samples, order) = (set.len(), Order::Shuffled { seed: args.source.seed });
    args.source.planner(samples, samples.min(most) as u32, order, views)
}

fn executor(name: ExecutorName) -> Result<Executor, Failure> {
    match name {
        ExecutorName::Fast => Ok(Executor::Fast),
        ExecutorName::Scalar => Ok(Executor::Scalar),
        #[cfg(feature = "reference")]
        ExecutorName::Reference => Ok(Executor::Reference),
        #[cfg(not(feature = "reference"))]
        ExecutorName::Reference => Err(Failure::Usage(
            "--executor reference: this program was built without the feature `reference`; use fast or scalar".into(),
        )),
    }
}

/// How the samples of a run are stored, by codec: of the first ones, as counting millions would take longer than the run.
fn stores(set: &ShardSet, samples: u64) -> Result<BTreeMap<Codec, u64>, Failure> {
    let mut stores = BTreeMap::new();
    for index in 0..samples.min(set.len()) {
        *stores.entry(set.info(index)?.codec).or_insert(0) += 1;
    }
    Ok(stores)
}
