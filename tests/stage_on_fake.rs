//! Batches through copies, streams and kernels of a device that is not there: the CPU loader's bytes, in whatever order the device runs what
//! was queued.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod image_support;
mod kernels_support;
#[path = "kernels_coef/pictures.rs"]
mod pictures;
mod stage_support;

use std::ops::Range;
use std::sync::Arc;

use metacl::augment::cuda::{MixArgs, Output, ValueKind};
use metacl::augment::{TaskPolicy, ViewSpec, recipe};
use metacl::episode::{EpisodeSpec, Order, Planner};
use metacl::gpu::GpuError;
use metacl::gpu::fake::{Fake, Mode};
use metacl::loader::{Delivery, Expansions, LoaderOptions, OnCorrupt, load_sources, load_views, load_views_pinned};
use metacl::shard::{ShardSet, Verify};
use metacl::stage::{Engine, EngineError, Resident, Stage, StageError, Uploader};
use stage_support::{Device, contradictory, mixed, small};

const STEPS: Range<u64> = 0..9;
const LEVELS: Output = Output { kind: ValueKind::U8, channels_last: false };

fn planner(set: &ShardSet, size: u32) -> Planner {
    planner_of(set, size, 6)
}

fn planner_of(set: &ShardSet, size: u32, batch: u32) -> Planner {
    let spec = EpisodeSpec {
        seed: 4,
        batch,
        order: Order::Shuffled { seed: 4 },
        views: vec![recipe::ssl_imagenet(0.08, 1.0); 2],
        task: TaskPolicy::Replace { probability: 0.5 },
        view: ViewSpec::bicubic(size),
        rank: (0, 1),
    };
    Planner::new(spec, set.len()).unwrap()
}

fn options() -> LoaderOptions {
    LoaderOptions { workers: 2, slots: 4, corrupt: OnCorrupt::Substitute, ..LoaderOptions::default() }
}

/// What the CPU's loader delivers.
fn expected(set: &Arc<ShardSet>, size: u32) -> Vec<Vec<u8>> {
    let loader = load_views(set.clone(), planner(set, size), options(), STEPS).unwrap();
    loader.map(|batch| batch.unwrap().bytes().to_vec()).collect()
}

/// The same through the stage.
fn staged(set: &Arc<ShardSet>, size: u32, expansions: Expansions, device: &Device) -> Vec<Vec<u8>> {
    let loader = load_sources(set.clone(), planner(set, size), options(), expansions, device.engine.gpu(), STEPS);
    let consumer = device.consumer();
    let spec = ViewSpec::bicubic(size);
    let mut stage = Stage::new(&device.engine, spec, LEVELS, 12).unwrap();
    let mut loader = loader.unwrap();
    let mut kept: Vec<Vec<u8>> = Vec::new();
    loop {
        stage.keep_at_most(options().slots - 1).unwrap();
        let Some(batch) = loader.next() else { break };
        let rendered = stage.render(batch.unwrap(), None, &consumer).unwrap();
        kept.push(vec![0; rendered.rows * spec.bytes()]);
        device.keep(&consumer, rendered, kept.last_mut().unwrap());
    }
    stage.drain().unwrap();
    device.fake.drain().unwrap();
    assert_eq!(device.fake.faults(), []);
    kept
}

#[test]
fn any_order_of_execution_gives_the_bytes_of_the_cpu() {
    let folder = tempfile::tempdir().unwrap();
    let set = mixed(folder.path());
    let expected = expected(&set, 32);
    let modes = [Mode::Eager, Mode::Lazy].into_iter().chain((0..30).map(Mode::Random));
    for mode in modes {
        for expansions in [Expansions::Device, Expansions::Host] {
            let got = staged(&set, 32, expansions, &Device::new(mode));
            let wrong = got.iter().zip(&expected).position(|(got, expected)| got != expected);
            assert_eq!((wrong, got.len()), (None, expected.len()), "{mode:?}, {expansions:?}");
        }
    }
}

/// Views that threads rendered, copied beside the consumer's work.
#[test]
fn uploads_are_in_order_too() {
    let folder = tempfile::tempdir().unwrap();
    let set = mixed(folder.path());
    let (expected, spec) = (expected(&set, 32), ViewSpec::bicubic(32));
    for mode in [Mode::Eager, Mode::Lazy].into_iter().chain((0..30).map(Mode::Random)) {
        let device = Device::new(mode);
        let (gpu, consumer) = (device.fake.gpu(), device.consumer());
        let mut loader = load_views_pinned(set.clone(), planner(&set, 32), options(), &gpu, STEPS).unwrap();
        let mut uploader = Uploader::new(&gpu, 12 * spec.bytes()).unwrap();
        let mut kept: Vec<Vec<u8>> = Vec::new();
        loop {
            uploader.keep_at_most(1).unwrap();
            let Some(batch) = loader.next() else { break };
            let rendered = uploader.upload(batch.unwrap(), &consumer).unwrap();
            kept.push(vec![0; rendered.rows * spec.bytes()]);
            device.keep(&consumer, rendered, kept.last_mut().unwrap());
        }
        uploader.drain().unwrap();
        device.fake.drain().unwrap();
        assert!(kept == expected, "{mode:?}");
        assert_eq!(device.fake.faults(), []);
    }
}

/// Stand-ins need other room than what they stand for.
#[test]
fn stand_ins_of_corrupt_samples_are_those_of_the_cpu() {
    let folder = tempfile::tempdir().unwrap();
    let set = mixed(folder.path());
    let damaged: Vec<u64> = (0..set.len()).step_by(3).collect();
    for path in metacl::shard::shard_files(folder.path()).unwrap() {
        let mut bytes = std::fs::read(&path).unwrap();
        for &sample in &damaged {
            let record = set.stored(sample).unwrap().bytes;
            if let Some(at) = bytes.windows(record.len()).position(|window| *window == *record) {
                bytes[at + record.len() / 2] ^= 0x10;
                bytes[at + record.len() - 1] ^= 0x10;
            }
        }
        std::fs::write(path.with_extension("new"), bytes).unwrap();
        std::fs::rename(path.with_extension("new"), path).unwrap();
    }
    let set = Arc::new(ShardSet::open(folder.path()).unwrap());
    let mut loader = load_views(set.clone(), planner(&set, 32), options(), STEPS).unwrap();
    assert!(loader.any(|batch| !batch.unwrap().replaced().is_empty()));
    for expansions in [Expansions::Device, Expansions::Host] {
        for mode in [Mode::Eager, Mode::Random(1)] {
            let got = staged(&set, 32, expansions, &Device::new(mode));
            assert!(got == expected(&set, 32), "{mode:?}, {expansions:?}");
        }
    }
}

#[test]
fn large_views_do_too() {
    let folder = tempfile::tempdir().unwrap();
    let set = mixed(folder.path());
    let got = staged(&set, 224, Expansions::Device, &Device::new(Mode::Lazy));
    assert!(got == expected(&set, 224));
}

#[test]
fn a_resident_dataset_takes_plans_alone() {
    let folder = tempfile::tempdir().unwrap();
    let set = small(folder.path());
    let expected = expected(&set, 32);
    let spec = ViewSpec::bicubic(32);
    for mode in [Mode::Eager, Mode::Lazy, Mode::Random(1), Mode::Random(2), Mode::Random(3)] {
        let device = Device::new(mode);
        let size = Resident::fits(&set, 1 << 20).unwrap().unwrap();
        let resident = Resident::upload(&set, size, device.engine.gpu()).unwrap();
        let mut stage = Stage::new(&device.engine, spec, LEVELS, 12).unwrap();
        let consumer = device.consumer();
        let plans = LoaderOptions { delivery: Delivery::Nothing, ..options() };
        let mut kept = Vec::new();
        for batch in load_views(set.clone(), planner(&set, 32), plans, STEPS).unwrap() {
            let batch = batch.unwrap();
            let rendered = stage.render_resident(&resident, batch.plan(), None, &consumer).unwrap();
            kept.push(vec![0; rendered.rows * spec.bytes()]);
            device.keep(&consumer, rendered, kept.last_mut().unwrap());
        }
        stage.drain().unwrap();
        device.fake.drain().unwrap();
        assert!(kept == expected, "{mode:?}");
        assert_eq!(device.fake.faults(), []);
    }
    assert_eq!(Resident::fits(&set, 1000).unwrap(), None);
}

#[test]
fn mixed_rows_lie_behind_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let set = small(folder.path());
    let spec = ViewSpec::bicubic(32);
    let output = Output { kind: ValueKind::F32, channels_last: false };
    let device = Device::new(Mode::Lazy);
    let resident = Resident::upload(&set, set.info(0).unwrap().size, device.engine.gpu()).unwrap();
    let mut stage = Stage::new(&device.engine, spec, output, 18).unwrap();
    let consumer = device.consumer();
    let plan = planner(&set, 32).plan(0, |sample| {
        let info = set.info(sample.into()).unwrap();
        Ok::<_, metacl::episode::EpisodeError>(metacl::episode::SampleMeta { size: info.size, label: info.label })
    });
    let plan = plan.unwrap();
    let patch = MixArgs {
        classes: 6,
        first: 6,
        size: 32,
        channels_last: 0,
        kind: MixArgs::kind_of(ValueKind::F32),
        share: 0.25,
        other: 0.75,
        top: 0,
        left: 0,
        height: 0,
        width: 0,
    };
    let rendered = stage.render_resident(&resident, &plan, Some(patch), &consumer).unwrap();
    assert_eq!(rendered.rows, 18);
    let mut kept = vec![0; 18 * 4 * spec.bytes()];
    device.keep(&consumer, rendered, &mut kept);
    device.fake.drain().unwrap();
    let values: Vec<f32> = bytemuck::pod_collect_to_vec(&kept);
    let row = |row: usize| &values[row * spec.bytes()..][..spec.bytes()];
    for class in 0..6 {
        let blended = row(6 + class).iter().zip(row(11 - class)).map(|(own, other)| own * 0.25 + other * 0.75);
        assert!(row(12 + class).iter().copied().eq(blended), "class {class}");
    }
}

/// After the first batches the host only queues: it allocates nothing and waits for nothing that the device could be late with.
#[test]
fn in_steady_state_nothing_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let set = mixed(folder.path());
    let device = Device::new(Mode::Eager);
    let steps = 0..30;
    let mut loader =
        load_sources(set.clone(), planner_of(&set, 32, 30), options(), Expansions::Device, device.engine.gpu(), steps)
            .unwrap();
    let consumer = device.consumer();
    let mut stage = Stage::new(&device.engine, ViewSpec::bicubic(32), LEVELS, 60).unwrap();
    for step in 0..30 {
        stage.keep_at_most(options().slots - 1).unwrap();
        if step == 15 {
            device.fake.forget_calls();
        }
        stage.render(loader.next().unwrap().unwrap(), None, &consumer).unwrap();
    }
    let blocking: Vec<_> = device.fake.calls().into_iter().filter(|call| call.operation.blocks()).collect();
    assert!(blocking.is_empty(), "{blocking:?}");
}

/// A record whose bytes were changed, without checksums: the kernels find that its blocks contradict each other, and the stage names it.
#[test]
fn a_record_that_contradicts_itself_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (set, bad) = contradictory(folder.path());
    let set = Arc::new(set.with_verify(Verify::Never));

    let device = Device::new(Mode::Lazy);
    let whole = EpisodeSpec::in_order(6, recipe::whole(), ViewSpec::bicubic(32));
    let planner = Planner::new(whole, set.len()).unwrap();
    let gpu = device.engine.gpu();
    let mut loader = load_sources(set, planner, options(), Expansions::Device, gpu, 0..1).unwrap();
    let mut stage = Stage::new(&device.engine, ViewSpec::bicubic(32), LEVELS, 6).unwrap();
    stage.render(loader.next().unwrap().unwrap(), None, &device.consumer()).unwrap();
    let found = stage.drain();
    assert!(matches!(found, Err(StageError::Contradiction { sample, step: 0 }) if sample == bad), "{found:?}");
}

/// At the start of a run kernels are compared with the CPU.
#[test]
fn kernels_that_are_not_right_are_found() {
    Device::new(Mode::Lazy).engine.check().unwrap();
    // What each kernel would leave if it did nothing (without tables, the next would read anywhere).
    for idle in ["expand_chunks", "make_pixels", "render_views"] {
        let fake =
            Fake::new(
                Mode::Lazy,
                move |name, launch, arguments| {
                    if name == idle { Ok(()) } else { stage_support::run(name, launch, arguments) }
                },
            );
        // SAFETY: the fake device takes any bytes.
        let module = unsafe { fake.gpu().load_bytes(b"any") }.unwrap();
        let checked = Engine::with(&module, &fake.gpu()).unwrap().check();
        assert!(matches!(checked, Err(EngineError::Differs { .. })), "{idle}: {checked:?}");
    }
}

#[test]
fn too_little_memory_is_an_error_that_says_so() {
    let device = Device::new(Mode::Eager);
    device.fake.limit_memory(100_000);
    let made = Stage::new(&device.engine, ViewSpec::bicubic(224), LEVELS, 100);
    assert!(matches!(made.err(), Some(StageError::Gpu(GpuError::OutOfMemory { .. }))));
}
