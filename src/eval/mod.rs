//! How good an encoder is: kNN and a linear probe on frozen features.
//!
//! - [`subject`]: the encoder under judgement. [`mod@embed`]: a dataset through it once.
//! - [`mod@knn`]: weighted k nearest neighbours. [`mod@linear`]: a linear probe on embeddings. [`few_shot`]: episodes of labelled images.
//! - [`shares`]: top-1 and top-5. [`interval`]: means with 95 % intervals.
//!
//! Of several processes each embeds whole batches of its own and has all embeddings afterwards; queries of kNN and few-shot episodes are
//! shared out likewise, in the chunks of one process, so that not a byte differs from it. The linear probe, which is small, each trains alike.
//!
//! Not here: networks (`nn`), training of encoders (`train`).

pub mod embed;
pub mod few_shot;
pub mod interval;
pub mod knn;
pub mod linear;
pub mod shares;
pub mod subject;

pub use embed::{Embedding, embed};
pub use few_shot::FewShotError;
pub use interval::Interval;
pub use knn::{Knn, knn};
pub use linear::{LinearProbe, linear_probe};
pub use shares::{Counter, Shares};
pub use subject::{Normalise, Subject};

use crate::device::FeedError;
use crate::dist::DistError;
use crate::loader::LoadError;

/// Why an encoder cannot be judged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// The images could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// They could not be brought to the device.
    #[error(transparent)]
    Feed(Box<FeedError>),
    /// A rank is gone.
    #[error(transparent)]
    Dist(Box<DistError>),
    /// No few-shot episode can be drawn.
    #[error(transparent)]
    FewShot(#[from] FewShotError),
    /// A sample without a class.
    #[error("sample {sample} ({name}) has no class: kNN and linear evaluation need a labelled dataset")]
    NoLabel {
        /// Index of the sample.
        sample: u32,
        /// Its name in the dataset.
        name: String,
    },
}

impl From<DistError> for EvalError {
    fn from(error: DistError) -> Self {
        Self::Dist(Box::new(error))
    }
}

impl From<FeedError> for EvalError {
    /// What could not be loaded is the same error, whoever renders.
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::Load(error) => Self::Load(error),
            error => Self::Feed(Box::new(error)),
        }
    }
}
