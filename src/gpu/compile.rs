//! CUDA C++ to machine code for the card at hand, by NVRTC, and kept on disk.
//!
//! Lives here: what is compiled and how ([`Sources`], [`Architecture`], the options that all kernels share). Below: `nvrtc`, the calls;
//! `cache`, the files. Not here: sources (`kernels/`), loading (`kernel`).

mod cache;
#[cfg(feature = "cuda")]
mod nvrtc;
#[cfg(not(feature = "cuda"))]
#[path = "compile/no_nvrtc.rs"]
mod nvrtc;

pub use cache::{Cache, Origin};

use super::GpuError;

/// Options of every kernel. Multiply and add stay two roundings, as on the CPU: the two must agree to the byte. Division, square root
/// and denormals are IEEE's unless an option says otherwise, and none does.
const OPTIONS: [&str; 2] = ["--std=c++17", "--fmad=false"];

/// What is compiled: names and texts. Nothing is read from disk.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The source, by the name that messages give it.
    pub main: (&'a str, &'a str),
    /// What it may include, by the name that it includes it with.
    pub headers: &'a [(&'a str, &'a str)],
}

/// A kind of card: 90 is sm_90, for compute capability 9.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Architecture(pub u32);

impl Architecture {
    /// The best code that NVRTC makes for a card of `compute_capability`: its own, or that of the nearest older card of its major
    /// number, which it runs as well.
    ///
    /// # Errors
    /// [`GpuError::Architecture`] where it makes none, [`GpuError::NoNvrtc`], [`GpuError::NotBuilt`].
    pub fn of(compute_capability: (u32, u32)) -> Result<Self, GpuError> {
        let known = nvrtc::architectures()?;
        match nearest(compute_capability, &known) {
            Some(best) => Ok(Self(best)),
            None => Err(GpuError::Architecture { found: compute_capability, nvrtc: nvrtc::version()?, known }),
        }
    }
}

impl std::fmt::Display for Architecture {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "sm_{}", self.0)
    }
}

/// Code runs on cards of its major number and the same or a higher minor number.
fn nearest((major, minor): (u32, u32), known: &[u32]) -> Option<u32> {
    known.iter().copied().filter(|code| code / 10 == major && code % 10 <= minor).max()
}

/// Machine code of a module, whole: NVRTC wrote it, or the cache kept it with its checksum.
#[derive(Clone, PartialEq, Eq)]
pub struct Cubin {
    bytes: Vec<u8>,
}

impl Cubin {
    /// The ELF file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl std::fmt::Debug for Cubin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Cubin({} bytes)", self.bytes.len())
    }
}

/// What a compilation gives.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The code.
    pub cubin: Cubin,
    /// Warnings, and what options asked to be told; often empty.
    pub log: String,
}

/// Compiles `sources`, without a cache. `options` join those of all kernels (`--std=c++17 --fmad=false`); `--use_fast_math` and the
/// like would make the kernels disagree with the CPU.
///
/// # Errors
/// [`GpuError::Compile`] with NVRTC's log, [`GpuError::ZeroByte`], [`GpuError::NoNvrtc`], [`GpuError::Nvrtc`], [`GpuError::NotBuilt`].
pub fn compile(sources: &Sources, options: &[&str], architecture: Architecture) -> Result<Compiled, GpuError> {
    nvrtc::compile(sources, &all_options(options, architecture), architecture)
}

fn all_options(options: &[&str], architecture: Architecture) -> Vec<String> {
    let ours = OPTIONS.iter().map(|option| (*option).to_owned());
    ours.chain([format!("--gpu-architecture={architecture}")])
        .chain(options.iter().map(|&option| option.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_older_card_of_the_same_major_number_gives_the_code() {
        let known = [75, 80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121];
        let expected = [
            ((7, 5), Some(75)),
            ((8, 0), Some(80)),
            ((8, 6), Some(86)),
            ((9, 0), Some(90)),
            ((9, 1), Some(90)),
            ((10, 2), Some(100)),
            ((12, 1), Some(121)),
            ((7, 0), None),
            ((13, 0), None),
        ];
        for (card, code) in expected {
            assert_eq!(nearest(card, &known), code, "{card:?}");
        }
    }
}
