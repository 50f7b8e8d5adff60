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

/// A clock of some nanoseconds a reading, where the system's takes tens, which 32 px views would feel; its ticks are of unknown length.
#[inline]
fn ticks() -> u64 {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: every x86-64 has the counter, and reading it touches no memory.
    return unsafe { std::arch::x86_64::_rdtsc() };
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    {
        static ORIGIN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        u64::try_from(ORIGIN.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// One thread's stopwatch: every mark books the time since the one before to a stage.
pub struct Laps {
    last: u64,
    ticks: [u64; STAGES],
    images: u64,
    views: u64,
}

impl Default for Laps {
    /// Starts now.
    fn default() -> Self {
        Self { last: ticks(), ticks: [0; STAGES], images: 0, views: 0 }
    }
}

impl Laps {
    /// Books the time since the last mark to `stage`.
    pub fn mark(&mut self, stage: Stage) {
        let now = ticks();
        // Not below zero where the counters of two cores are apart.
        self.ticks[stage as usize] += now.saturating_sub(self.last);
        self.last = now;
    }

    /// Counts one finished image with its views.
    pub fn count(&mut self, views: u64) {
        self.images += 1;
        self.views += views;
    }
}

/// The running counters, shared by all threads of a loader.
pub(super) struct Meter {
    /// By both clocks, which gives the length of a tick.
    started: (Instant, u64),
    ticks: [AtomicU64; STAGES],
    images: AtomicU64,
    views: AtomicU64,
}

impl Default for Meter {
    /// Starts now.
    fn default() -> Self {
        let none = || AtomicU64::new(0);
        Self {
            started: (Instant::now(), ticks()),
            ticks: std::array::from_fn(|_| none()),
            images: none(),
            views: none(),
        }
    }
}

impl Meter {
    /// Takes over what `laps` has counted.
    pub(super) fn add(&self, laps: &mut Laps) {
        for (total, own) in self.ticks.iter().zip(&mut laps.ticks) {
            total.fetch_add(std::mem::take(own), Relaxed);
        }
        self.images.fetch_add(std::mem::take(&mut laps.images), Relaxed);
        self.views.fetch_add(std::mem::take(&mut laps.views), Relaxed);
    }

    /// The counters now.
    pub(super) fn read(&self) -> LoaderStats {
        let (start, first) = self.started;
        let tick = start.elapsed().as_secs_f64() / ticks().saturating_sub(first).max(1) as f64;
        let time = |stage: Stage| Duration::from_secs_f64(self.ticks[stage as usize].load(Relaxed) as f64 * tick);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_read_as_time() {
        let meter = Meter::default();
        let mut laps = Laps::default();
        let start = Instant::now();
        std::thread::sleep(Duration::from_millis(30));
        laps.mark(Stage::Render);
        let slept = start.elapsed();
        meter.add(&mut laps);
        let stats = meter.read();
        assert!(stats.render_busy >= Duration::from_millis(29), "{stats:?}");
        assert!(stats.render_busy <= 2 * slept, "{stats:?}");
        assert_eq!(stats.decode_busy, Duration::ZERO);
    }
}
