//! The loader end to end on one and two workers, and its parts alone on one thread: what threads, slots and planning add.
//!
//! One loader runs through all samples of a bench, as in training: its start, and the first touch of its slots, are not counted. The clock
//! starts when the batches that were made ahead are gone, and stops in the same state, so that all CPU time of the process belongs to the
//! steps between. What was delivered is compared before, not meanwhile: reading a batch is the consumer's work, and dear where another core wrote it.
//!
//! With `METACL_BENCH_PAIRS=N`, parts and loader also take turns, N times, and the ratio of their rates is printed.

mod common;

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::Measurement;
use criterion::{BenchmarkId, criterion_group, criterion_main};
use metacl::augment::TaskPolicy;
use metacl::augment::cpu::Renderer;
use metacl::augment::recipe::Recipe;
use metacl::augment::want::shared_region;
use metacl::decode::{Decoder, Limits, Want, reads_parts};
use metacl::episode::{EpisodePlan, EpisodeSpec, Order, Planner, SampleMeta};
use metacl::loader::{LoadError, Loader, LoaderOptions, load_views};
use metacl::shard::{Codec, NewSample, ShardSet, SplitWriter, WriteOptions};
use xxhash_rust::xxh3::Xxh3;

/// Steps of an iteration.
const STEPS: u64 = 24;
/// Batches in flight.
const SLOTS: usize = 3;

/// The photos as coefficient records where they can be.
fn photos(folder: &Path) -> Arc<ShardSet> {
    let mut writer = SplitWriter::create(folder, WriteOptions::default()).expect("a new folder");
    for photo in common::photos(64) {
        let (record, codec) = match common::record(&photo) {
            Some(record) => (record, Codec::Coef),
            None => (photo.jpeg, Codec::Jpeg),
        };
        let (bytes, size) = (&record[..], photo.size);
        let new = NewSample { bytes, size, codec, label: metacl::shard::NO_LABEL, name: "" };
        writer.append(&new).expect("room on the disk");
    }
    writer.finish().expect("room on the disk");
    Arc::new(ShardSet::open(folder).expect("just written"))
}

/// Small raw images.
fn icons(folder: &Path) -> Arc<ShardSet> {
    let mut writer = SplitWriter::create(folder, WriteOptions::default()).expect("a new folder");
    for number in 0..1024u32 {
        let bytes: Vec<u8> = (0..3072u32).map(|at| ((at * 7 + number * 13) % 251) as u8).collect();
        let (bytes, size) = (&bytes[..], metacl::image::Size::new(32, 32));
        let new = NewSample { bytes, size, codec: Codec::Raw, label: metacl::shard::NO_LABEL, name: "" };
        writer.append(&new).expect("room on the disk");
    }
    writer.finish().expect("room on the disk");
    Arc::new(ShardSet::open(folder).expect("just written"))
}

fn planner(recipe: Recipe, batch: u32, set: &ShardSet) -> Planner {
    let spec = EpisodeSpec {
        seed: 3,
        batch,
        order: Order::Shuffled { seed: 3 },
        views: recipe.views(),
        task: TaskPolicy::Upright,
        view: recipe.spec(),
        rank: (0, 1),
    };
    Planner::new(spec, set.len()).expect("enough samples")
}

/// A loader that does not end.
fn endless(set: &Arc<ShardSet>, planner: &Planner, workers: usize) -> Loader {
    let options = LoaderOptions { workers, slots: SLOTS, ..LoaderOptions::default() };
    load_views(set.clone(), planner.clone(), options, 0..u64::MAX).expect("threads")
}

/// The next `steps` batches of the loader, each seen by `look`.
fn take(loader: &mut Loader, steps: u64, mut look: impl FnMut(&[u8])) {
    let batches = loader.by_ref().take(steps as usize);
    batches.for_each(|batch| look(batch.expect("sound records").bytes()));
}

fn plan(set: &ShardSet, planner: &Planner, step: u64) -> EpisodePlan {
    let meta = |sample: u32| {
        let info = set.info(sample.into())?;
        Ok::<_, LoadError>(SampleMeta { size: info.size, label: info.label })
    };
    planner.plan(step, meta).expect("sound index")
}

/// The same on this thread, decode and render alone.
fn by_hand(
    set: &ShardSet,
    plans: &[EpisodePlan],
    decoder: &mut Decoder,
    renderer: &mut Renderer,
    batch: &mut Vec<u8>,
    mut look: impl FnMut(&[u8]),
) {
    let row_bytes = renderer.spec().bytes();
    for plan in plans {
        batch.resize(plan.views.len() * row_bytes, 0);
        for image in 0..plan.images() {
            let (size, stored) = (plan.sizes[image], set.stored(plan.samples[image].into()).expect("sound"));
            let codec = stored.info.codec;
            let shared = shared_region(plan.rows_of(image).map(|row| &plan.views[row]), size, reads_parts(codec));
            let rows: Vec<usize> = plan.rows_of(image).collect();
            let groups: Vec<&[usize]> = if shared.is_some() { vec![&rows] } else { rows.chunks(1).collect() };
            for group in groups {
                let region = shared.unwrap_or_else(|| plan.views[group[0]].region(size));
                let want = Want { region, verify: stored.check_parts };
                let region = decoder.decode(codec, &stored.bytes, size, want).expect("sound");
                for &row in group {
                    let out = &mut batch[row * row_bytes..][..row_bytes];
                    renderer.render(region, size, &plan.views[row], out).expect("a drawn plan fits");
                }
            }
        }
        look(batch);
    }
}

/// A digest of all bytes that `deliver` shows.
fn digest(deliver: impl FnOnce(&mut dyn FnMut(&[u8]))) -> u64 {
    let mut hash = Xxh3::new();
    deliver(&mut |bytes| hash.update(bytes));
    hash.digest()
}

/// Waits until the batches that a loader makes ahead are made.
fn settle() {
    let pause = Duration::from_millis(10);
    while {
        let start = common::CpuTime.start();
        std::thread::sleep(pause);
        common::CpuTime.end(start) > pause / 20
    } {}
}

/// Parts and loader in turn, `pairs` times: the loader's rate over that of its parts, median and quartiles, which what else runs on the machine moves less
/// than each alone.
fn print_ratio(name: &str, pairs: usize, parts: &mut dyn FnMut(), pass: &mut dyn FnMut(u64)) {
    let mut ratios: Vec<f64> = (0..pairs)
        .map(|_| {
            settle();
            let start = common::CpuTime.start();
            parts();
            let apart = common::CpuTime.end(start);
            pass(SLOTS as u64 + 1);
            let start = common::CpuTime.start();
            pass(STEPS);
            apart.as_secs_f64() / common::CpuTime.end(start).as_secs_f64()
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    let at = |quarter: usize| ratios[(pairs - 1) * quarter / 4];
    println!("loader/{name} over parts: {:.3} ({:.3}-{:.3})", at(2), at(1), at(3));
}

fn loader(c: &mut criterion::Criterion<common::CpuTime>) {
    let parent = tempfile::tempdir().expect("a temporary folder");
    let (photos, icons) = (photos(&parent.path().join("photos")), icons(&parent.path().join("icons")));
    let mut group = c.benchmark_group("loader");
    let pairs = std::env::var("METACL_BENCH_PAIRS").ok().map(|pairs| pairs.parse().expect("a number of pairs"));
    for (recipe, set, batch) in
        [(Recipe::Rrc, &photos, 16), (Recipe::Simclr, &photos, 16), (Recipe::Cifar, &icons, 512)]
    {
        let planner = planner(recipe, batch.min(set.len() as u32), set);
        let plans: Vec<_> = (0..STEPS).map(|step| plan(set, &planner, step)).collect();
        let (mut decoder, mut renderer) = (Decoder::new(Limits::default()), Renderer::new(recipe.spec()));
        let mut rows = Vec::new();
        let mut by_hand = |look: &mut dyn FnMut(&[u8])| {
            by_hand(set, &plans, &mut decoder, &mut renderer, &mut rows, look);
        };
        let expected = digest(&mut by_hand);
        group.throughput(common::each(plans.iter().map(EpisodePlan::images).sum()));
        let name = format!("{recipe:?}").to_lowercase();
        group.bench_function(BenchmarkId::new(&name, "parts"), |b| {
            b.iter(|| by_hand(&mut |batch| _ = black_box(batch)));
        });
        for workers in [1, 2] {
            let mut loader = endless(set, &planner, workers);
            assert_eq!(digest(|look| take(&mut loader, STEPS, look)), expected, "the loader delivers other bytes");
            let mut pass = |steps| take(&mut loader, steps, |batch| _ = black_box(batch));
            group.bench_function(BenchmarkId::new(&name, format!("{workers} workers")), |b| {
                b.iter_custom(|iterations| {
                    // Those made ahead, and one more, for which it waits.
                    pass(SLOTS as u64 + 1);
                    let start = common::CpuTime.start();
                    pass(iterations * STEPS);
                    common::CpuTime.end(start)
                });
            });
            if let Some(pairs) = pairs {
                let mut apart = || by_hand(&mut |batch| _ = black_box(batch));
                print_ratio(&format!("{name}/{workers} workers"), pairs, &mut apart, &mut pass);
            }
        }
    }
}

criterion_group! { name = benches; config = common::criterion(); targets = loader }
criterion_main!(benches);
