//! How good an encoder is: kNN and a linear probe on frozen features.
//!
//! - [`mod@embed`]: a dataset through an encoder once. [`knn`]: weighted k nearest neighbours. [`linear`]: a linear probe on embeddings.
//!
//! Not here: networks (`nn`), training of encoders (`train`).

pub mod embed;
pub mod knn;
pub mod linear;

pub use embed::{Embedding, embed};
pub use knn::{Knn, knn_top1};
pub use linear::{LinearProbe, linear_top1};

use crate::loader::LoadError;

/// Why an encoder cannot be judged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// The images could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A sample without a class.
    #[error("sample {sample} ({name}) has no class: kNN and linear evaluation need a labelled dataset")]
    NoLabel {
        /// Index of the sample.
        sample: u32,
        /// Its name in the dataset.
        name: String,
    },
}
