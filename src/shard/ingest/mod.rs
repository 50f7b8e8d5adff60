//! Sources of `metacl-shard convert` and `synthetic`: where samples come from, in which order, under which label.
//!
//! A source is read in two strokes. First its *index*: names, labels and places of all samples, sorted, without a byte of
//! image data. Then the samples, in parallel, each by [`Item::load`]. So the order never depends on timing, and memory is the
//! index (about 100 bytes a sample) plus the samples in flight. CIFAR is the exception: its batches (at most 200 MB) are held.
//!
//! - [`detect`]: which format a path holds, and the entry point [`detect::read`].
//! - [`folder`]: class folders with image files. [`imagenet_tar`]: ILSVRC2012 as downloaded. [`webdataset`]: tars of `key.ext` groups.
//!   [`cifar`]: CIFAR-10/100, binary and pickled; [`pickle`] reads the latter as data.
//! - [`archive`]: the members of a plain tar by offset. [`labels`]: label files of the ILSVRC2012 validation images.
//! - [`synthetic`]: the generated set.
//!
//! Not here: decoding, sizes, re-encoding (rank 2 and above; the program does them), writing shards.

#![forbid(unsafe_code)]

pub mod archive;
pub mod cifar;
pub mod detect;
mod error;
pub mod folder;
pub mod imagenet_tar;
mod item;
pub mod labels;
pub mod pickle;
pub mod synthetic;
pub mod webdataset;

pub use detect::{Format, Options, read};
pub use error::{IngestError, Reason};
pub use item::{Dataset, Item, LeftOut, Payload, Place, Split};

/// Largest single image file that is read, in bytes; a larger one is left out and listed.
///
/// Bounds the memory of a conversion: a few files a worker are in flight.
pub const MAX_FILE_BYTES: u64 = 256 << 20;

/// Names of splits, in the order they are converted.
pub const SPLITS: [&str; 3] = ["train", "val", "test"];
