//! Coefficient records: a JPEG's quantised DCT coefficients in a form that expands several times faster than Huffman codes, whole or
//! any rectangle, to exactly the pixels of libjpeg-turbo's default decode.
//!
//! - [`coefficients`]: [`Coefficients`], what a JPEG holds once its entropy code is undone.
//!
//! Not here: JPEG files (`decode`), shard files (`shard`), threads.

pub mod coefficients;

pub use coefficients::{Coefficients, ColourSpace, Component};
