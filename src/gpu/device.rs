//! One GPU, as everything above uses it: the handle that makes buffers, streams, events and kernels.

use std::fmt;
use std::sync::Arc;

use super::{DeviceLimits, DeviceMemory, Driver, GpuError};

/// One GPU. Cloning is cheap; what is made from it keeps it alive.
#[derive(Clone)]
pub struct Gpu {
    driver: Arc<dyn Driver>,
}

impl Gpu {
    /// The GPU number `ordinal`, in the order of [`devices`](super::devices), in its primary context, which torch uses
    /// as well.
    ///
    /// # Errors
    ///
    /// [`GpuError::NotBuilt`], [`GpuError::NoDriver`], [`GpuError::NoDevice`], [`GpuError::NoSuchDevice`],
    /// [`GpuError::DriverTooOld`], [`GpuError::Driver`].
    #[cfg(feature = "cuda")]
    pub fn open(ordinal: u32) -> Result<Self, GpuError> {
        Ok(Self::over(Arc::new(super::Cuda::open(ordinal)?)))
    }

    /// The GPU number `ordinal`; this build knows none.
    ///
    /// # Errors
    ///
    /// [`GpuError::NotBuilt`].
    #[cfg(not(feature = "cuda"))]
    pub fn open(_ordinal: u32) -> Result<Self, GpuError> {
        Err(GpuError::NotBuilt)
    }

    /// The device behind `driver`.
    pub fn over(driver: Arc<dyn Driver>) -> Self {
        Self { driver }
    }

    /// What the device is and allows.
    pub fn limits(&self) -> &DeviceLimits {
        self.driver.limits()
    }

    /// Memory free and total, in bytes.
    ///
    /// # Errors
    /// [`GpuError::Driver`].
    pub fn memory(&self) -> Result<DeviceMemory, GpuError> {
        self.driver.memory()
    }

    pub(super) fn driver(&self) -> &dyn Driver {
        &*self.driver
    }

    /// An error where `other` is another device; `what` says whose device it is.
    pub(super) fn expect_same(&self, other: &Self, what: &'static str) -> Result<(), GpuError> {
        if Arc::ptr_eq(&self.driver, &other.driver) { Ok(()) } else { Err(GpuError::OtherDevice { what }) }
    }
}

impl fmt::Debug for Gpu {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Gpu").field(&self.limits().name).finish()
    }
}
