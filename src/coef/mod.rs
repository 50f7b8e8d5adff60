//! Coefficient records: a JPEG's quantised DCT coefficients in a form that expands several times faster than Huffman codes, whole or
//! any rectangle, to exactly the pixels of libjpeg-turbo's default decode.
//!
//! - [`Coefficients`]: what a JPEG holds once its entropy code is undone;
//! - [`encode`]: coefficients to a record, [`coefficients`]: back;
//! - [`Expander`]: a record to pixels; [`preview`]: to a picture of an eighth; [`header`]: to sizes;
//! - [`device`]: what kernels need to do what [`Expander`] does.
//!
//! Not here: JPEG files (`decode`), shard files (`shard`), threads.
//!
#![doc = include_str!("layout.md")]

mod chunk;
mod coefficients;
pub mod device;
mod encode;
mod error;
mod expand;
mod layout;
mod restore;
mod tile;

#[cfg(test)]
mod tests;

pub use coefficients::{Coefficients, ColourSpace, Component};
pub use encode::encode;
pub use error::{CoefError, NotCovered};
pub use expand::{Expander, Path, Upto};
pub use layout::Header;
pub use restore::{coefficients, header, preview};
