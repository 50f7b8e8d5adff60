//! Threads and slots: planned steps become finished batches, in order, in place.
//!
//! ```text
//! planner thread ── tasks (some source images) ──► workers ── last task of a step ──► full[slot] ──► consumer
//!       ▲                                                                                            │
//!       └──────────────────────────── free[slot] ◄── batch dropped ◄────────────────────────────────┘
//! ```
//!
//! Step `k` lives in slot `k % slots`: workers write rows where the consumer reads them; nothing is collated or reordered.
//! Errors and panics of a worker reach the consumer as the error of that step; a corrupt sample may be replaced instead (`stand_in`). Dropping the [`Loader`] stops and joins all threads.
//!
//! - `ring`: slots, channels, threads, over any [`Fill`]; `sync`: whose channels and threads; `batch`: what they bring; `stand_in`: samples in the place of corrupt ones; `quarantine`: which they were. `rows`: slots of rows, over any [`Produce`]; `slot`: their memory.
//! - `views`: the producer of views: record, decode, render. `record`: records whose file changes under them.
//! - `sources`: the producer for devices that render themselves: record, decode or not; `parcel`: the memory of those.
//!   [`stats`]: who was busy and who waited.
//!
//! Not here: what is drawn (`episode`), tensors (`device`).

mod batch;
mod executor;
mod parcel;
mod quarantine;
mod record;
mod ring;
mod rows;
mod slot;
mod sources;
mod stand_in;
pub mod stats;
mod sync;
mod views;

use crate::augment::want::PlanError;
use crate::decode::DecodeError;
use crate::episode::EpisodeError;
use crate::gpu::GpuError;
use crate::shard::{Refusal, Section, ShardError};

pub use batch::Batch;
pub use parcel::{ImageSources, PIECE_ALIGN, Parcel, RegionSource, roomy};
pub use quarantine::{Corrupt, Quarantine};
pub(crate) use record::with_record;
pub use ring::{Fill, Loader};
pub use rows::{Produce, RingSize};
pub use slot::RowBuffer;
pub use sources::{Expansions, load_sources};
pub use stand_in::{OnCorrupt, Replaced};
pub use stats::{Laps, LoaderStats, Stage};
pub(crate) use views::decode_failure;
pub use views::{Delivery, Executor, LoaderOptions, load_views, load_views_pinned};

/// Why a batch could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The spec or an image cannot give the views asked for.
    #[error(transparent)]
    Episode(#[from] EpisodeError),
    /// A record could not be read.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// A record could not be decoded.
    #[error("sample {sample} ({name}): {source}; `metacl-shard verify` lists every bad record")]
    Decode {
        /// Index of the sample.
        sample: u32,
        /// Its name in the dataset.
        name: String,
        /// What the decoder said.
        source: DecodeError,
    },
    /// A plan that its image cannot give: a bug of this program.
    #[error("sample {sample}, row {row}: {source}; this is a bug, please report it")]
    Plan {
        /// Index of the sample.
        sample: u32,
        /// Row of the batch.
        row: usize,
        /// What the renderer said.
        source: PlanError,
    },
    /// A thread panicked: a bug of this program.
    #[error("step {step}, source image {image}: a loader thread panicked: {message}; this is a bug, please report it")]
    Panic {
        /// 0-based step.
        step: u64,
        /// Row of the step's source table.
        image: usize,
        /// The panic's message.
        message: String,
    },
    /// More corrupt samples than the run puts up with.
    #[error(
        "{count} of {samples} samples are corrupt, more than the share {most} that max_corrupt allows; the first: {first}; \
         see quarantine.jsonl and `metacl-shard verify`, convert the dataset again, or raise max_corrupt"
    )]
    TooManyCorrupt {
        /// Corrupt samples.
        count: u64,
        /// Samples of the dataset.
        samples: u64,
        /// The largest share, 0..=1.
        most: f64,
        /// What is wrong with the first one.
        first: String,
    },
    /// A device, or memory for it.
    #[error(transparent)]
    Gpu(Box<GpuError>),
    /// The operating system gave no thread.
    #[error("cannot start loader thread {thread}: {source}; use fewer workers")]
    Thread {
        /// Which one.
        thread: String,
        /// The system's error.
        source: std::io::Error,
    },
}

impl LoadError {
    /// Whether one sample's record is damaged, cannot be read from its disk or does not decode: all other samples can still be had.
    pub fn is_corrupt_sample(&self) -> bool {
        match self {
            Self::Decode { .. } => true,
            Self::Shard(ShardError::Refused(fault)) => match fault.refusal {
                Refusal::Checksum { section, .. } => section == Section::Record,
                // Else it is a page of the index.
                Refusal::Unreadable => fault.sample.is_some(),
                _ => false,
            },
            _ => false,
        }
    }
}

// Boxed, so that what every loader returns stays small.
impl From<GpuError> for LoadError {
    fn from(error: GpuError) -> Self {
        Self::Gpu(Box::new(error))
    }
}
