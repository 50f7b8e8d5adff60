//! Shards at a URL are the shards on disk: the same bytes whatever a server does, or an error; never wrong ones.
//!
//! - [`reading`]: sets, splits, the loader. [`faults`]: a server that errs, for a while or for good. [`cache`]: its limit, damage in it,
//!   processes that share it and are killed. [`secrets`]: nothing that is printed or written holds a credential.
//! - [`programs`]: `metacl-shard` at URLs.
#![cfg(feature = "remote")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "../remote_support/mod.rs"]
mod remote_support;

mod cache;
mod faults;
mod programs;
mod reading;
mod secrets;
