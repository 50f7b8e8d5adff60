//! The ring of slots and the threads that fill it, whatever they hold.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::LoadError;
use super::batch::{Batch, Job, Ring};
use super::slot::RowBuffer;
use super::stand_in::{ATTEMPTS, Replaced};
use super::stats::{Laps, LoaderStats, Meter, Stage};
use super::sync::{
    AtomicBool, AtomicUsize, Builder, JoinHandle, Mutex, Ordering, Receiver, Sender, bounded, locked, unbounded,
};
use crate::episode::EpisodePlan;

/// Makes the content of batches; the ring brings threads and order.
pub trait Fill: Send + Sync + 'static {
    /// What one worker keeps between tasks.
    type Scratch: Send;
    /// Memory of one batch in flight.
    type Slot: Send + Sync + 'static;

    /// A worker's scratch.
    fn scratch(&self) -> Self::Scratch;

    /// Plans `step` (0-based) and makes `slot` ready for it; nobody else uses the slot meanwhile.
    fn plan(&self, step: u64, slot: &Self::Slot) -> Result<EpisodePlan, LoadError>;

    /// `plan` with another sample in the place of source `image`, which is corrupt, for the `attempt`th time; `None` where the batch is to fail.
    ///
    /// # Errors
    /// What keeps the other sample from being planned.
    fn stand_in(&self, _plan: &EpisodePlan, _image: usize, _attempt: u32) -> Result<Option<EpisodePlan>, LoadError> {
        Ok(None)
    }

    /// Brings source `image` of `plan` into `slot`, while other workers bring other images of the same plan; each image is brought once.
    fn fill(
        &self,
        scratch: &mut Self::Scratch,
        plan: &EpisodePlan,
        image: usize,
        slot: &Self::Slot,
        laps: &mut Laps,
    ) -> Result<(), LoadError>;
}

/// Source images of a step, at least one: what a worker takes at a time.
struct Task {
    job: Arc<Job>,
    images: Range<usize>,
}

/// Parts that each worker's share of a step is cut into: enough that no worker is left with a long one at the end of a run.
const PARTS: usize = 16;
/// Most images of a task: taking one from the queue costs as much as a tenth of a 32 px view.
const MOST_IMAGES: usize = 32;

struct Shared<P: Fill> {
    producer: P,
    slots: Vec<P::Slot>,
    full: Vec<Sender<Result<Arc<Job>, LoadError>>>,
    meter: Meter,
    stop: AtomicBool,
}

/// Delivers the batches of a range of steps, in order, each in a slot of memory `S`.
pub struct Loader<S = RowBuffer> {
    ring: Arc<dyn Ring<S>>,
    full: Vec<Receiver<Result<Arc<Job>, LoadError>>>,
    free: Vec<Sender<()>>,
    steps: Range<u64>,
    failed: bool,
    threads: Vec<JoinHandle<()>>,
}

impl<P: Fill> Ring<P::Slot> for Shared<P> {
    fn slot(&self, slot: usize) -> &P::Slot {
        &self.slots[slot]
    }
    fn meter(&self) -> &Meter {
        &self.meter
    }
    fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl<S: Send + Sync + 'static> Loader<S> {
    /// Starts the threads for the batches of `steps`: `workers` of them, at least one, and as many batches in flight as there are `slots`.
    ///
    /// # Errors
    /// [`LoadError::Thread`] where the system gives no thread.
    pub fn over<P: Fill<Slot = S>>(
        producer: P,
        slots: Vec<S>,
        workers: usize,
        steps: Range<u64>,
    ) -> Result<Self, LoadError> {
        let (full_in, full_out): (Vec<_>, Vec<_>) = slots.iter().map(|_| bounded(1)).unzip();
        let (free_in, free_out): (Vec<_>, Vec<_>) = slots.iter().map(|_| bounded(1)).unzip();
        let shared =
            Arc::new(Shared { producer, slots, full: full_in, meter: Meter::default(), stop: AtomicBool::new(false) });
        for free in &free_in {
            free.send(()).expect("a new channel has room for one");
        }

        let mut loader = Self {
            ring: shared.clone(),
            full: full_out,
            free: free_in,
            steps: steps.clone(),
            failed: false,
            threads: Vec::new(),
        };
        // Made after `loader`, so that they go first where a thread cannot start and `loader` waits for the others to end.
        // Holds at most the tasks of `slots` steps.
        let (task_in, task_out) = unbounded();
        for worker in 0..workers {
            let (shared, tasks) = (shared.clone(), task_out.clone());
            loader.spawn(format!("worker-{worker}"), move || work(&shared, &tasks))?;
        }
        drop(task_out);
        loader.spawn("planner".into(), move || plan_steps(&shared, workers, steps, &free_out, &task_in))?;
        Ok(loader)
    }

    fn spawn(&mut self, thread: String, body: impl FnOnce() + Send + 'static) -> Result<(), LoadError> {
        let handle = Builder::new().name(format!("metacl-{thread}")).spawn(body);
        self.threads.push(handle.map_err(|source| LoadError::Thread { thread, source })?);
        Ok(())
    }

    /// Busy and waiting times so far.
    pub fn stats(&self) -> LoaderStats {
        self.ring.meter().read()
    }
}

impl<S> Iterator for Loader<S> {
    type Item = Result<Batch<S>, LoadError>;

    /// Waits for the next step's batch; `None` after the last one or after an error.
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let step = self.steps.next()?;
        let slot = (step % self.full.len() as u64) as usize;
        let mut laps = Laps::default();
        let received = self.full[slot].recv();
        laps.mark(Stage::ConsumerWait);
        self.ring.meter().add(&mut laps);
        let result = received.expect("the ring, which holds the senders, lives as long as the loader");
        self.failed = result.is_err();
        Some(result.map(|job| Batch::new(job, self.ring.clone(), self.free[slot].clone())))
    }
}

impl<S> Drop for Loader<S> {
    fn drop(&mut self) {
        self.ring.stop();
        // Wakes the planner, which ends when it sees the stop, and with it the workers' tasks. Batches still alive keep their slots.
        for free in &self.free {
            let _ = free.try_send(());
        }
        for thread in self.threads.drain(..) {
            // Panics of tasks were caught and sent; a thread itself does not panic.
            let _ = thread.join();
        }
    }
}

fn plan_steps<P: Fill>(
    shared: &Shared<P>,
    workers: usize,
    steps: Range<u64>,
    free: &[Receiver<()>],
    tasks: &Sender<Task>,
) {
    let mut laps = Laps::default();
    for step in steps {
        let slot = (step % free.len() as u64) as usize;
        if free[slot].recv().is_err() || shared.stop.load(Ordering::Relaxed) {
            return;
        }
        laps.mark(Stage::PlanWait);
        let planned = guard(step, 0, || shared.producer.plan(step, &shared.slots[slot]));
        laps.mark(Stage::Plan);
        shared.meter.add(&mut laps);
        let plan = match planned {
            Ok(plan) => plan,
            Err(error) => {
                let _ = shared.full[slot].send(Err(error));
                return;
            }
        };
        let images = plan.images();
        let images_left = AtomicUsize::new(images);
        let job = Arc::new(Job { plan, slot, images_left, failure: Mutex::default(), stand_ins: Mutex::default() });
        if images == 0 {
            // A rank's part of a short last batch: nothing to render, delivered all the same.
            let _ = shared.full[slot].send(Ok(job));
            continue;
        }
        let length = images.div_ceil(workers * PARTS).min(MOST_IMAGES);
        for start in (0..images).step_by(length) {
            let task = Task { job: job.clone(), images: start..images.min(start + length) };
            if tasks.send(task).is_err() {
                return;
            }
        }
    }
}

fn work<P: Fill>(shared: &Shared<P>, tasks: &Receiver<Task>) {
    let mut scratch = None;
    let mut laps = Laps::default();
    while let Ok(Task { job, images }) = tasks.recv() {
        laps.mark(Stage::WorkerWait);
        if shared.stop.load(Ordering::Relaxed) {
            continue;
        }
        let count = images.len();
        for image in images {
            if let Err(error) = fill(shared, &mut scratch, &job, image, &mut laps) {
                // A panic may have left the scratch half-changed.
                scratch = None;
                let mut failure = locked(&job.failure);
                if failure.as_ref().is_none_or(|(earlier, _)| image < *earlier) {
                    *failure = Some((image, error));
                }
                break;
            }
        }
        // Before the consumer can ask for them.
        shared.meter.add(&mut laps);
        // Release and acquire: whoever takes the last image sees every row.
        if job.images_left.fetch_sub(count, Ordering::AcqRel) == count {
            let failure = locked(&job.failure).take();
            let slot = job.slot;
            let _ = shared.full[slot].send(match failure {
                Some((_, error)) => Err(error),
                None => Ok(job),
            });
        }
    }
}

/// Fills source `image`; where its sample is corrupt, with the first stand-in that is not.
fn fill<P: Fill>(
    shared: &Shared<P>,
    scratch: &mut Option<P::Scratch>,
    job: &Job,
    image: usize,
    laps: &mut Laps,
) -> Result<(), LoadError> {
    let Err(error) = fill_with(shared, scratch, &job.plan, job.slot, image, laps) else { return Ok(()) };
    for attempt in 0..ATTEMPTS {
        if !error.is_corrupt_sample() {
            break;
        }
        let other = guard(job.plan.step, image, || shared.producer.stand_in(&job.plan, image, attempt))?;
        let Some(plan) = other else { break };
        match fill_with(shared, scratch, &plan, job.slot, image, laps) {
            Ok(()) => {
                let (sample, by) = (job.plan.samples[image], plan.samples[image]);
                locked(&job.stand_ins).push((Replaced { image, sample, by, error }, plan));
                return Ok(());
            }
            Err(theirs) if theirs.is_corrupt_sample() => {}
            Err(theirs) => return Err(theirs),
        }
    }
    Err(error)
}

fn fill_with<P: Fill>(
    shared: &Shared<P>,
    scratch: &mut Option<P::Scratch>,
    plan: &EpisodePlan,
    slot: usize,
    image: usize,
    laps: &mut Laps,
) -> Result<(), LoadError> {
    guard(plan.step, image, || {
        let scratch = scratch.get_or_insert_with(|| shared.producer.scratch());
        shared.producer.fill(scratch, plan, image, &shared.slots[slot], laps)
    })
}

/// Runs `work`; a panic becomes an error.
fn guard<T>(step: u64, image: usize, work: impl FnOnce() -> Result<T, LoadError>) -> Result<T, LoadError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
        let message = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into());
        Err(LoadError::Panic { step, image, message })
    })
}
