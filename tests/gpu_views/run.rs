//! Batches of a dataset, by the CPU's loader and through a stage.

use std::ops::Range;
use std::sync::Arc;

use metacl::augment::cuda::{Output, ValueKind};
use metacl::augment::{TaskPolicy, ViewPolicy, ViewSpec};
use metacl::episode::{EpisodeSpec, Order, Planner};
use metacl::gpu::{DeviceBuffer, Stream};
use metacl::loader::{Delivery, Expansions, LoaderOptions, load_sources, load_views};
use metacl::shard::ShardSet;
use metacl::stage::{Rendered, Resident, Stage};

use crate::Subject;

pub(crate) const LEVELS: Output = Output { kind: ValueKind::U8, channels_last: false };

/// What is batched.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) set: Arc<ShardSet>,
    pub(crate) planner: Planner,
    pub(crate) steps: Range<u64>,
}

impl Job {
    /// Shuffled images, six a batch.
    pub(crate) fn new(set: &Arc<ShardSet>, spec: ViewSpec, views: Vec<ViewPolicy>, steps: u64) -> Self {
        let spec = EpisodeSpec {
            seed: 4,
            batch: 6.min(set.len() as u32),
            order: Order::Shuffled { seed: 4 },
            views,
            task: TaskPolicy::Replace { probability: 0.5 },
            view: spec,
            rank: (0, 1),
        };
        Self { planner: Planner::new(spec, set.len()).unwrap(), set: set.clone(), steps: 0..steps }
    }

    fn spec(&self) -> ViewSpec {
        self.planner.spec().view
    }

    /// What the CPU's loader delivers, batch after batch.
    pub(crate) fn expected(&self) -> Vec<u8> {
        let loader = load_views(self.set.clone(), self.planner.clone(), options(), self.steps.clone()).unwrap();
        loader.flat_map(|batch| batch.unwrap().bytes().to_vec()).collect()
    }

    /// The same through copies and kernels, several batches under way at a time.
    pub(crate) fn staged(&self, subject: &Subject<'_>, output: Output, expansions: Expansions) -> Vec<u8> {
        let gpu = subject.engine.gpu();
        let (set, steps) = (self.set.clone(), self.steps.clone());
        let mut loader = load_sources(set, self.planner.clone(), options(), expansions, gpu, steps).unwrap();
        let mut kept = Kept::new(subject, self, output);
        loop {
            kept.stage.keep_at_most(options().slots - 1).unwrap();
            let Some(batch) = loader.next() else { break };
            let rendered = kept.stage.render(batch.unwrap(), None, &kept.consumer).unwrap();
            kept.keep(rendered);
        }
        kept.finish()
    }

    /// The same from images that lie on the device.
    pub(crate) fn resident(&self, subject: &Subject<'_>, output: Output, resident: &Resident) -> Vec<u8> {
        let plans = LoaderOptions { delivery: Delivery::Nothing, ..options() };
        let mut kept = Kept::new(subject, self, output);
        for batch in load_views(self.set.clone(), self.planner.clone(), plans, self.steps.clone()).unwrap() {
            let batch = batch.unwrap();
            let rendered = kept.stage.render_resident(resident, batch.plan(), None, &kept.consumer).unwrap();
            kept.keep(rendered);
        }
        kept.finish()
    }
}

fn options() -> LoaderOptions {
    LoaderOptions { workers: 2, slots: 4, ..LoaderOptions::default() }
}

/// A stage, and a consumer that does nothing but keep the views, in memory of its own.
struct Kept {
    stage: Stage,
    consumer: Stream,
    memory: DeviceBuffer,
    used: usize,
}

impl Kept {
    fn new(subject: &Subject<'_>, job: &Job, output: Output) -> Self {
        let rows = job.planner.most_rows(job.set.len());
        let stage = Stage::new(subject.engine, job.spec(), output, rows).unwrap();
        let bytes = stage.row_bytes() * rows * (job.steps.end - job.steps.start) as usize;
        let memory = subject.engine.gpu().allocate(bytes).unwrap();
        Self { stage, consumer: subject.consumer(), memory, used: 0 }
    }

    fn keep(&mut self, rendered: Rendered) {
        // SAFETY: both live until `finish` has waited; nobody else touches the memory.
        unsafe { self.stage.copy(rendered, &self.memory, self.used, &self.consumer) }.unwrap();
        self.used += rendered.rows * self.stage.row_bytes();
    }

    fn finish(mut self) -> Vec<u8> {
        self.stage.drain().unwrap();
        let mut bytes = vec![0; self.used];
        // SAFETY: synchronized on the next line.
        unsafe { self.consumer.copy_to_host(&mut bytes, &self.memory, 0) }.unwrap();
        self.consumer.synchronize().unwrap();
        bytes
    }
}

/// Fails with the first row that differs.
pub(crate) fn assert_rows(got: &[u8], expected: &[u8], row_bytes: usize, what: &str) {
    assert!(!expected.is_empty() && got.len() == expected.len(), "{what}: {} bytes, not {}", got.len(), expected.len());
    let wrong = got.iter().zip(expected).position(|(got, expected)| got != expected);
    if let Some(at) = wrong {
        let count = got.iter().zip(expected).filter(|(got, expected)| got != expected).count();
        panic!("{what}: row {}, byte {} is the first of {count} that differ", at / row_bytes, at % row_bytes);
    }
}
