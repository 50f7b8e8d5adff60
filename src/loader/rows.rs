//! Batches that are made of rows: every view in its place.

use std::ops::Range;

use super::LoadError;
use super::batch::Batch;
use super::ring::{Fill, Loader};
use super::slot::RowBuffer;
use super::stats::Laps;
use crate::episode::EpisodePlan;
use crate::gpu::Gpu;

/// What debug builds leave in a row before it is rendered, so that tests see a byte that was not.
const POISON: u8 = 0xA5;

/// Makes the rows of batches; the ring brings threads, order and memory.
pub trait Produce: Send + Sync + 'static {
    /// What one worker keeps between tasks.
    type Scratch: Send;

    /// A worker's scratch.
    fn scratch(&self) -> Self::Scratch;

    /// Plans `step` (0-based).
    fn plan(&self, step: u64) -> Result<EpisodePlan, LoadError>;

    /// `plan` with another sample in the place of source `image`, which is corrupt, for the `attempt`th time; `None` where the batch is to fail.
    ///
    /// # Errors
    /// What keeps the other sample from being planned.
    fn stand_in(&self, _plan: &EpisodePlan, _image: usize, _attempt: u32) -> Result<Option<EpisodePlan>, LoadError> {
        Ok(None)
    }

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

/// Threads and memory of a ring of rows, all at least 1.
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

/// A [`Produce`] as the ring sees it.
struct Rows<P>(P);

impl<P: Produce> Fill for Rows<P> {
    type Scratch = P::Scratch;
    type Slot = RowBuffer;

    fn scratch(&self) -> P::Scratch {
        self.0.scratch()
    }

    fn plan(&self, step: u64, _slot: &RowBuffer) -> Result<EpisodePlan, LoadError> {
        self.0.plan(step)
    }

    fn stand_in(&self, plan: &EpisodePlan, image: usize, attempt: u32) -> Result<Option<EpisodePlan>, LoadError> {
        self.0.stand_in(plan, image, attempt)
    }

    fn fill(
        &self,
        scratch: &mut P::Scratch,
        plan: &EpisodePlan,
        image: usize,
        slot: &RowBuffer,
        laps: &mut Laps,
    ) -> Result<(), LoadError> {
        let mut rows = plan.rows_of(image).map(|row| {
            // SAFETY: `rows_of` of different images are disjoint, the ring has each image filled once, each row is visited once, and
            // the consumer gets the slot only after the last image.
            let bytes = unsafe { slot.row(row) };
            if cfg!(debug_assertions) {
                bytes.fill(POISON);
            }
            (row, bytes)
        });
        self.0.render(scratch, plan, image, &mut rows, laps)
    }
}

impl Loader {
    /// Starts the threads for the batches of `steps`.
    ///
    /// # Errors
    /// [`LoadError::Thread`] where the system gives no thread.
    pub fn start<P: Produce>(producer: P, size: RingSize, steps: Range<u64>) -> Result<Self, LoadError> {
        let slots = (0..size.slots).map(|_| RowBuffer::new(size.rows, size.row_bytes)).collect();
        Self::over(Rows(producer), slots, size.workers, steps)
    }

    /// As [`start`](Self::start), with rows in page-locked memory, which `gpu` copies from by itself.
    ///
    /// # Errors
    /// Also [`LoadError::Gpu`] where there is no such memory.
    pub fn start_pinned<P: Produce>(
        producer: P,
        size: RingSize,
        gpu: &Gpu,
        steps: Range<u64>,
    ) -> Result<Self, LoadError> {
        let slots = (0..size.slots).map(|_| RowBuffer::pinned(gpu, size.rows, size.row_bytes));
        Self::over(Rows(producer), slots.collect::<Result<_, _>>()?, size.workers, steps)
    }
}

impl Batch {
    /// The views, `[rows, 3, size, size]`: u8, or f32 in the machine's byte order at multiples of 4 (see
    /// [`Delivery`](super::Delivery)).
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the step's tasks are done when there is a batch, and the slot's next step is planned only after it is dropped.
        unsafe { self.slot().rows(self.plan().views.len()) }
    }
}
