//! The two ways in which batches reach a GPU without the network's waiting: copied where threads rendered them, or rendered by kernels.

use std::sync::Arc;

use tch::{Device, Tensor};

use super::{Batch, FeedError, RowMixing};
use crate::augment::ViewSpec;
use crate::augment::cuda::{MixArgs, ValueKind};
use crate::device::{interop, unit};
use crate::episode::{EpisodePlan, MixPlan};
use crate::gpu::{DeviceBuffer, Gpu, RawStream, Stream};
use crate::loader::{self, LoadError, Loader, Parcel, Replaced};
use crate::stage::{Rendered, Resident, Stage, Uploader};

/// Takes down the corrupt samples of a batch.
pub(super) type Note<'a> = &'a dyn Fn(&[Replaced]) -> Result<(), LoadError>;

/// The next batch of `loader`, its corrupt samples noted.
pub(super) fn next<S: Send + Sync + 'static>(
    loader: &mut Loader<S>,
    note: Note<'_>,
) -> Result<Option<loader::Batch<S>>, FeedError> {
    let Some(batch) = loader.next().transpose()? else { return Ok(None) };
    note(batch.replaced())?;
    Ok(Some(batch))
}

/// Fields go in order: the uploader waits before the slots that it copies from go.
pub(super) struct Uploads {
    pub(super) uploader: Uploader,
    pub(super) loader: Loader,
}

/// Fields go in order: the stage waits before the slots and datasets that it reads go.
pub(super) struct Staged {
    pub(super) stage: Stage,
    pub(super) source: Source,
    pub(super) mixing: Option<RowMixing>,
}

pub(super) enum Source {
    Parcels(Loader<Parcel>, usize),
    Resident(Loader, Arc<Resident>),
}

impl Uploads {
    /// The next batch of threads, whose copy is queued; torch makes f32 of it.
    pub(super) fn advance(
        &mut self,
        view: ViewSpec,
        device: Device,
        note: Note<'_>,
    ) -> Result<Option<Batch>, FeedError> {
        let Self { uploader, loader } = self;
        uploader.keep_at_most(1)?;
        let Some(batch) = next(loader, note)? else { return Ok(None) };
        if batch.plan().images() == 0 {
            return Ok(Some(Batch::of_nothing(batch.plan(), view, device)));
        }
        let (plan, consumer) = (batch.plan().clone(), consumer(uploader.gpu(), device)?);
        let rendered = uploader.upload(batch, &consumer)?;
        if !device.is_cuda() {
            // The device of tests: torch reads its memory from the host, at once.
            uploader.drain()?;
        }
        let levels = lent(uploader.memory(rendered), rendered, view, true, device)?;
        Ok(Some(Batch { rows: plan.views.len() as i64, images: Some(unit(&levels)), plan }))
    }
}

impl Staged {
    pub(super) fn advance(
        &mut self,
        view: ViewSpec,
        device: Device,
        note: Note<'_>,
    ) -> Result<Option<Batch>, FeedError> {
        let Self { source, stage, mixing } = self;
        let consumer = consumer(stage.gpu(), device)?;
        let mix = |plan: &EpisodePlan| mixing.as_ref().map(|mixing| mix_args(mixing, plan, view));
        let (plan, rendered) = match source {
            Source::Parcels(loader, slots) => {
                stage.keep_at_most(*slots - 1)?;
                let Some(batch) = next(loader, note)? else { return self.end() };
                let plan = batch.plan().clone();
                if plan.images() == 0 {
                    return Ok(Some(Batch::of_nothing(&plan, view, device)));
                }
                let mix = mix(&plan);
                let rendered = stage.render(batch, mix, &consumer)?;
                (plan, rendered)
            }
            Source::Resident(loader, resident) => {
                let Some(batch) = loader.next().transpose()? else { return self.end() };
                let plan = batch.plan().clone();
                if plan.images() == 0 {
                    return Ok(Some(Batch::of_nothing(&plan, view, device)));
                }
                let rendered = stage.render_resident(resident, &plan, mix(&plan), &consumer)?;
                (plan, rendered)
            }
        };
        if !device.is_cuda() {
            // The device of tests: torch reads its memory from the host, at once.
            stage.drain()?;
        }
        let rows = plan.views.len() as i64;
        let images = lent(stage.memory(rendered), rendered, view, false, device)?;
        Ok(Some(Batch { images: Some(images), plan, rows }))
    }

    /// Nothing more comes; what the last batches left is looked at.
    fn end(&mut self) -> Result<Option<Batch>, FeedError> {
        self.stage.drain()?;
        Ok(None)
    }
}

/// Torch's current stream on `device`.
fn consumer(gpu: &Gpu, device: Device) -> Result<Stream, FeedError> {
    let raw = if device.is_cuda() { RawStream(interop::current_stream(device)?) } else { RawStream::LEGACY };
    // SAFETY: torch never destroys a stream.
    Ok(unsafe { gpu.foreign_stream(raw) })
}

/// The rows as a tensor, which keeps their `memory`; u8 where they are `levels`, else f32.
fn lent(
    memory: Arc<DeviceBuffer>,
    rendered: Rendered,
    view: ViewSpec,
    levels: bool,
    device: Device,
) -> Result<Tensor, FeedError> {
    let side = i64::from(view.size);
    let sizes = [rendered.rows as i64, 3, side, side];
    // SAFETY: so many rows lie there; freeing the memory waits for what is queued on it; kernels and copies are ordered before torch's stream, and
    // write there again only behind what torch had queued one call before: `Batch` says until when the images may be used.
    Ok(unsafe { interop::lend(memory, rendered.address, &sizes, levels, device) }?)
}

fn mix_args(mixing: &RowMixing, plan: &EpisodePlan, view: ViewSpec) -> MixArgs {
    let MixPlan { share, patch } = (mixing.draw)(plan.step);
    let [top, left, height, width] = patch.map_or([0; 4], |patch| [patch.top, patch.left, patch.height, patch.width]);
    // A patch of no pixels leaves the rows as they are: a blend by nothing.
    let (share, other) = if patch.is_some() { (1.0, 0.0) } else { (share, 1.0 - share) };
    MixArgs {
        classes: plan.layout.classes as u32,
        first: plan.layout.support(mixing.supports).end as u32,
        size: view.size,
        channels_last: 0,
        kind: MixArgs::kind_of(ValueKind::F32),
        share: share as f32,
        other: other as f32,
        top,
        left,
        height,
        width,
    }
}
