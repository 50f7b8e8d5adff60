//! Whole batches, without a network: from records in the page cache, or plans alone, to views on the device.

use std::sync::Arc;
use std::time::Instant;

use metacl::augment::TaskPolicy;
use metacl::augment::cuda::{Output, ValueKind};
use metacl::augment::recipe::Recipe;
use metacl::episode::{EpisodeSpec, Order, Planner};
use metacl::image::Size;
use metacl::loader::{Delivery, Expansions, LoaderOptions, load_sources, load_views};
use metacl::shard::ShardSet;
use metacl::stage::{Rendered, Resident, Stage};

use crate::report::Report;
use crate::{Bench, Outcome, clock, data};

/// Workers of the loader.
const WORKERS: usize = 4;

/// Batches that it works ahead.
const SLOTS: usize = 4;

/// Samples a second of the route whose records the device expands, from the page cache on.
const LEAST_SAMPLES: f64 = 20_000.0;

/// Views a second of a dataset that lies on the device.
const LEAST_ICON_VIEWS: f64 = 1e6;

const LEVELS: Output = Output { kind: ValueKind::U8, channels_last: false };
const F32: Output = Output { kind: ValueKind::F32, channels_last: false };
const BF16: Output = Output { kind: ValueKind::Bf16, channels_last: true };

/// One view of 224 px of each photo, records expanded by the workers and by the device.
pub(crate) fn photos(bench: &Bench, report: &mut Report) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let set = bench.photos.dataset(folder.path(), bench.scale.samples)?;
    let planner = planner(Recipe::Rrc, bench.scale.photos.min(set.len() as usize) as u32, &set)?;
    for expansions in [Expansions::Host, Expansions::Device] {
        let route = Route::Sources(expansions);
        check(bench, &set, &planner, &route)?;
        let figures = run(bench, &set, &planner, BF16, &route, bench.scale.photo_steps)?;
        let name = format!("rrc 224 px end to end, {WORKERS} workers, expanded by {expansions:?}");
        let name = name.replace("Host", "host").replace("Device", "device");
        match expansions {
            Expansions::Host => report.add(name.clone(), figures.samples_per_s, "samples/s"),
            Expansions::Device => report.expect(name.clone(), figures.samples_per_s, "samples/s", LEAST_SAMPLES),
        }
        report.add(format!("{name}: CPU time"), figures.cpu_us, "us/sample");
    }
    Ok(())
}

/// Two views of 32 px of each icon of a dataset that lies on the device; the host draws the plans.
pub(crate) fn icons(bench: &Bench, report: &mut Report) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let set = data::icons(folder.path(), bench.scale.icons)?;
    let route = Route::Resident(Resident::upload(&set, Size::new(32, 32), bench.engine.gpu())?);
    let planner = planner(Recipe::Cifar, bench.scale.icon_batch, &set)?;
    check(bench, &set, &planner, &route)?;
    let figures = run(bench, &set, &planner, F32, &route, bench.scale.icon_steps)?;
    let name = format!("cifar 32 px end to end, resident, batch {}", bench.scale.icon_batch);
    let views = planner.spec().views.len() as f64;
    report.expect(name.clone(), views * figures.samples_per_s, "views/s", LEAST_ICON_VIEWS);
    report.add(format!("{name}: CPU time"), figures.cpu_us / views, "us/view");
    Ok(())
}

/// Where pixels come from.
enum Route {
    Sources(Expansions),
    Resident(Resident),
}

struct Figures {
    samples_per_s: f64,
    /// Of all threads, in microseconds a sample.
    cpu_us: f64,
}

fn planner(recipe: Recipe, batch: u32, set: &ShardSet) -> Outcome<Planner> {
    let spec = EpisodeSpec {
        seed: 3,
        batch,
        order: Order::Shuffled { seed: 3 },
        views: recipe.views(),
        task: TaskPolicy::Upright,
        view: recipe.spec(),
        rank: (0, 1),
    };
    Ok(Planner::new(spec, set.len())?)
}

fn options(delivery: Delivery) -> LoaderOptions {
    LoaderOptions { workers: WORKERS, slots: SLOTS, delivery, ..LoaderOptions::default() }
}

/// Compares the first batches with the CPU's.
fn check(bench: &Bench, set: &Arc<ShardSet>, planner: &Planner, route: &Route) -> Outcome<()> {
    let mut expected = load_views(set.clone(), planner.clone(), options(Delivery::U8), 0..2)?;
    each(bench, set, planner, LEVELS, route, 2, |_, stage, rendered| {
        let batch = expected.next().ok_or("the CPU's loader delivers fewer batches")??;
        if stage.read(rendered)? != batch.bytes() {
            return Err(format!("step {}: not the CPU's batch", batch.plan().step).into());
        }
        Ok(())
    })
}

/// `steps` batches, none of which anybody looks at, out of a longer run: memory has grown before, and the loader works ahead at the end as at
/// the start.
fn run(
    bench: &Bench,
    set: &Arc<ShardSet>,
    planner: &Planner,
    output: Output,
    route: &Route,
    steps: u64,
) -> Outcome<Figures> {
    let (first, last) = (steps / 10 + 2, steps / 10 + 2 + steps);
    let (mut start, mut end) = (None, None);
    each(bench, set, planner, output, route, last + 2 * SLOTS as u64, |step, _, _| {
        match step {
            _ if step == first => start = Some((Instant::now(), clock::cpu_time())),
            _ if step == last => end = Some((Instant::now(), clock::cpu_time())),
            _ => {}
        }
        Ok(())
    })?;
    let ((start, before), (end, after)) = start.zip(end).ok_or("the loader delivers fewer batches")?;
    let samples = (steps * u64::from(planner.spec().batch)) as f64;
    let (seconds, cpu) = ((end - start).as_secs_f64(), (after - before).as_secs_f64());
    Ok(Figures { samples_per_s: samples / seconds, cpu_us: 1e6 * cpu / samples })
}

/// Renders `steps` batches and hands each to `look`, with its number; returns when the device is done.
fn each(
    bench: &Bench,
    set: &Arc<ShardSet>,
    planner: &Planner,
    output: Output,
    route: &Route,
    steps: u64,
    mut look: impl FnMut(u64, &mut Stage, Rendered) -> Outcome<()>,
) -> Outcome<()> {
    let rows = planner.most_rows(set.len());
    let mut stage = Stage::new(&bench.engine, planner.spec().view, output, rows)?;
    match route {
        Route::Sources(expansions) => {
            let options = options(Delivery::U8);
            let (set, planner, gpu) = (set.clone(), planner.clone(), bench.engine.gpu());
            let mut loader = load_sources(set, planner, options, *expansions, gpu, 0..steps)?;
            for step in 0..steps {
                stage.keep_at_most(SLOTS - 1)?;
                let Some(batch) = loader.next() else { break };
                let rendered = stage.render(batch?, None, &bench.stream)?;
                look(step, &mut stage, rendered)?;
            }
        }
        Route::Resident(resident) => {
            let plans = load_views(set.clone(), planner.clone(), options(Delivery::Nothing), 0..steps)?;
            for (step, batch) in (0..).zip(plans) {
                let rendered = stage.render_resident(resident, batch?.plan(), None, &bench.stream)?;
                look(step, &mut stage, rendered)?;
            }
        }
    }
    Ok(stage.drain()?)
}
