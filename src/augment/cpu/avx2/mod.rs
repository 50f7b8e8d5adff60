//! The same stages for CPUs with AVX2 and FMA, equal to the scalar ones to the byte (`tests/views_agree.rs`).
//!
//! - `axis`: resample weights. `across`, `down`: the two passes. `resample`: how they interlock. `small`: both for views of 32
//!   pixels. `tables`: what is kept of them.
//! - `colour`: a pass of operations. `blend`, `hue`: the operations on a block. `blur`: Gaussian.
//! - `turn`: quarter turns. `unit`: levels to f32.
//! - `lanes`: loads and stores, which hold most of the unsafe code.
//!
//! Closures with vector code stay out of the standard library's adaptors (`map`, `from_fn`), which cannot inline them.
//!
//! Functions need the CPU's features; they are called behind an [`Avx2`], which only [`Avx2::detect`] gives.

mod across;
pub(super) mod axis;
mod blend;
mod blur;
mod colour;
mod down;
mod hue;
pub(super) mod lanes;
mod resample;
mod small;
pub(super) mod tables;
mod turn;
mod unit;

pub(super) use blur::Blur;
pub(super) use resample::{Resizer, kept};

/// Proof that the CPU has AVX2 and FMA.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    /// `Some` where the CPU has both.
    pub(super) fn detect() -> Option<Self> {
        let has = std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma");
        has.then_some(Self(()))
    }
}
