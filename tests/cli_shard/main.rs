//! `metacl-shard` as its users meet it: the built program, its files, its messages, its exit codes.
//!
//! - [`sources`]: every format comes back as it went in, in the promised order. [`refusals`]: what is refused or left out, and how.
//!   [`hostile`]: what is made to do harm.
//! - [`reading`]: inspect, stats, verify, extract. [`generated`]: the synthetic set. [`real`]: real data, where there is some.
//! - [`stores`]: `--store`, and contact sheets. [`preview`]: views on a picture.
//! - [`repair`]: damaged datasets. [`resume`]: conversions that were interrupted. `faults`: full and read-only disks, sources that go away, two programs at once.
//! - [`make`]: tiny images, tars and pickles.

// A fixture that fails is a failed test; `unwrap` says where.
#![allow(clippy::unwrap_used)]

#[cfg(target_os = "linux")]
mod faults;
mod generated;
mod hostile;
#[cfg(feature = "turbo")]
#[path = "../jpeg_support/mod.rs"]
mod jpeg_support;
mod make;
mod preview;
mod reading;
mod real;
mod refusals;
mod repair;
mod resume;
mod sources;
mod stores;
