//! Who was busy and who waited, as numbers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Time and items of every stage since the loader started; times of several threads add up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LoaderStats {
    /// Images rendered.
    pub images: u64,
    /// Views rendered.
    pub views: u64,
    /// Planner thread: drawing plans.
    pub plan_busy: Duration,
    /// Planner thread: waiting for a free slot, that is for the consumer.
    pub plan_wait: Duration,
    /// Workers: reading and decoding records.
    pub decode_busy: Duration,
    /// Workers: rendering views.
    pub render_busy: Duration,
    /// Workers: waiting for a task.
    pub worker_wait: Duration,
    /// Consumer: waiting for a full slot, that is for data.
    pub consumer_wait: Duration,
}

/// The stages that take time.
#[derive(Clone, Copy)]
pub enum Stage {
    /// See [`LoaderStats::plan_busy`].
    Plan,
    /// See [`LoaderStats::plan_wait`].
    PlanWait,
    /// See [`LoaderStats::decode_busy`].
    Decode,
    /// See [`LoaderStats::render_busy`].
    Render,
    /// See [`LoaderStats::worker_wait`].
    WorkerWait,
    /// See [`LoaderStats::consumer_wait`].
    ConsumerWait,
}

/// The running counters, shared by all threads of a loader.
#[derive(Default)]
pub struct Meter {
    nanoseconds: [AtomicU64; 6],
    images: AtomicU64,
    views: AtomicU64,
}

impl Meter {
    /// Runs `work` and books its wall time to `stage`.
    pub fn time<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        let elapsed = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds[stage as usize].fetch_add(elapsed, Relaxed);
        result
    }

    /// Counts one finished image with its views.
    pub fn count(&self, views: u64) {
        self.images.fetch_add(1, Relaxed);
        self.views.fetch_add(views, Relaxed);
    }

    /// The counters now.
    pub fn read(&self) -> LoaderStats {
        let time = |stage: Stage| Duration::from_nanos(self.nanoseconds[stage as usize].load(Relaxed));
        LoaderStats {
            images: self.images.load(Relaxed),
            views: self.views.load(Relaxed),
            plan_busy: time(Stage::Plan),
            plan_wait: time(Stage::PlanWait),
            decode_busy: time(Stage::Decode),
            render_busy: time(Stage::Render),
            worker_wait: time(Stage::WorkerWait),
            consumer_wait: time(Stage::ConsumerWait),
        }
    }
}
