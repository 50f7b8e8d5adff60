//! What is queued for a batch: lists, copies, kernels, and the events between them.

use super::half::Half;
use super::{Pixels, Rendered, Stage, StageError};
use crate::augment::cuda::{ExpandMemory, MixArgs, Source, ViewMemory};
use crate::coef::device::Expansion;
use crate::episode::EpisodePlan;
use crate::gpu::Stream;
use crate::loader::{ImageSources, roomy};

/// What kernels read pixels by whole units of, at most.
const PIXELS_ALIGN: usize = 256;

impl Stage {
    /// Queues everything of a batch in half `now`, which is idle.
    pub(super) fn launch(
        &mut self,
        pixels: &Pixels<'_>,
        now: usize,
        mix: Option<MixArgs>,
        consumer: &Stream,
    ) -> Result<Rendered, StageError> {
        // What the consumer has queued so far: all uses of earlier batches.
        consumer.record(&self.halves[now].entered)?;
        let (uploaded, status_words) = match pixels {
            Pixels::Parcel(batch) => (batch.slot().with_bytes(<[u8]>::len), batch.plan().images()),
            Pixels::Resident(..) => (0, 0),
        };
        let expanded_at = uploaded.next_multiple_of(PIXELS_ALIGN);
        let pixel_bytes = self.fill_lists(pixels, expanded_at)?;
        self.reserve_samples()?;

        let Self { copies, work, halves, samples, list, expansion, values, engine, .. } = self;
        let [first, second] = halves;
        let (half, previous) = if now == 0 { (first, &*second) } else { (second, &*first) };
        half.reserve(list, expanded_at + pixel_bytes, status_words)?;
        let lists = half.lists.write(list, expansion)?;
        // SAFETY: lists and arena belong to this half, which nothing queued uses; the parcel's bytes stay until `copied` has passed,
        // because the caller keeps the batch until then, or synchronizes.
        unsafe {
            half.lists.copy(copies)?;
            if let Pixels::Parcel(batch) = pixels {
                batch.slot().with_bytes(|bytes| copies.copy_to_device(&half.arena, 0, bytes))?;
            }
        }
        copies.record(&half.copied)?;

        work.wait(&half.copied)?;
        // Before the call before this one, the consumer had queued its last use of this half's batch.
        work.wait(&previous.entered)?;
        let base = half.lists.address();
        let arena = match pixels {
            Pixels::Parcel(_) => half.arena.address(),
            Pixels::Resident(resident, _) => resident.address(),
        };
        // SAFETY: every address is of a buffer reserved above for these lists; they are filled on `copies` before `copied`, which `work`
        // waits for.
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
                half.status_words = status_words;
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
        let (address, mut rows) = (half.batch.address(), list.views().len());
        if let Some(mix) = mix {
            rows += self.mix_below(now, pixels.plan(), mix)?;
        }
        let half = &self.halves[now];
        self.work.record(&half.rendered)?;
        consumer.wait(&half.rendered)?;
        Ok(Rendered { address, rows })
    }

    /// Queues mixed rows below the views of half `now`; returns how many.
    fn mix_below(&self, now: usize, plan: &EpisodePlan, mix: MixArgs) -> Result<usize, StageError> {
        let (rows, row_bytes) = (self.list.views().len(), self.row_bytes());
        let (first, classes) = (mix.first as usize, mix.classes as usize);
        let whole = |rows: usize| classes > 0 && rows.is_multiple_of(classes);
        let count = rows.checked_sub(first).filter(|&count| whole(count) && whole(first));
        let count = count.ok_or(StageError::Mixing { step: plan.step, first, rows, classes })?;
        let Half { batch, .. } = &self.halves[now];
        let mixed = batch.part(rows * row_bytes, count * row_bytes)?;
        // SAFETY: the rows are rendered on the same stream before; the mixed ones fit behind them.
        unsafe { self.engine.kernels().mix(&self.work, batch.address(), mixed, mix, count as u32) }?;
        Ok(count)
    }

    /// Room for the samples of the batch that is listed.
    fn reserve_samples(&mut self) -> Result<(), StageError> {
        let needed = self.expansion.sample_bytes() as usize;
        if self.samples.len() < needed {
            // The batch before may still use it.
            self.work.synchronize()?;
            let gpu = self.work.gpu().clone();
            self.samples = gpu.allocate(0)?;
            self.samples = gpu.allocate(roomy(needed))?;
        }
        Ok(())
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
