//! The device layer: a fake device in many orders, NVIDIA's driver where there is a GPU, and a stand-in for it where
//! there is none.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(all(feature = "cuda", target_os = "linux"))]
mod driver;
mod misuse;
mod order;
mod support;
