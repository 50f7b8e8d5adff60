//! The safe face over cudarc: which NVIDIA GPUs there are.
//!
//! Lives here: [`devices`], the probe that decides whether anything else of CUDA may be called, and [`GpuError`]. Everything that
//! asks cudarc to do something goes through this module. Not here: kernels of views (`augment/cuda`), torch's tensors (`device`).
//!
//! The driver (`libcuda.so.1`) is opened at run time. cudarc panics where it cannot be opened, so every public function here asks
//! for it first; a binary built with the feature `cuda` also runs where there is no driver.

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

/// Why the GPUs cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// The crate was built without the feature `cuda`.
    #[error("this build knows no GPUs; build it with the feature `cuda`")]
    NotBuilt,
    /// No driver library could be opened.
    #[error("no NVIDIA driver (libcuda.so.1) found; install it, or run on the CPU")]
    NoDriver,
    /// The driver refused a call.
    #[error("the NVIDIA driver answers {call} with {code}; nvidia-smi tells whether the driver works")]
    Driver {
        /// The function of the driver.
        call: &'static str,
        /// Its answer, by the driver's name for it.
        code: String,
    },
}

/// The GPUs of this machine in the driver's order, which `CUDA_VISIBLE_DEVICES` may restrict; empty where there are none.
/// Creates no context on any of them.
///
/// # Errors
///
/// [`GpuError::NotBuilt`] without the feature `cuda`, [`GpuError::NoDriver`] where no driver is installed,
/// [`GpuError::Driver`] where it refuses to answer.
pub fn devices() -> Result<Vec<DeviceInfo>, GpuError> {
    probe::devices()
}

#[cfg(not(feature = "cuda"))]
mod probe {
    pub(super) fn devices() -> Result<Vec<super::DeviceInfo>, super::GpuError> {
        Err(super::GpuError::NotBuilt)
    }
}

#[cfg(feature = "cuda")]
mod probe {
    use cudarc::driver::result::{self, DriverError, device};
    use cudarc::driver::sys::{self, CUdevice_attribute, CUresult};

    use super::{DeviceInfo, GpuError};

    pub(super) fn devices() -> Result<Vec<DeviceInfo>, GpuError> {
        // SAFETY: opening the vendor's driver runs only its own initialisers; nothing is called in it yet.
        if !unsafe { sys::is_culib_present() } {
            return Err(GpuError::NoDriver);
        }
        match result::init() {
            Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => return Ok(Vec::new()),
            answer => answer.map_err(refused("cuInit"))?,
        }
        let driver = driver_version()?;
        let count = device::get_count().map_err(refused("cuDeviceGetCount"))?;
        (0..count).map(|ordinal| describe(ordinal, driver)).collect()
    }

    fn describe(ordinal: i32, driver: (u32, u32)) -> Result<DeviceInfo, GpuError> {
        let handle = device::get(ordinal).map_err(refused("cuDeviceGet"))?;
        let name = device::get_name(handle).map_err(refused("cuDeviceGetName"))?;
        // SAFETY: `handle` comes from cuDeviceGet.
        let memory = unsafe { device::total_mem(handle) }.map_err(refused("cuDeviceTotalMem"))?;
        let attribute = |which| {
            // SAFETY: `handle` comes from cuDeviceGet.
            let value = unsafe { device::get_attribute(handle, which) };
            value.map(i32::unsigned_abs).map_err(refused("cuDeviceGetAttribute"))
        };
        let major = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        Ok(DeviceInfo { name, memory: memory as u64, compute_capability: (major, minor), driver })
    }

    /// The driver writes 13.0 as 13000.
    fn driver_version() -> Result<(u32, u32), GpuError> {
        let mut version = 0;
        // SAFETY: `version` is a valid place for the one integer that the call writes.
        unsafe { sys::cuDriverGetVersion(&mut version) }.result().map_err(refused("cuDriverGetVersion"))?;
        let version = version.unsigned_abs();
        Ok((version / 1000, version % 1000 / 10))
    }

    fn refused(call: &'static str) -> impl Fn(DriverError) -> GpuError {
        move |DriverError(code)| GpuError::Driver { call, code: format!("{code:?}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_build_without_cuda_says_so() {
        assert!(matches!(devices(), Err(GpuError::NotBuilt)));
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
