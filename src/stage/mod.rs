//! From sources to views on the device: what is copied when, on which stream, and who waits for whom.
//!
//! ```text
//! host      [ waits: rendered k-2 ]  list of batch k ─► copies
//! copies    lists, sources ──────────────────────────┐ copied k
//! work      [ waits: copied k, consumer after k-2 ]  └─► expand ──► tables ──► views   │ rendered k
//! consumer  (torch's stream) [ waits: rendered k ] ─────────────────────────────────────┴─► network on batch k
//! ```
//!
//! Everything of a batch lies in one of two halves in turn, so copies and kernels of a batch run beside the consumer's work on the one before.
//! The host waits only where it is two batches ahead of the device. A view is valid until the second call after the one that gave it.
//!
//! - `check`: kernels beside the CPU, once a run. `queue`: what is queued for a batch. `half`: the memory and the events of one batch in flight. `lists`: what is told to kernels, in one copy. `engine`: a device with its
//!   kernels compiled. [`resident`]: a dataset that lies on the device as a whole. `upload`: views that threads rendered. `read`: views
//!   back to the host.
//!
//! Not here: torch (`device`), threads (`loader`), kernels (`augment::cuda`).

mod check;
mod engine;
mod half;
mod lists;
mod queue;
mod read;
pub mod resident;
mod upload;

use std::collections::VecDeque;
use std::sync::Arc;

pub use engine::{Engine, EngineError};
pub use resident::Resident;
pub use upload::Uploader;

use crate::augment::cuda::{MixArgs, Output, ViewList};
use crate::augment::{PlanError, ViewSpec};
use crate::coef::device::{CONTRADICTION, Expansion};
use crate::episode::EpisodePlan;
use crate::gpu::{DeviceBuffer, Event, Gpu, GpuError, RawStream, Stream};
use crate::loader::{Batch, Parcel};
use half::Half;

/// Why a batch could not be rendered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StageError {
    /// The device refused.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// Rows cannot be mixed so.
    #[error(
        "step {step}: rows from {first} on, of {rows}, cannot be mixed over {classes} classes; this is a bug, please report it"
    )]
    Mixing {
        /// 0-based step.
        step: u64,
        /// The first row that was to be mixed.
        first: usize,
        /// Rows of the batch.
        rows: usize,
        /// Classes that they were said to have.
        classes: usize,
    },
    /// A plan that its image cannot give: a bug of this program.
    #[error("step {step}, row {row}: {source}; this is a bug, please report it")]
    Plan {
        /// 0-based step.
        step: u64,
        /// Row of the batch.
        row: usize,
        /// What is wrong with it.
        source: PlanError,
    },
    /// A coefficient record whose checksums hold, or were not compared, contradicts itself. Found when the batch has been rendered.
    #[error(
        "sample {sample} (step {step}): the blocks of its record contradict each other; `metacl-shard verify` lists every bad record"
    )]
    Contradiction {
        /// Index of the sample.
        sample: u32,
        /// 0-based step.
        step: u64,
    },
}

/// Views of a batch on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// Address of the first value.
    pub address: u64,
    /// Views, then mixed rows.
    pub rows: usize,
}

/// Renders batch after batch of one loader.
pub struct Stage {
    engine: Engine,
    copies: Stream,
    work: Stream,
    values: DeviceBuffer,
    halves: [Half; 2],
    /// Between the two kernels that expand records; only `work` touches it.
    samples: DeviceBuffer,
    list: ViewList,
    expansion: Expansion,
    pending: VecDeque<Pending>,
    calls: u64,
    /// Who was given the latest batch, and an event for the end.
    consumer: Option<RawStream>,
    left: Event,
}

/// A batch whose copies or kernels may still run.
struct Pending {
    /// Its slot, until its copies have run.
    batch: Option<Batch<Parcel>>,
    half: usize,
    step: u64,
    samples: Vec<u32>,
}

/// Where the pixels of a batch come from.
enum Pixels<'a> {
    Parcel(Batch<Parcel>),
    Resident(&'a Resident, &'a EpisodePlan),
}

impl Pixels<'_> {
    fn plan(&self) -> &EpisodePlan {
        match self {
            Self::Parcel(batch) => batch.plan(),
            Self::Resident(_, plan) => plan,
        }
    }
}

impl Stage {
    /// For batches of up to `rows` views of `spec`, mixed rows included.
    ///
    /// # Errors
    /// [`StageError::Gpu`], where the device's memory does not suffice for instance.
    pub fn new(engine: &Engine, spec: ViewSpec, output: Output, rows: usize) -> Result<Self, StageError> {
        let gpu = engine.gpu();
        let (copies, work) = (gpu.stream()?, gpu.stream()?);
        let table = output.kind.table();
        let table: &[u8] = bytemuck::cast_slice(&table);
        let values = gpu.allocate(table.len())?;
        // SAFETY: both live until the stream is synchronized, on the next line.
        unsafe { copies.copy_to_device(&values, 0, table) }?;
        copies.synchronize()?;
        let bytes = rows * spec.bytes() * output.kind.bytes() as usize;
        Ok(Self {
            list: ViewList::new(spec, output, engine.shared()),
            halves: [Half::new(gpu, bytes)?, Half::new(gpu, bytes)?],
            samples: gpu.allocate(0)?,
            expansion: Expansion::default(),
            pending: VecDeque::new(),
            calls: 0,
            consumer: None,
            left: gpu.event()?,
            engine: engine.clone(),
            copies,
            work,
            values,
        })
    }

    /// Queues the views of `batch`, whose slot is kept until its bytes are copied, and lets `consumer` wait for them.
    ///
    /// Everything that `consumer` does with the views of an earlier call must be queued on it by now.
    ///
    /// # Errors
    /// [`StageError`]; a contradiction is of a batch before this one.
    pub fn render(
        &mut self,
        batch: Batch<Parcel>,
        mix: Option<MixArgs>,
        consumer: &Stream,
    ) -> Result<Rendered, StageError> {
        self.queue(Pixels::Parcel(batch), mix, consumer)
    }

    /// As [`render`](Self::render), for images that lie on the device.
    ///
    /// # Errors
    /// [`StageError`].
    pub fn render_resident(
        &mut self,
        resident: &Resident,
        plan: &EpisodePlan,
        mix: Option<MixArgs>,
        consumer: &Stream,
    ) -> Result<Rendered, StageError> {
        self.queue(Pixels::Resident(resident, plan), mix, consumer)
    }

    fn queue(&mut self, pixels: Pixels<'_>, mix: Option<MixArgs>, consumer: &Stream) -> Result<Rendered, StageError> {
        let now = (self.calls % 2) as usize;
        self.finish(now)?;
        self.consumer = Some(consumer.raw());
        let queued = self.launch(&pixels, now, mix, consumer);
        if queued.is_err() {
            // What was queued reads the batch's slot, which goes back to the loader with this call.
            let _ = self.copies.synchronize();
            let _ = self.work.synchronize();
            return queued;
        }
        self.calls += 1;
        if let Pixels::Parcel(batch) = pixels {
            let (step, samples) = (batch.plan().step, batch.plan().samples.clone());
            self.pending.push_back(Pending { batch: Some(batch), half: now, step, samples });
        }
        queued
    }

    /// Lets go of what has passed: slots whose bytes are copied, batches that are rendered. Never blocks.
    ///
    /// # Errors
    /// [`StageError::Contradiction`] for a record that contradicted itself; what failed on the device.
    pub fn reap(&mut self) -> Result<(), StageError> {
        for pending in &mut self.pending {
            if pending.batch.is_some() && self.halves[pending.half].copied.passed()? {
                pending.batch = None;
            }
        }
        while let Some(front) = self.pending.front() {
            if !self.halves[front.half].rendered.passed()? {
                break;
            }
            self.settle()?;
        }
        Ok(())
    }

    /// Waits until half `half` is idle.
    fn finish(&mut self, half: usize) -> Result<(), StageError> {
        self.reap()?;
        while self.pending.iter().any(|pending| pending.half == half) {
            let oldest = self.pending[0].half;
            self.halves[oldest].rendered.synchronize()?;
            self.settle()?;
        }
        // A resident batch leaves nothing pending, but its lists.
        if !self.halves[half].rendered.passed()? {
            self.halves[half].rendered.synchronize()?;
        }
        Ok(())
    }

    /// Waits until at most `most` slots of the loader are kept.
    ///
    /// # Errors
    /// As [`reap`](Self::reap).
    pub fn keep_at_most(&mut self, most: usize) -> Result<(), StageError> {
        self.reap()?;
        while self.pending.iter().filter(|pending| pending.batch.is_some()).count() > most {
            if let Some(oldest) = self.pending.iter_mut().find(|pending| pending.batch.is_some()) {
                self.halves[oldest.half].copied.synchronize()?;
                oldest.batch = None;
            }
        }
        Ok(())
    }

    /// Takes the oldest batch off, which has been rendered.
    fn settle(&mut self) -> Result<(), StageError> {
        let Some(Pending { half, step, samples, .. }) = self.pending.pop_front() else { return Ok(()) };
        match self.halves[half].bad_image() {
            Some(image) => Err(StageError::Contradiction { sample: samples[image], step }),
            None => Ok(()),
        }
    }

    /// Waits until everything queued has run.
    ///
    /// # Errors
    /// As [`reap`](Self::reap).
    pub fn drain(&mut self) -> Result<(), StageError> {
        self.copies.synchronize()?;
        self.work.synchronize()?;
        self.reap()
    }

    /// The memory of `rendered`, for who holds on to it beyond this stage.
    ///
    /// # Panics
    /// Where `rendered` is of another stage.
    pub fn memory(&self, rendered: Rendered) -> Arc<DeviceBuffer> {
        let found = self.halves.iter().find(|half| half.batch.address() == rendered.address);
        found.expect("views of this stage").batch.clone()
    }

    /// The device.
    pub fn gpu(&self) -> &Gpu {
        self.work.gpu()
    }
}

impl Drop for Stage {
    /// Buffers and slots outlive what is queued on them, by the consumer too.
    fn drop(&mut self) {
        let _ = self.copies.synchronize();
        let _ = self.work.synchronize();
        wait_for(self.work.gpu(), self.consumer, &self.left);
    }
}

/// Waits for everything that is queued on a consumer's stream.
fn wait_for(gpu: &Gpu, consumer: Option<RawStream>, left: &Event) {
    if let Some(raw) = consumer {
        // SAFETY: the stream that a batch was rendered for, whose owner outlives its batches; torch destroys none.
        let consumer = unsafe { gpu.foreign_stream(raw) };
        // A device that refuses has stopped working.
        let _ = consumer.record(left).and_then(|()| left.synchronize());
    }
}

/// Whether a status word says that blocks contradict each other.
fn contradicts(status: u32) -> bool {
    status & CONTRADICTION != 0
}
