//! Counter-based randomness: a draw is a function of who asks.
//!
//! - [`philox`]: Philox4x32-10, the generator.
//! - [`stream`]: a seed and a [`Purpose`] make a keyed [`Stream`]; a counter of four words makes a draw.
//! - [`permute`]: a keyed bijection of `0..n` that stores no table.
//!
//! Not here: policies and slots of views (`augment`), the clock, the operating system's entropy.

pub mod permute;
pub mod philox;
pub mod stream;

pub use permute::Permutation;
pub use philox::LANES;
pub use stream::{Draw, Draws, Purpose, Stream};
