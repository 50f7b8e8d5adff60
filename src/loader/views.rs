//! The real producer: record, decode what the views read, render every view into its row.

use std::ops::Range;
use std::sync::Arc;

use super::LoadError;
use super::executor::AnyRenderer;
use super::record::with_record;
use super::ring::Loader;
use super::rows::{Produce, RingSize};
use super::stand_in::{self, OnCorrupt};
use super::stats::{Laps, Stage};
use crate::augment::cpu::to_unit_f32;
use crate::augment::want::shared_region;
use crate::decode::{self, DecodeError, Decoder, Limits, Region, Want};
use crate::episode::{EpisodePlan, Planner, SampleMeta};
use crate::gpu::Gpu;
use crate::image::Rect;
use crate::shard::{SampleInfo, ShardError, ShardSet, Stored};

/// Threads and memory of a loader, and what it delivers.
#[derive(Clone, Copy, Debug)]
pub struct LoaderOptions {
    /// Worker threads, at least 1.
    pub workers: usize,
    /// Batches in flight, at least 1; memory is `slots` times the bytes of a batch.
    pub slots: usize,
    /// What a record may ask of the decoder.
    pub limits: Limits,
    /// Who renders.
    pub executor: Executor,
    /// Type of the values.
    pub delivery: Delivery,
    /// What becomes of corrupt samples.
    pub corrupt: OnCorrupt,
    /// The largest share of a dataset's samples, 0..=1, that may be corrupt; for whoever counts them ([`Quarantine`](super::Quarantine)).
    pub max_corrupt: f64,
}

impl Default for LoaderOptions {
    fn default() -> Self {
        Self {
            workers: 1,
            slots: 3,
            limits: Limits::default(),
            executor: Executor::default(),
            delivery: Delivery::default(),
            corrupt: OnCorrupt::default(),
            max_corrupt: 1.0,
        }
    }
}

/// Who renders the views. All give the same bytes, but for blur by the reference (see [`BLUR_LEVELS`](crate::augment::BLUR_LEVELS)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Executor {
    /// The fastest code for this CPU.
    #[default]
    Fast,
    /// The plain code that runs on every CPU.
    Scalar,
    /// The definition, pixel by pixel; slow.
    #[cfg(feature = "reference")]
    Reference,
}

/// Type of the values of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// u8, 0..=255; the device converts.
    #[default]
    U8,
    /// f32, the u8 value divided by 255.
    UnitF32,
    /// No pixels: plans alone, for what was embedded before. Nothing is read but the index.
    Nothing,
}

/// Starts loading the views of `planner` over `set` for `steps`.
///
/// # Errors
/// [`LoadError::Thread`] where the system gives no thread. Everything else comes with the batch it concerns.
pub fn load_views(
    set: Arc<ShardSet>,
    planner: Planner,
    options: LoaderOptions,
    steps: Range<u64>,
) -> Result<Loader, LoadError> {
    let size = ring_size(&planner, &set, options);
    Loader::start(Views { set, planner, options }, size, steps)
}

/// As [`load_views`], into page-locked memory, which `gpu` copies from by itself.
///
/// # Errors
/// Also [`LoadError::Gpu`] where there is no such memory.
pub fn load_views_pinned(
    set: Arc<ShardSet>,
    planner: Planner,
    options: LoaderOptions,
    gpu: &Gpu,
    steps: Range<u64>,
) -> Result<Loader, LoadError> {
    let size = ring_size(&planner, &set, options);
    Loader::start_pinned(Views { set, planner, options }, size, gpu, steps)
}

fn ring_size(planner: &Planner, set: &ShardSet, options: LoaderOptions) -> RingSize {
    let rows = planner.most_rows(set.len());
    let value_bytes = match options.delivery {
        Delivery::U8 => 1,
        Delivery::UnitF32 => size_of::<f32>(),
        Delivery::Nothing => 0,
    };
    RingSize {
        workers: options.workers.max(1),
        slots: options.slots.max(1),
        rows,
        row_bytes: planner.spec().view.bytes() * value_bytes,
    }
}

/// The plan of `step`, of samples of `set`, which `look_up` asks of it; now and then it is seen whether its files are still what they were.
pub(super) fn plan_of(
    set: &ShardSet,
    planner: &Planner,
    step: u64,
    look_up: impl Fn(&ShardSet, u64) -> Result<SampleInfo, ShardError>,
) -> Result<EpisodePlan, LoadError> {
    set.look_again(step)?;
    planner.plan(step, |sample| Ok(meta_of(look_up(set, sample.into())?)))
}

/// What planning needs of a sample.
pub(super) fn meta_of(info: SampleInfo) -> SampleMeta {
    SampleMeta { size: info.size, label: info.label }
}

/// The error of a sample that does not decode, with its name.
pub(crate) fn decode_failure(set: &ShardSet, sample: u32, source: DecodeError) -> LoadError {
    let name = set.name(sample.into()).unwrap_or("name unreadable").to_owned();
    LoadError::Decode { sample, name, source }
}

struct Views {
    set: Arc<ShardSet>,
    planner: Planner,
    options: LoaderOptions,
}

/// What a worker keeps from one image to the next; nothing of the image itself.
struct Scratch {
    decoder: Decoder,
    renderer: AnyRenderer,
    /// A view before it becomes f32.
    view: Vec<u8>,
}

impl Produce for Views {
    type Scratch = Scratch;

    fn scratch(&self) -> Self::Scratch {
        let view = self.planner.spec().view;
        Scratch {
            decoder: Decoder::new(self.options.limits),
            renderer: AnyRenderer::new(self.options.executor, view),
            view: vec![0; view.bytes()],
        }
    }

    fn plan(&self, step: u64) -> Result<EpisodePlan, LoadError> {
        if self.options.delivery == Delivery::Nothing {
            return plan_of(&self.set, &self.planner, step, ShardSet::info);
        }
        // Up to `slots` steps before the workers come to them.
        plan_of(&self.set, &self.planner, step, ShardSet::read_ahead)
    }

    fn stand_in(&self, plan: &EpisodePlan, image: usize, attempt: u32) -> Result<Option<EpisodePlan>, LoadError> {
        stand_in::stand_in(&self.set, &self.planner, self.options.corrupt, plan, image, attempt)
    }

    fn render(
        &self,
        scratch: &mut Scratch,
        plan: &EpisodePlan,
        image: usize,
        rows: &mut dyn Iterator<Item = (usize, &mut [u8])>,
        laps: &mut Laps,
    ) -> Result<(), LoadError> {
        if self.options.delivery == Delivery::Nothing {
            return Ok(());
        }
        with_record(&self.set, plan.samples[image], |stored| {
            self.render_record(scratch, stored, plan, image, rows, laps)
        })
    }
}

impl Views {
    /// Renders the views of source `image`, whose record is `stored`.
    fn render_record(
        &self,
        scratch: &mut Scratch,
        stored: &Stored<'_>,
        plan: &EpisodePlan,
        image: usize,
        rows: &mut dyn Iterator<Item = (usize, &mut [u8])>,
        laps: &mut Laps,
    ) -> Result<(), LoadError> {
        let size = plan.sizes[image];
        if let Some(&next) = plan.samples.get(image + 1) {
            self.set.prefetch(next.into());
        }
        let plans = plan.rows_of(image).map(|row| &plan.views[row]);
        let shared = if scratch.renderer.needs_all() {
            Some(size.rect())
        } else {
            shared_region(plans, size, decode::reads_parts(stored.info.codec))
        };
        let mut views = 0;
        match shared {
            Some(region) => {
                let region = self.decode(&mut scratch.decoder, stored, plan, image, region)?;
                laps.mark(Stage::Decode);
                for (row, out) in rows {
                    self.view(&mut scratch.renderer, &mut scratch.view, region, plan, row, out)?;
                    views += 1;
                }
                laps.mark(Stage::Render);
            }
            None => {
                for (row, out) in rows {
                    let region = plan.views[row].region(size);
                    let region = self.decode(&mut scratch.decoder, stored, plan, image, region)?;
                    laps.mark(Stage::Decode);
                    self.view(&mut scratch.renderer, &mut scratch.view, region, plan, row, out)?;
                    laps.mark(Stage::Render);
                    views += 1;
                }
            }
        }
        laps.count(views);
        Ok(())
    }

    /// The pixels `region` of source `image`.
    fn decode<'a>(
        &'a self,
        decoder: &'a mut Decoder,
        stored: &'a Stored<'_>,
        plan: &EpisodePlan,
        image: usize,
        region: Rect,
    ) -> Result<Region<'a>, LoadError> {
        let want = Want { region, verify: stored.check_parts };
        let decoded = decoder.decode(stored.info.codec, &stored.bytes, plan.sizes[image], want);
        decoded.map_err(|source| decode_failure(&self.set, plan.samples[image], source))
    }

    /// Renders row `row` of `plan` into `out`.
    fn view(
        &self,
        renderer: &mut AnyRenderer,
        view: &mut [u8],
        region: Region<'_>,
        plan: &EpisodePlan,
        row: usize,
        out: &mut [u8],
    ) -> Result<(), LoadError> {
        let source = plan.views[row].source as usize;
        let (sample, size) = (plan.samples[source], plan.sizes[source]);
        let rendered = match self.options.delivery {
            Delivery::Nothing => Ok(()),
            Delivery::U8 => renderer.render(region, size, &plan.views[row], out),
            Delivery::UnitF32 => renderer
                .render(region, size, &plan.views[row], view)
                .map(|()| to_unit_f32(view, bytemuck::cast_slice_mut(out))),
        };
        rendered.map_err(|source| LoadError::Plan { sample, row, source })
    }
}
