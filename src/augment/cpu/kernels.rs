//! Which code renders: what the CPU has, found at run time.

#[cfg(target_arch = "x86_64")]
use super::{avx2::Avx2, avx512::Avx512};

/// Code that this CPU can run. All kinds render the same bytes.
#[derive(Clone, Copy)]
pub struct Kernels(pub(super) Kind);

/// The kinds, with the proof that the CPU has what they need.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Kernels {
    /// Plain loops, for every CPU.
    pub const fn scalar() -> Self {
        Self(Kind::Scalar)
    }

    /// Everything that this CPU can run, the plain loops first, the fastest last.
    pub fn all() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let faster = [Avx2::detect().map(Kind::Avx2), Avx512::detect().map(Kind::Avx512)];
        #[cfg(not(target_arch = "x86_64"))]
        let faster: [Option<Kind>; 0] = [];
        std::iter::once(Kind::Scalar).chain(faster.into_iter().flatten()).map(Self)
    }

    /// The fastest of them.
    pub fn fastest() -> Self {
        Self::all().last().unwrap_or(Self::scalar())
    }

    /// For reports.
    pub const fn name(self) -> &'static str {
        match self.0 {
            Kind::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(_) => "avx512",
        }
    }
}
