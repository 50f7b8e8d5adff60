//! The loader end to end on one and two workers, and its parts alone on one thread: what threads, slots and planning add.
//!
//! One loader runs through all samples of a bench, as in training: its start, and the first touch of its slots, are not counted. The clock
//! starts when the batches that were made ahead are gone, and stops in the same state, so that all CPU time of the process belongs to the
//! steps between.

mod common;

use std::path::Path;
use std::sync::Arc;

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

/// What the next `steps` batches of the loader hold, added up.
fn take(loader: &mut Loader, steps: u64) -> u64 {
    let batches = loader.by_ref().take(steps as usize);
    batches.map(|batch| sum(batch.expect("sound records").bytes())).sum()
}

fn sum(bytes: &[u8]) -> u64 {
    // A byte of each cache line: the benches are not about reading batches.
    bytes.iter().step_by(64).map(|byte| u64::from(*byte)).sum()
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
) -> u64 {
    let row_bytes = renderer.spec().bytes();
    let mut total = 0;
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
        total += sum(batch);
    }
    total
}

fn loader(c: &mut criterion::Criterion<common::CpuTime>) {
    let parent = tempfile::tempdir().expect("a temporary folder");
    let (photos, icons) = (photos(&parent.path().join("photos")), icons(&parent.path().join("icons")));
    let mut group = c.benchmark_group("loader");
    for (recipe, set, batch) in
        [(Recipe::Rrc, &photos, 16), (Recipe::Simclr, &photos, 16), (Recipe::Cifar, &icons, 512)]
    {
        let planner = planner(recipe, batch.min(set.len() as u32), set);
        let plans: Vec<_> = (0..STEPS).map(|step| plan(set, &planner, step)).collect();
        let (mut decoder, mut renderer) = (Decoder::new(Limits::default()), Renderer::new(recipe.spec()));
        let mut rows = Vec::new();
        let expected = by_hand(set, &plans, &mut decoder, &mut renderer, &mut rows);
        group.throughput(common::each(plans.iter().map(EpisodePlan::images).sum()));
        let name = format!("{recipe:?}").to_lowercase();
        group.bench_function(BenchmarkId::new(&name, "parts"), |b| {
            b.iter(|| by_hand(set, &plans, &mut decoder, &mut renderer, &mut rows));
        });
        for workers in [1, 2] {
            let mut loader = endless(set, &planner, workers);
            assert_eq!(take(&mut loader, STEPS), expected, "the loader delivers other bytes");
            group.bench_function(BenchmarkId::new(&name, format!("{workers} workers")), |b| {
                b.iter_custom(|iterations| {
                    // Those made ahead, and one more, for which it waits.
                    std::hint::black_box(take(&mut loader, SLOTS as u64 + 1));
                    let start = common::CpuTime.start();
                    std::hint::black_box(take(&mut loader, iterations * STEPS));
                    common::CpuTime.end(start)
                });
            });
        }
    }
}

criterion_group! { name = benches; config = common::criterion(); targets = loader }
criterion_main!(benches);
