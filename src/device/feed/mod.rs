//! Batches for the network: loaded by threads, rendered by them or by kernels, as tensors on the network's device.
//!
//! Lives here: the choice between the ways ([`Feeder`]), and their common face ([`Feed`], [`Batch`]). `ways`: how batches reach a GPU. Not here: what is loaded (`loader`), when
//! what is copied (`stage`), which device (`route`).

mod ways;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use tch::{Device, Kind, Tensor};

use ways::{Source, Staged, Uploads};

use super::interop::InteropError;
use crate::augment::ViewSpec;
use crate::augment::cuda::{Output, ValueKind};
use crate::episode::{EpisodePlan, MixPlan, Planner};
use crate::gpu::{Gpu, GpuError};
use crate::loader::{
    Delivery, Expansions, LoadError, Loader, LoaderOptions, LoaderStats, OnCorrupt, Quarantine, Replaced, load_sources,
    load_views, load_views_pinned,
};
use crate::shard::ShardSet;
use crate::stage::resident::ResidentError;
use crate::stage::{Engine, Resident, Stage, StageError, Uploader};

/// Batches that a slot of the loader may be kept for besides those being filled: what the stage has in flight.
const STAGED: usize = 2;
/// A dataset of pixels that takes less than this share of the device's free memory lies there as a whole.
const RESIDENT_SHARE: usize = 4;

/// Why there is no next batch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// It could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It could not be rendered on the device.
    #[error(transparent)]
    Stage(Box<StageError>),
    /// Torch does not tell its stream.
    #[error(transparent)]
    Torch(#[from] InteropError),
}

// Boxed, because it is larger than everything else here.
impl From<StageError> for FeedError {
    fn from(error: StageError) -> Self {
        Self::Stage(Box::new(error))
    }
}

impl From<GpuError> for FeedError {
    fn from(error: GpuError) -> Self {
        StageError::from(error).into()
    }
}

impl From<ResidentError> for FeedError {
    fn from(error: ResidentError) -> Self {
        match error {
            ResidentError::Load(error) => error.into(),
            ResidentError::Gpu(error) => error.into(),
        }
    }
}

/// Starts feeds. Cloning is cheap.
#[derive(Clone)]
pub struct Feeder {
    loader: LoaderOptions,
    device: Device,
    renderer: Renderer,
    quarantine: Arc<Quarantine>,
}

/// Who renders.
#[derive(Clone)]
enum Renderer {
    /// The loader's threads; a batch is copied when it is asked for.
    Threads,
    /// The loader's threads, into page-locked memory; batches are copied beside the network's work.
    ThreadsFor(Gpu),
    Kernels(Arc<ByKernels>),
}

/// What renders on a device.
struct ByKernels {
    engine: Engine,
    expansions: Expansions,
    /// Datasets that lie on the device, by their identity.
    residents: Mutex<HashMap<u128, Option<Arc<Resident>>>>,
}

/// How rows of a batch are mixed.
#[derive(Clone)]
pub struct RowMixing {
    /// Views of each class that stay as they are; the later ones are mixed.
    pub supports: usize,
    /// Draws the mixing of a step (0-based).
    pub draw: Arc<dyn Fn(u64) -> MixPlan + Send + Sync>,
}

impl Feeder {
    /// Views are rendered by the loader's threads; the network lives on `device`.
    pub fn on_cpu(loader: LoaderOptions, device: Device) -> Self {
        Self::new(loader, device, Renderer::Threads)
    }

    /// Views are rendered by the loader's threads for the network on `device`, which is `gpu`.
    pub fn on_cpu_for(gpu: Gpu, loader: LoaderOptions, device: Device) -> Self {
        Self::new(loader, device, Renderer::ThreadsFor(gpu))
    }

    /// Views are rendered by the kernels of `engine`, on whose device the network lives: `device`.
    pub fn by_kernels(loader: LoaderOptions, device: Device, engine: Engine, expansions: Expansions) -> Self {
        let kernels = ByKernels { engine, expansions, residents: Mutex::default() };
        Self::new(loader, device, Renderer::Kernels(Arc::new(kernels)))
    }

    fn new(loader: LoaderOptions, device: Device, renderer: Renderer) -> Self {
        Self { loader, device, renderer, quarantine: Arc::new(Quarantine::new(loader.max_corrupt)) }
    }

    /// The corrupt samples that its feeds met.
    pub fn quarantine(&self) -> &Arc<Quarantine> {
        &self.quarantine
    }

    /// Where the network lives.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The batches of `steps`.
    ///
    /// # Errors
    /// [`FeedError`].
    pub fn start(&self, set: &Arc<ShardSet>, planner: Planner, steps: Range<u64>) -> Result<Feed, FeedError> {
        self.start_mixing(set, planner, steps, None)
    }

    /// The batches of `steps` with, where `mixing` is given and kernels render, the mixed rows below each: [`Batch::with_mixed`].
    ///
    /// # Errors
    /// [`FeedError`].
    pub fn start_mixing(
        &self,
        set: &Arc<ShardSet>,
        planner: Planner,
        steps: Range<u64>,
        mixing: Option<RowMixing>,
    ) -> Result<Feed, FeedError> {
        let (view, rows) = (planner.spec().view, planner.most_rows(set.len()));
        let kernels = match &self.renderer {
            Renderer::Kernels(kernels) => kernels,
            Renderer::Threads => {
                let options = LoaderOptions { delivery: Delivery::U8, ..self.loader };
                return Ok(self.feed(set, Way::Threads(load_views(set.clone(), planner, options, steps)?), view));
            }
            Renderer::ThreadsFor(gpu) => {
                let slots = self.loader.slots + STAGED;
                let options = LoaderOptions { slots, delivery: Delivery::U8, ..self.loader };
                let loader = load_views_pinned(set.clone(), planner, options, gpu, steps)?;
                let uploader = Uploader::new(gpu, rows * view.bytes())?;
                return Ok(self.feed(set, Way::Uploads(Box::new(Uploads { uploader, loader })), view));
            }
        };
        // At most all rows are mixed.
        let mixed = if mixing.is_some() { rows } else { 0 };
        let output = Output { kind: ValueKind::F32, channels_last: false };
        let stage = Stage::new(&kernels.engine, view, output, rows + mixed)?;
        let source = match kernels.resident(set, self.loader.corrupt)? {
            Some(resident) => {
                let plans = LoaderOptions { delivery: Delivery::Nothing, ..self.loader };
                Source::Resident(load_views(set.clone(), planner, plans, steps)?, resident)
            }
            None => {
                let slots = self.loader.slots + STAGED;
                let (options, gpu) = (LoaderOptions { slots, ..self.loader }, kernels.engine.gpu());
                Source::Parcels(load_sources(set.clone(), planner, options, kernels.expansions, gpu, steps)?, slots)
            }
        };
        Ok(self.feed(set, Way::Kernels(Box::new(Staged { stage, source, mixing })), view))
    }

    /// Plans of `steps` without images.
    ///
    /// # Errors
    /// [`FeedError`].
    pub fn plans(&self, set: &Arc<ShardSet>, planner: Planner, steps: Range<u64>) -> Result<Feed, FeedError> {
        let view = planner.spec().view;
        let options = LoaderOptions { delivery: Delivery::Nothing, ..self.loader };
        Ok(self.feed(set, Way::Plans(load_views(set.clone(), planner, options, steps)?), view))
    }

    fn feed(&self, set: &Arc<ShardSet>, way: Way, view: ViewSpec) -> Feed {
        let quarantine = self.quarantine.clone();
        Feed { way, view, device: self.device, set: set.clone(), quarantine, failed: false }
    }
}

impl ByKernels {
    /// `set` on the device, where it fits there and, if others are to stand in for corrupt samples, has none.
    fn resident(&self, set: &Arc<ShardSet>, corrupt: OnCorrupt) -> Result<Option<Arc<Resident>>, FeedError> {
        let mut residents = self.residents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = residents.get(&set.identity()) {
            return Ok(known.clone());
        }
        let gpu = self.engine.gpu();
        let most = gpu.memory()?.free / RESIDENT_SHARE;
        let Some(size) = Resident::fits(set, most as u64)? else { return Ok(None) };
        let resident = match Resident::upload(set, size, gpu) {
            Ok(resident) => Some(Arc::new(resident)),
            Err(ResidentError::Load(error)) if corrupt == OnCorrupt::Substitute && error.is_corrupt_sample() => None,
            Err(error) => return Err(error.into()),
        };
        residents.insert(set.identity(), resident.clone());
        Ok(resident)
    }
}

/// Delivers batches in order.
pub struct Feed {
    way: Way,
    view: ViewSpec,
    device: Device,
    set: Arc<ShardSet>,
    quarantine: Arc<Quarantine>,
    failed: bool,
}

enum Way {
    Threads(Loader),
    Uploads(Box<Uploads>),
    Plans(Loader),
    Kernels(Box<Staged>),
}

/// A batch on the network's device.
///
/// Its images may lie in memory that is written anew when the second batch after it is asked for: what lasts longer must be copied, and what
/// autograd saved must have been used.
pub struct Batch {
    plan: EpisodePlan,
    images: Option<Tensor>,
    rows: i64,
}

impl Batch {
    /// A rank's part of a short batch where that is no image.
    fn of_nothing(plan: &EpisodePlan, view: ViewSpec, device: Device) -> Self {
        let side = i64::from(view.size);
        Self { plan: plan.clone(), images: Some(Tensor::zeros([0, 3, side, side], (Kind::Float, device))), rows: 0 }
    }

    /// What it shows.
    pub fn plan(&self) -> &EpisodePlan {
        &self.plan
    }

    /// `[rows, 3, size, size]`, f32 in 0..=1 (torchvision's `ToTensor`: value / 255).
    ///
    /// # Panics
    /// Where only plans were asked for.
    pub fn images(&self) -> Tensor {
        self.all().narrow(0, 0, self.rows)
    }

    /// The images and, below them, mixed rows, where kernels made them.
    pub fn with_mixed(&self) -> Option<Tensor> {
        let all = self.all();
        (all.size()[0] > self.rows).then(|| all.shallow_clone())
    }

    fn all(&self) -> &Tensor {
        self.images.as_ref().expect("images were asked for")
    }
}

impl Feed {
    /// Busy and waiting times of the loader so far.
    pub fn stats(&self) -> LoaderStats {
        match &self.way {
            Way::Threads(loader) | Way::Plans(loader) => loader.stats(),
            Way::Uploads(uploads) => uploads.loader.stats(),
            Way::Kernels(staged) => match &staged.source {
                Source::Parcels(loader, _) => loader.stats(),
                Source::Resident(loader, _) => loader.stats(),
            },
        }
    }

    fn advance(&mut self) -> Result<Option<Batch>, FeedError> {
        let (view, device) = (self.view, self.device);
        let note = |replaced: &[Replaced]| self.quarantine.note(&self.set, replaced);
        match &mut self.way {
            Way::Threads(loader) => {
                let Some(batch) = ways::next(loader, &note)? else { return Ok(None) };
                let images = Some(super::images(&batch, view, device));
                Ok(Some(Batch { rows: batch.plan().views.len() as i64, images, plan: batch.plan().clone() }))
            }
            Way::Uploads(uploads) => uploads.advance(view, device, &note),
            Way::Plans(loader) => {
                Ok(loader.next().transpose()?.map(|batch| Batch { plan: batch.plan().clone(), images: None, rows: 0 }))
            }
            Way::Kernels(staged) => staged.advance(view, device, &note),
        }
    }

    /// Waits until everything asked for has been rendered: then it is known whether its records were sound. For before what was trained on
    /// them is kept.
    ///
    /// # Errors
    /// [`StageError::Contradiction`] for a record that was not.
    pub fn settle(&mut self) -> Result<(), FeedError> {
        match &mut self.way {
            Way::Kernels(staged) => Ok(staged.stage.drain()?),
            _ => Ok(()),
        }
    }
}

impl Iterator for Feed {
    type Item = Result<Batch, FeedError>;

    /// `None` after the last batch or after an error.
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.advance().transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}
