//! Compiled modules on a device, and their kernels.

use std::sync::Arc;

use super::{Arguments, Cubin, FunctionAttributes, Gpu, GpuError, RawFunction, RawModule};

/// A loaded module. Its kernels keep it loaded.
#[derive(Clone, Debug)]
pub struct Module {
    loaded: Arc<Loaded>,
}

/// A kernel of a loaded module.
#[derive(Clone, Debug)]
pub struct Kernel {
    module: Module,
    raw: RawFunction,
    name: String,
    /// Sizes of its parameters, where the device tells them.
    parameters: Option<Vec<usize>>,
}

#[derive(Debug)]
struct Loaded {
    gpu: Gpu,
    raw: RawModule,
}

impl Gpu {
    /// Loads what [`Cache::compile`](super::Cache::compile) made for this device.
    ///
    /// # Errors
    /// [`GpuError::ModuleLoad`], [`GpuError::OutOfMemory`], [`GpuError::Driver`].
    pub fn load(&self, cubin: &Cubin) -> Result<Module, GpuError> {
        // SAFETY: a `Cubin` is what NVRTC wrote, whole.
        unsafe { self.load_bytes(cubin.bytes()) }
    }

    /// Loads a compiled module from elsewhere. The fake device takes any bytes.
    ///
    /// # Safety
    /// `image` is a whole cubin.
    ///
    /// # Errors
    /// As [`Gpu::load`].
    pub unsafe fn load_bytes(&self, image: &[u8]) -> Result<Module, GpuError> {
        // SAFETY: the caller's promise.
        let raw = unsafe { self.driver().load_module(image) }?;
        Ok(Module { loaded: Arc::new(Loaded { gpu: self.clone(), raw }) })
    }
}

impl Module {
    /// The kernel `name`, declared `extern "C" __global__`.
    ///
    /// # Errors
    /// [`GpuError::NoKernel`], [`GpuError::Driver`].
    pub fn kernel(&self, name: &str) -> Result<Kernel, GpuError> {
        let driver = self.loaded.gpu.driver();
        // SAFETY: the module is loaded.
        let raw = unsafe { driver.function(self.loaded.raw, name) }?;
        // SAFETY: the function is one of the loaded module.
        let parameters = unsafe { driver.parameters(raw) }?;
        Ok(Kernel { module: self.clone(), raw, name: name.to_owned(), parameters })
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // SAFETY: loaded by this driver and unloaded once; whoever launched a kernel of it promised to keep it until
        // that had run. A failure is one of earlier work, or of a driver that is gone.
        let _ = unsafe { self.gpu.driver().unload_module(self.raw) };
    }
}

impl Kernel {
    /// Its name in the source.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The device that it is loaded on.
    pub fn gpu(&self) -> &Gpu {
        &self.module.loaded.gpu
    }

    /// What the compiler made of it.
    ///
    /// # Errors
    /// [`GpuError::Driver`].
    pub fn attributes(&self) -> Result<FunctionAttributes, GpuError> {
        // SAFETY: its module is loaded.
        unsafe { self.gpu().driver().attributes(self.raw) }
    }

    /// Lets launches ask for up to `bytes` of dynamic shared memory a block; up to 48 KiB, less what the source declares, they may without.
    ///
    /// # Errors
    /// [`GpuError::Driver`] where that and what the source declares are more than
    /// [`DeviceLimits::shared_per_block`](super::DeviceLimits).
    pub fn allow_shared(&self, bytes: usize) -> Result<(), GpuError> {
        // SAFETY: its module is loaded.
        unsafe { self.gpu().driver().allow_shared(self.raw, bytes) }
    }

    pub(super) fn raw(&self) -> RawFunction {
        self.raw
    }

    /// An error where the arguments are not of the sizes that the kernel takes.
    pub(super) fn expect(&self, arguments: &Arguments) -> Result<(), GpuError> {
        match &self.parameters {
            Some(expected) if *expected != arguments.sizes() => Err(GpuError::Arguments {
                kernel: self.name.clone(),
                expected: expected.clone(),
                given: arguments.sizes(),
            }),
            _ => Ok(()),
        }
    }
}
