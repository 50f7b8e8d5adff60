//! metacl feeds and trains contrastive learning and meta-learning on images.
//!
//! # The way of a sample
//!
//! ```text
//! seed, epoch, step, rank ──► episode::sampler ──► sample ids             (pure)
//! ids, policies, sizes ─────► episode::plan ─────► EpisodePlan            (pure; ALL randomness of the batch)
//! mapped shard ─► bytes ────► decode what the views of a sample read
//!                             └─► augment::cpu: every view rendered straight into its row of a slot
//! slot ──► device: one copy per batch ──► Batch { images, rows, labels }
//! Batch ─► train: encoder ─► heads ─► loss ─► optimizer                   (nothing flows back but "slot is free")
//! ```
//!
//! # What is promised
//!
//! - **A batch is a function** of (data, config, seed, step). Thread count, world size, executor and resume cannot change it:
//!   every random choice is drawn by a counter-based generator and written into an [`episode::EpisodePlan`] before a byte is decoded.
//! - **A view is what Pillow gives**, to the byte, for crop, resize, jitter and gray; blur within one level.
//! - **Bad input is an error**, with file, offset or key, the value, and what to do.
//!
//! # Modules, lowest first (a module imports only from lower ranks; `tests/layering.rs` holds this)
//!
//! | rank | module | holds |
//! | --- | --- | --- |
//! | 0 | [`rng`], [`image`], [`atomic`] | counter-based randomness; borrowed pixels, sizes, rectangles; files that are whole or not there |
//! | 1 | [`shard`], [`coef`], [`gpu`], [`weights`] | the dataset file; recoded JPEGs; the CUDA driver; checkpoints as bytes |
//! | 2 | [`decode`] | record bytes to pixels |
//! | 3 | [`augment`] | plans of views and their executors |
//! | 4 | [`episode`] | everything random about a batch; the row order |
//! | 5 | [`loader`] | threads and slots |
//! | 6 | [`sheet`] | views of a batch as a picture |
//! | 5 | `dist` | several processes that train together (feature `torch`) |
//! | 6 | `device`, `nn`, `optim` | torch: tensors, networks, heads, updates (feature `torch`) |
//! | 7 | `train`, `eval` | the loop; linear probe, kNN (feature `torch`) |
//! | 8 | [`config`], [`error`] | published flags and files to specs; one error for the programs |
//!
//! # Features
//!
//! | feature | default | gives | without it |
//! | --- | --- | --- | --- |
//! | `torch` | yes | trainer and evaluation | the engine alone |
//! | `cuda` | yes | NVIDIA GPUs, opened at run time | CPU only |
//! | `turbo` | yes | libjpeg-turbo | zune-jpeg: pure Rust; its pixels may differ by a level |
//! | `remote` | yes | shards in object storage | shards on disk |
//! | `reference` | no | the slow oracle of the tests; a device without a card | |

pub mod atomic;
pub mod image;
pub mod rng;

pub mod coef;
pub mod gpu;
pub mod shard;
pub mod weights;

pub mod decode;

pub mod augment;

pub mod episode;

pub mod loader;

pub mod sheet;
pub mod stage;

#[cfg(feature = "torch")]
pub mod device;
#[cfg(feature = "torch")]
pub mod dist;
#[cfg(feature = "torch")]
pub mod nn;
#[cfg(feature = "torch")]
pub mod optim;

#[cfg(feature = "torch")]
pub mod eval;
#[cfg(feature = "torch")]
pub mod train;

pub mod config;
pub mod error;
