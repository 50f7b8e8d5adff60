//! Asking the driver what there is, before anything else of it is called.
//!
//! cudarc panics where the driver's library cannot be opened, so [`start`] asks for it first; whatever else calls
//! cudarc calls that.

use cudarc::driver::result::{self, DriverError, device};
use cudarc::driver::sys::{self, CUdevice, CUdevice_attribute, CUresult};

use super::{DeviceInfo, GpuError};

/// Every GPU, described.
pub(super) fn devices() -> Result<Vec<DeviceInfo>, GpuError> {
    let count = start()?;
    if count == 0 {
        return Ok(Vec::new());
    }
    let driver = driver_version()?;
    (0..count).map(|ordinal| describe(ordinal, driver)).collect()
}

/// Opens the driver and gives the number of GPUs.
pub(super) fn start() -> Result<i32, GpuError> {
    // SAFETY: opening the vendor's driver runs only its own initialisers; nothing is called in it yet.
    if !unsafe { sys::is_culib_present() } {
        return Err(GpuError::NoDriver);
    }
    match result::init() {
        Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => return Ok(0),
        answer => answer.map_err(refused("cuInit"))?,
    }
    device::get_count().map_err(refused("cuDeviceGetCount"))
}

fn describe(ordinal: i32, driver: (u32, u32)) -> Result<DeviceInfo, GpuError> {
    let handle = device::get(ordinal).map_err(refused("cuDeviceGet"))?;
    let name = device::get_name(handle).map_err(refused("cuDeviceGetName"))?;
    // SAFETY: `handle` comes from cuDeviceGet.
    let memory = unsafe { device::total_mem(handle) }.map_err(refused("cuDeviceTotalMem"))?;
    Ok(DeviceInfo { name, memory: memory as u64, compute_capability: compute_capability(handle)?, driver })
}

/// Major and minor; `device` comes from cuDeviceGet.
pub(super) fn compute_capability(device: CUdevice) -> Result<(u32, u32), GpuError> {
    let major = attribute(device, CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(device, CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    Ok((major, minor))
}

/// One figure of a device that comes from cuDeviceGet.
pub(super) fn attribute(device: CUdevice, which: CUdevice_attribute) -> Result<u32, GpuError> {
    // SAFETY: `device` is a number; the driver refuses others than its own.
    let value = unsafe { device::get_attribute(device, which) };
    value.map(i32::unsigned_abs).map_err(refused("cuDeviceGetAttribute"))
}

/// The newest CUDA that the driver supports, major and minor. It writes 13.0 as 13000.
pub(super) fn driver_version() -> Result<(u32, u32), GpuError> {
    let mut version = 0;
    // SAFETY: `version` is a valid place for the one integer that the call writes.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result().map_err(refused("cuDriverGetVersion"))?;
    let version = version.unsigned_abs();
    Ok((version / 1000, version % 1000 / 10))
}

/// The error of a refused call.
pub(super) fn refused(call: &'static str) -> impl Fn(DriverError) -> GpuError {
    move |DriverError(code)| GpuError::Driver { call, code: format!("{code:?}") }
}
