//! The ring of slots and the threads that fill it.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::LoadError;
use super::slot::RowBuffer;
use super::stats::{Laps, LoaderStats, Meter, Stage};
use crate::episode::EpisodePlan;

/// Makes the content of batches; the ring brings threads, order and memory.
pub trait Produce: Send + Sync + 'static {
    /// What one worker keeps between tasks.
    type Scratch: Send;

    /// A worker's scratch.
    fn scratch(&self) -> Self::Scratch;

    /// Plans `step` (0-based).
    fn plan(&self, step: u64) -> Result<EpisodePlan, LoadError>;

    /// Renders all views of source `image` of `plan`: `rows` are `(row of the plan, its bytes)`, every byte of which is to be written.
    fn render(
        &self,
        scratch: &mut Self::Scratch,
        plan: &EpisodePlan,
        image: usize,
        rows: &mut dyn Iterator<Item = (usize, &mut [u8])>,
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

/// Threads and memory of a ring, all at least 1.
#[derive(Clone, Copy, Debug)]
pub struct RingSize {
    /// Worker threads.
    pub workers: usize,
    /// Batches in flight.
    pub slots: usize,
    /// Most rows of a batch.
    pub rows: usize,
    /// Bytes of a row.
    pub row_bytes: usize,
}

/// One step on its way.
struct Job {
    plan: EpisodePlan,
    slot: usize,
    images_left: AtomicUsize,
    /// The error of the lowest source image that failed, so that what is reported does not depend on the threads.
    failure: Mutex<Option<(usize, LoadError)>>,
}

struct Shared<P> {
    producer: P,
    buffers: Vec<RowBuffer>,
    full: Vec<Sender<Result<Arc<Job>, LoadError>>>,
    meter: Meter,
    stop: AtomicBool,
}

/// Delivers the batches of a range of steps, in order.
pub struct Loader {
    ring: Arc<dyn Ring>,
    full: Vec<Receiver<Result<Arc<Job>, LoadError>>>,
    free: Vec<Sender<()>>,
    steps: Range<u64>,
    failed: bool,
    threads: Vec<JoinHandle<()>>,
}

/// What loader and batches need of the shared part, whatever the producer.
trait Ring: Send + Sync {
    fn buffer(&self, slot: usize) -> &RowBuffer;
    fn meter(&self) -> &Meter;
    fn stop(&self);
}

impl<P: Produce> Ring for Shared<P> {
    fn buffer(&self, slot: usize) -> &RowBuffer {
        &self.buffers[slot]
    }
    fn meter(&self) -> &Meter {
        &self.meter
    }
    fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Loader {
    /// Starts the threads for the batches of `steps`.
    ///
    /// # Errors
    /// [`LoadError::Thread`] where the system gives no thread.
    pub fn start<P: Produce>(producer: P, size: RingSize, steps: Range<u64>) -> Result<Self, LoadError> {
        let (full_in, full_out): (Vec<_>, Vec<_>) = (0..size.slots).map(|_| bounded(1)).unzip();
        let (free_in, free_out): (Vec<_>, Vec<_>) = (0..size.slots).map(|_| bounded(1)).unzip();
        let shared = Arc::new(Shared {
            producer,
            buffers: (0..size.slots).map(|_| RowBuffer::new(size.rows, size.row_bytes)).collect(),
            full: full_in,
            meter: Meter::default(),
            stop: AtomicBool::new(false),
        });
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
        for worker in 0..size.workers {
            let (shared, tasks) = (shared.clone(), task_out.clone());
            loader.spawn(format!("worker-{worker}"), move || work(&shared, &tasks))?;
        }
        drop(task_out);
        loader.spawn("planner".into(), move || plan_steps(&shared, size.workers, steps, &free_out, &task_in))?;
        Ok(loader)
    }

    fn spawn(&mut self, thread: String, body: impl FnOnce() + Send + 'static) -> Result<(), LoadError> {
        let handle = std::thread::Builder::new().name(format!("metacl-{thread}")).spawn(body);
        self.threads.push(handle.map_err(|source| LoadError::Thread { thread, source })?);
        Ok(())
    }

    /// Busy and waiting times so far.
    pub fn stats(&self) -> LoaderStats {
        self.ring.meter().read()
    }
}

impl Iterator for Loader {
    type Item = Result<Batch, LoadError>;

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
        Some(result.map(|job| Batch { job, ring: self.ring.clone(), free: self.free[slot].clone() }))
    }
}

impl Drop for Loader {
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

/// A finished batch; dropping it frees its slot for a later step.
pub struct Batch {
    job: Arc<Job>,
    ring: Arc<dyn Ring>,
    free: Sender<()>,
}

impl Batch {
    /// What the rows show.
    pub fn plan(&self) -> &EpisodePlan {
        &self.job.plan
    }

    /// The views, `[rows, 3, size, size]`: u8, or f32 in the machine's byte order at multiples of 4 (see
    /// [`Delivery`](super::Delivery)).
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: this step's tasks are done (its job came out of `full`), and the slot's next step is planned only after `free` is sent
        // by this value's drop.
        unsafe { self.ring.buffer(self.job.slot).rows(self.job.plan.views.len()) }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // Fails when the loader is gone: then nobody needs the slot.
        let _ = self.free.try_send(());
    }
}

fn plan_steps<P: Produce>(
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
        let planned = guard(step, 0, || shared.producer.plan(step));
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
        let job = Arc::new(Job { plan, slot, images_left: AtomicUsize::new(images), failure: Mutex::new(None) });
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

fn work<P: Produce>(shared: &Shared<P>, tasks: &Receiver<Task>) {
    let mut scratch = None;
    let mut laps = Laps::default();
    while let Ok(Task { job, images }) = tasks.recv() {
        laps.mark(Stage::WorkerWait);
        if shared.stop.load(Ordering::Relaxed) {
            continue;
        }
        let count = images.len();
        for image in images {
            if let Err(error) = render(shared, &mut scratch, &job, image, &mut laps) {
                // A panic may have left the scratch half-changed.
                scratch = None;
                let mut failure = job.failure.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
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
            let failure = job.failure.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
            let slot = job.slot;
            let _ = shared.full[slot].send(match failure {
                Some((_, error)) => Err(error),
                None => Ok(job),
            });
        }
    }
}

fn render<P: Produce>(
    shared: &Shared<P>,
    scratch: &mut Option<P::Scratch>,
    job: &Job,
    image: usize,
    laps: &mut Laps,
) -> Result<(), LoadError> {
    let plan = &job.plan;
    let mut rows = plan.rows_of(image).map(|row| {
        // SAFETY: `rows_of` of different images are disjoint, each image is sent to one worker once, each row is visited once, and the
        // consumer gets the slot only after `images_left` reaches zero.
        (row, unsafe { shared.buffers[job.slot].row(row) })
    });
    guard(plan.step, image, || {
        let scratch = scratch.get_or_insert_with(|| shared.producer.scratch());
        shared.producer.render(scratch, plan, image, &mut rows, laps)
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
