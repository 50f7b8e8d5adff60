//! Stages for CPUs with AVX-512 and its byte permutes and dot products (VBMI, VNNI), equal to the scalar ones to the byte
//! (`tests/views_agree.rs`). Where they gain nothing, the stages of [`avx2`](super::avx2) are used.
//!
//! - `resample`: which way a crop is resized, and how the passes, `across` and `down`, interlock. `digits`: sums by dot products of bytes.
//! - `colour`: a pass of operations. `blend`, `hue`: the operations. `pixels`: loops over planes.
//! - `lanes`: loads, stores and tables, which hold the unsafe code.
//!
//! 512-bit operations count double on the CPUs that this was measured on: what gains is doing with fewer of them.

mod across;
mod blend;
mod colour;
mod digits;
mod down;
mod hue;
mod lanes;
mod pixels;
mod resample;

pub(super) use resample::Resizer;

use super::avx2::Avx2;

/// Proof that the CPU has AVX2, FMA and the parts of AVX-512 that are named here.
#[derive(Clone, Copy)]
pub(super) struct Avx512(Avx2);

impl Avx512 {
    /// `Some` where the CPU has all of them.
    pub(super) fn detect() -> Option<Self> {
        let has = std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512vbmi")
            && std::arch::is_x86_feature_detected!("avx512vnni");
        Avx2::detect().filter(|_| has).map(Self)
    }

    /// What it includes.
    pub(super) fn avx2(self) -> Avx2 {
        self.0
    }
}
