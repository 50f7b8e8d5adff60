//! The real producer: record, decode what the views read, render every view into its row.

use std::ops::Range;
use std::sync::Arc;

use super::ring::{Loader, RingSize};
use super::stats::{Meter, Stage};
use super::{LoadError, ring};
use crate::augment::cpu::Renderer;
use crate::augment::want::shared_region;
use crate::decode::{self, Decoder, Limits, Region, Want};
use crate::episode::{EpisodePlan, Planner, SampleMeta};
use crate::image::{Rect, Size};
use crate::shard::ShardSet;

/// Threads and memory of a loader.
#[derive(Clone, Copy, Debug)]
pub struct LoaderOptions {
    /// Worker threads, at least 1.
    pub workers: usize,
    /// Batches in flight, at least 1; memory is `slots * rows * 3 * size * size` bytes.
    pub slots: usize,
    /// What a record may ask of the decoder.
    pub limits: Limits,
}

impl Default for LoaderOptions {
    fn default() -> Self {
        Self { workers: 1, slots: 3, limits: Limits::default() }
    }
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
    let spec = planner.spec();
    // A short last batch may be all there is.
    let images = u64::from(spec.batch).min(set.len()).div_ceil(spec.rank.1.into());
    let classes = images as usize * spec.task.classes_per_image() as usize;
    let size = RingSize {
        workers: options.workers.max(1),
        slots: options.slots.max(1),
        rows: classes * spec.views.len(),
        row_bytes: spec.view.bytes(),
    };
    Loader::start(Views { set, planner, limits: options.limits }, size, steps)
}

struct Views {
    set: Arc<ShardSet>,
    planner: Planner,
    limits: Limits,
}

impl ring::Produce for Views {
    type Scratch = (Decoder, Renderer);

    fn scratch(&self) -> Self::Scratch {
        (Decoder::new(self.limits), Renderer::new(self.planner.spec().view))
    }

    fn plan(&self, step: u64) -> Result<EpisodePlan, LoadError> {
        self.planner.plan(step, |sample| {
            let info = self.set.info(sample.into())?;
            Ok(SampleMeta { size: info.size, label: info.label })
        })
    }

    fn render(
        &self,
        (decoder, renderer): &mut Self::Scratch,
        plan: &EpisodePlan,
        image: usize,
        rows: &mut dyn Iterator<Item = (usize, &mut [u8])>,
        meter: &Meter,
    ) -> Result<(), LoadError> {
        let (sample, size) = (plan.samples[image], plan.sizes[image]);
        let codec = self.set.info(sample.into())?.codec;
        let mut views = 0;
        let mut render = |region: Region<'_>, row: usize, out: &mut [u8]| {
            views += 1;
            renderer.render(region, size, &plan.views[row], out).map_err(|source| LoadError::Plan {
                sample,
                row,
                source,
            })
        };

        let plans = plan.rows_of(image).map(|row| &plan.views[row]);
        match shared_region(plans, size, decode::reads_parts(codec)) {
            Some(region) => {
                let region = meter.time(Stage::Decode, || self.decode(decoder, sample, size, region))?;
                meter.time(Stage::Render, || {
                    for (row, out) in rows {
                        render(region, row, out)?;
                    }
                    Ok::<_, LoadError>(())
                })?;
            }
            None => {
                for (row, out) in rows {
                    let region = plan.views[row].region(size);
                    let region = meter.time(Stage::Decode, || self.decode(decoder, sample, size, region))?;
                    meter.time(Stage::Render, || render(region, row, out))?;
                }
            }
        }
        meter.count(views);
        Ok(())
    }
}

impl Views {
    /// The pixels `region` of `sample`, an image of `size`.
    fn decode<'a>(
        &self,
        decoder: &'a mut Decoder,
        sample: u32,
        size: Size,
        region: Rect,
    ) -> Result<Region<'a>, LoadError> {
        let codec = self.set.info(sample.into())?.codec;
        let bytes = self.set.record(sample.into())?;
        decoder.decode(codec, bytes, size, Want { region }).map_err(|source| {
            let name = self.set.name(sample.into()).unwrap_or("name unreadable").to_owned();
            LoadError::Decode { sample, name, source }
        })
    }
}
