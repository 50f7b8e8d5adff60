//! From sources to views on the device: what is copied when, on which stream, and who waits for whom.
//!
//! ```text
//! host      [ waits: rendered k-2 ]  list of batch k ─► copies
//! copies    lists, sources ──────────────────────────┐ copied k
//! work      [ waits: copied k, consumer after k-2 ]  └─► expand ──► tables ──► views   │ rendered k
//! consumer  (torch's stream) [ waits: rendered k ] ─────────────────────────────────────┴─► network on batch k
//! ```
//!
//! Everything of a batch lies in one of two [`Half`]s in turn, so copies and kernels of a batch run beside the consumer's work on the one before.
//! The host waits only where it is two batches ahead of the device. A view is valid until the second call after the one that gave it.
//!
//! - `half`: the memory and the events of one batch in flight. `lists`: what is told to kernels, in one copy. `engine`: a device with its
//!   kernels compiled. [`resident`]: a dataset that lies on the device as a whole. `upload`: views that threads rendered.
//!
//! Not here: torch (`device`), threads (`loader`), kernels (`augment::cuda`).

mod engine;
mod half;
mod lists;
pub mod resident;
mod upload;

use std::collections::VecDeque;

pub use engine::{Engine, EngineError};
pub use resident::Resident;
pub use upload::Uploader;

use crate::augment::cuda::{ExpandMemory, MixArgs, Output, Source, ViewList, ViewMemory};
use crate::augment::{PlanError, ViewSpec};
use crate::coef::device::{CONTRADICTION, Expansion};
use crate::episode::EpisodePlan;
use crate::gpu::{DeviceBuffer, Gpu, GpuError, Stream};
use crate::loader::{Batch, ImageSources, Parcel, roomy};
use half::Half;

/// Why a batch could not be rendered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StageError {
    /// The device refused.
    #[error(transparent)]
    Gpu(#[from] GpuError),
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
        self.calls += 1;
        self.finish(now)?;
        // What the consumer has queued so far: all uses of earlier batches.
        consumer.record(&self.halves[now].entered)?;

        let (uploaded, status_words) = match &pixels {
            Pixels::Parcel(batch) => (batch.slot().with_bytes(<[u8]>::len), batch.plan().images()),
            Pixels::Resident(..) => (0, 0),
        };
        let expanded_at = uploaded.next_multiple_of(256);
        let pixel_bytes = self.fill_lists(&pixels, expanded_at)?;
        let Self { copies, work, halves, samples, list, expansion, values, engine, .. } = self;
        let sample_bytes = expansion.sample_bytes() as usize;
        if samples.len() < sample_bytes {
            // The batch before may still use it.
            work.synchronize()?;
            *samples = work.gpu().allocate(roomy(sample_bytes))?;
        }
        let [first, second] = halves;
        let (half, previous) = if now == 0 { (first, &*second) } else { (second, &*first) };
        half.reserve(list, expanded_at + pixel_bytes, status_words)?;
        let lists = half.lists.write(list, expansion)?;

        // SAFETY: lists and arena belong to this half, which `finish` has seen idle; the parcel's bytes stay until `copied` has passed,
        // because `pending` keeps the batch.
        unsafe {
            half.lists.copy(copies)?;
            if let Pixels::Parcel(batch) = &pixels {
                batch.slot().with_bytes(|bytes| copies.copy_to_device(&half.arena, 0, bytes))?;
            }
        }
        copies.record(&half.copied)?;

        work.wait(&half.copied)?;
        // Before the call before this one, the consumer had queued its last use of this half's batch.
        work.wait(&previous.entered)?;
        let base = half.lists.address();
        let arena = match &pixels {
            Pixels::Parcel(_) => half.arena.address(),
            Pixels::Resident(resident, _) => resident.address(),
        };
        let rows = list.views().len();
        // SAFETY: every address is of a buffer reserved above for these lists; they are filled on `copies` before `copied`, which `work` waits for.
        unsafe {
            if !expansion.chunks().is_empty() {
                work.fill(&half.status, 0, 0, 4 * status_words)?;
                let memory = ExpandMemory {
                    chunks: base + lists.chunks,
                    pictures: base + lists.pictures,
                    bands: base + lists.bands,
                    tables: base + lists.steps,
                    records: arena,
                    samples: samples.address(),
                    pixels: arena,
                    status: half.status.address(),
                };
                engine.kernels().expand(work, expansion, memory)?;
                half.read_status(work, status_words)?;
            }
            let memory = ViewMemory {
                views: base + lists.views,
                pixels: arena,
                tables: half.tables.address(),
                weights: base + lists.weights,
                values: values.address(),
                workspace: half.workspace.address(),
                batch: half.batch.address(),
            };
            engine.kernels().render(work, list, memory)?;
        }
        let mut all = rows;
        if let Some(mix) = mix {
            let count = rows - mix.first as usize;
            let mixed = half.batch.part(list.batch_bytes() as usize, list.batch_bytes() as usize / rows * count)?;
            // SAFETY: the rows were rendered on the same stream; the mixed ones fit behind them.
            unsafe { engine.kernels().mix(work, half.batch.address(), mixed, mix, count as u32) }?;
            all += count;
        }
        work.record(&half.rendered)?;
        consumer.wait(&half.rendered)?;
        let address = half.batch.address();
        if let Pixels::Parcel(batch) = pixels {
            let (step, samples) = (batch.plan().step, batch.plan().samples.clone());
            half.status_words = if expansion.chunks().is_empty() { 0 } else { status_words };
            self.pending.push_back(Pending { batch: Some(batch), half: now, step, samples });
        }
        Ok(Rendered { address, rows: all })
    }

    /// Lists the views and what they need; returns the bytes of pixels that kernels make, which lie behind `expanded_at`.
    fn fill_lists(&mut self, pixels: &Pixels<'_>, expanded_at: usize) -> Result<usize, StageError> {
        self.list.clear();
        self.expansion.clear();
        match pixels {
            Pixels::Parcel(batch) => {
                let (plan, mut end) = (batch.plan(), expanded_at as u64);
                let mut row_sources = vec![None; plan.views.len()];
                for image in 0..plan.images() {
                    let sources = batch.slot().image(image);
                    add_image(&mut self.expansion, plan, image, &sources, &mut end, &mut row_sources);
                }
                for (row, source) in row_sources.into_iter().enumerate() {
                    self.push(plan, row, source.expect("the loader fills every image of a batch"))?;
                }
                Ok((end - expanded_at as u64) as usize)
            }
            Pixels::Resident(resident, plan) => {
                for (row, view) in plan.views.iter().enumerate() {
                    let image = view.source as usize;
                    self.push(plan, row, resident.source(plan.samples[image]))?;
                }
                Ok(0)
            }
        }
    }

    fn push(&mut self, plan: &EpisodePlan, row: usize, source: Source) -> Result<(), StageError> {
        let pushed = self.list.push(&plan.views[row], source);
        pushed.map_err(|source| StageError::Plan { step: plan.step, row, source })
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

    /// The device.
    pub fn gpu(&self) -> &Gpu {
        self.work.gpu()
    }
}

impl Drop for Stage {
    /// Buffers and slots must outlive what is queued on them.
    fn drop(&mut self) {
        let _ = self.copies.synchronize();
        let _ = self.work.synchronize();
    }
}

/// Adds what makes the pixels of `image` to the batch's lists, and notes for each of its rows where they are.
fn add_image(
    expansion: &mut Expansion,
    plan: &EpisodePlan,
    image: usize,
    sources: &ImageSources,
    end: &mut u64,
    row_sources: &mut [Option<Source>],
) {
    let regions = sources.regions().iter().map(|region| {
        let at = if region.expansion.pictures().is_empty() {
            region.at as u64
        } else {
            let at = *end;
            expansion.append(&region.expansion, image as u32, region.at as u64, at);
            *end = (at + region.pixel_bytes()).next_multiple_of(16);
            at
        };
        Source { at, stride: region.stride, plane: region.plane, held: region.held, image: plan.sizes[image] }
    });
    let regions: Vec<Source> = regions.collect();
    for (view, row) in plan.rows_of(image).enumerate() {
        row_sources[row] = Some(regions[if regions.len() == 1 { 0 } else { view }]);
    }
}

/// Whether a status word says that blocks contradict each other.
fn contradicts(status: u32) -> bool {
    status & CONTRADICTION != 0
}
