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
    /// Planner thread: drawing plans, asking for records ahead.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

const STAGES: usize = 6;

/// One thread's stopwatch: every mark books the time since the one before to a stage.
pub struct Laps {
    last: Instant,
    nanoseconds: [u64; STAGES],
    images: u64,
    views: u64,
}

impl Default for Laps {
    /// Starts now.
    fn default() -> Self {
        Self { last: Instant::now(), nanoseconds: [0; STAGES], images: 0, views: 0 }
    }
}

impl Laps {
    /// Books the time since the last mark to `stage`.
    pub fn mark(&mut self, stage: Stage) {
        let now = Instant::now();
        let elapsed = now.duration_since(self.last).as_nanos();
        self.nanoseconds[stage as usize] += u64::try_from(elapsed).unwrap_or(u64::MAX);
        self.last = now;
    }

    /// Counts one finished image with its views.
    pub fn count(&mut self, views: u64) {
        self.images += 1;
        self.views += views;
    }
}

/// The running counters, shared by all threads of a loader.
#[derive(Default)]
pub(super) struct Meter {
    nanoseconds: [AtomicU64; STAGES],
    images: AtomicU64,
    views: AtomicU64,
}

impl Meter {
    /// Takes over what `laps` has counted.
    pub(super) fn add(&self, laps: &mut Laps) {
        for (total, own) in self.nanoseconds.iter().zip(&mut laps.nanoseconds) {
            total.fetch_add(std::mem::take(own), Relaxed);
        }
        self.images.fetch_add(std::mem::take(&mut laps.images), Relaxed);
        self.views.fetch_add(std::mem::take(&mut laps.views), Relaxed);
    }

    /// The counters now.
    pub(super) fn read(&self) -> LoaderStats {
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
