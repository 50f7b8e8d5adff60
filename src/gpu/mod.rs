//! The safe face over the CUDA driver: devices, memory, streams, kernels, and a device without a card for tests.
//!
//! | file | holds |
//! | --- | --- |
//! | `probe` | which GPUs there are |
//! | `driver` | the trait of one device's operations: the only thing that has two implementations |
//! | `cuda` | NVIDIA's driver, through cudarc (feature `cuda`) |
//! | `fake` | a device without a card, which shows missing waits and misused memory (feature `reference`) |
//! | `device`, `buffer`, `stream`, `kernel` | [`Gpu`] and what it makes: each frees what it holds and keeps its device alive |
//! | `arguments` | a kernel's arguments without casts |
//! | `compile` | CUDA C++ to machine code by NVRTC, kept on disk |
//!
//! Everything that asks cudarc to do something goes through this module. Not here: kernels of views (`augment/cuda`),
//! torch's tensors (`device`).
//!
//! The driver (`libcuda.so.1`) and NVRTC are opened at run time; a binary built with the feature `cuda` also runs where
//! there is neither. The device's *primary context* is used, which is torch's as well: memory and streams may be
//! exchanged by address and handle.

use std::sync::OnceLock;

mod arguments;
mod buffer;
mod compile;
#[cfg(feature = "cuda")]
mod cuda;
mod device;
mod driver;
mod error;
#[cfg(any(test, feature = "reference"))]
pub mod fake;
mod kernel;
#[cfg(feature = "cuda")]
mod probe;
mod stream;

pub use arguments::Arguments;
pub use buffer::{DeviceBuffer, PinnedBuffer};
pub use compile::{Architecture, Cache, Compiled, Cubin, Origin, Resources, Sources, compile, resources};
#[cfg(feature = "cuda")]
pub use cuda::Cuda;
pub use device::Gpu;
pub use driver::{
    DeviceLimits, DeviceMemory, Driver, FunctionAttributes, Launch, RawEvent, RawFunction, RawModule, RawStream,
};
pub use error::{GpuError, Misuse};
pub use kernel::{Kernel, Module};
pub use stream::{Event, Stream};

/// Asked to give memory back before an allocation is refused.
static RELIEF: OnceLock<fn()> = OnceLock::new();

/// Lets `relief` run once before a device's memory is said to be too small: whoever keeps freed memory of the same devices for later, as
/// torch's allocator does, gives it back. The first call counts.
pub fn relieve_with(relief: fn()) {
    let _ = RELIEF.set(relief);
}

/// One GPU, as the driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The driver's name for it, as in "NVIDIA H100 80GB HBM3".
    pub name: String,
    /// Total memory, in bytes.
    pub memory: u64,
    /// Compute capability, major and minor: `(9, 0)` takes code for sm_90.
    pub compute_capability: (u32, u32),
    /// The newest CUDA that the driver supports, major and minor; the same for all devices.
    pub driver: (u32, u32),
}

/// The GPUs of this machine in the driver's order, which `CUDA_VISIBLE_DEVICES` may restrict; empty where there are
/// none. Creates no context on any of them.
///
/// # Errors
///
/// [`GpuError::NotBuilt`] without the feature `cuda`, [`GpuError::NoDriver`] where no driver is installed,
/// [`GpuError::Driver`] where it refuses to answer.
pub fn devices() -> Result<Vec<DeviceInfo>, GpuError> {
    #[cfg(feature = "cuda")]
    return probe::devices();
    #[cfg(not(feature = "cuda"))]
    Err(GpuError::NotBuilt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_build_without_cuda_says_so() {
        assert!(matches!(devices(), Err(GpuError::NotBuilt)));
    }

    /// What cannot be opened is said, and nothing panics.
    #[test]
    fn a_gpu_that_is_not_there_is_an_error() {
        let answer = Gpu::open(1_000_000);
        let expected = match devices() {
            Ok(found) if found.is_empty() => GpuError::NoDevice,
            Ok(found) => GpuError::NoSuchDevice { ordinal: 1_000_000, count: found.len() as u32 },
            Err(error) => error,
        };
        assert_eq!(answer.err(), Some(expected));
    }

    /// With the kernel's device node there must be a described GPU; without it, no GPU and no panic.
    #[test]
    #[cfg(feature = "cuda")]
    fn devices_are_found_exactly_where_they_are() {
        let found = devices();
        if std::path::Path::new("/dev/nvidia0").exists() {
            let found = found.expect("/dev/nvidia0 exists, so the driver is installed");
            assert!(!found.is_empty());
            for device in found {
                assert!(!device.name.is_empty() && device.memory > 0 && device.compute_capability.0 > 0, "{device:?}");
            }
        } else {
            assert!(
                matches!(&found, Err(GpuError::NoDriver)) || matches!(&found, Ok(list) if list.is_empty()),
                "{found:?}"
            );
        }
    }
}
