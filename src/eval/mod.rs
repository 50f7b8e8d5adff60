//! How good an encoder is: kNN and a linear probe on frozen features.
//!
//! - [`embed`]: a dataset through an encoder once. [`knn`]: weighted k nearest neighbours. [`linear`]: a linear probe on embeddings.
//!
//! Not here: networks (`nn`), training of encoders (`train`).

pub mod embed;
pub mod knn;
pub mod linear;

pub use embed::{Embedding, embed};
pub use knn::{Knn, knn_top1};
pub use linear::{LinearProbe, linear_top1};
