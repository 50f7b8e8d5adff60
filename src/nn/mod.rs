//! Networks and losses.
//!
//! - [`weights`]: every tensor of a network by its published name; state out, state in. [`init`]: initial values from (seed, name).
//! - [`encoder`]: [`Encoder`], backbone + projector + rotation head; the face of this module.
//! - `recognise`: which backbone a state holds; taking it over alone.
//! - `resnet`, `conv4`: backbones, images to features. `projector`: features to embeddings. `layers`, `norm`: their parts.
//! - [`bootstrap`]: the networks beside the encoder that BYOL and SimSiam train with. [`autocast`]: reduced precision.
//! - [`head`]: embeddings to losses, one head a file.
//!
//! Not here: updates (`optim`), files (`train`), where images come from (`loader`).
//!
//! Images are f32 (or f64) `[rows, 3, height, width]` in 0..=1, without mean and standard deviation taken off, as published.

#![deny(unsafe_code)]

pub mod autocast;
pub mod bootstrap;
mod conv4;
pub mod encoder;
pub mod head;
pub mod init;
mod layers;
mod norm;
mod projector;
mod recognise;
mod resnet;
pub mod weights;

pub use autocast::Precision;
pub use bootstrap::Bootstrap;
pub use encoder::{Arch, Encoder, EncoderSpec, Stem};
pub use head::{Head, HeadOut};
pub use init::InitStyle;
pub use norm::Mode;
pub use projector::ProjectorSpec;
pub use recognise::BACKBONE;
pub use weights::{Role, Weight, Weights};

/// What can be wrong about a network.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum NnError {
    /// A tensor of the network is not in the state.
    #[error("the state lacks `{name}`; it was saved from another architecture or is incomplete")]
    Missing {
        /// The network's name for it.
        name: String,
    },
    /// The state holds a tensor that the network has not.
    #[error("the state holds `{name}`, which this network has not; it was saved from another architecture")]
    Unexpected {
        /// The state's name for it.
        name: String,
    },
    /// A tensor of the state has another shape.
    #[error(
        "`{name}` has shape {got:?} in the state and {want:?} in this network; it was saved from another architecture"
    )]
    Shape {
        /// The tensor's name.
        name: String,
        /// The network's shape.
        want: Vec<i64>,
        /// The state's shape.
        got: Vec<i64>,
    },
    /// A tensor of the state holds integers for floats or the other way round.
    #[error("`{name}` holds {got} in the state; this network keeps {want} there")]
    Kind {
        /// The tensor's name.
        name: String,
        /// What the network holds: `floats` or `integers`.
        want: &'static str,
        /// What the state holds.
        got: &'static str,
    },
    /// The backbone's poolings leave nothing of so small an image.
    #[error("images of {size} pixels are too small for {arch}; the smallest is {least}")]
    ImageSize {
        /// Name of the backbone.
        arch: &'static str,
        /// Side in pixels.
        size: u32,
        /// Smallest side in pixels.
        least: u32,
    },
    /// The device cannot compute in a precision.
    #[error("precision: {reason}")]
    Precision {
        /// Why not.
        reason: String,
    },
}
