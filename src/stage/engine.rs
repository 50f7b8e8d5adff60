//! A device with its kernels compiled.

use crate::augment::cuda::{Kernels, SOURCES};
use crate::gpu::{Architecture, Cache, Gpu, GpuError, Module};

/// A device with its kernels. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Engine {
    kernels: Kernels,
}

/// Why there is no engine.
pub type EngineError = GpuError;

impl Engine {
    /// The GPU number `ordinal`; kernels are taken from `cache`, or compiled into it (some seconds).
    ///
    /// # Errors
    /// [`GpuError`]: no driver, no such device, no NVRTC, no room.
    pub fn open(ordinal: u32, cache: &Cache) -> Result<Self, EngineError> {
        let gpu = Gpu::open(ordinal)?;
        let architecture = Architecture::of(gpu.limits().compute_capability)?;
        let (cubin, _) = cache.compile(&SOURCES, &[], architecture)?;
        Self::with(&gpu.load(&cubin)?, &gpu)
    }

    /// Over a loaded module of the kernels.
    ///
    /// # Errors
    /// Where it is another module.
    pub fn with(module: &Module, gpu: &Gpu) -> Result<Self, EngineError> {
        let per_block = u32::try_from(gpu.limits().shared_per_block).unwrap_or(u32::MAX);
        Ok(Self { kernels: Kernels::of(module, per_block)? })
    }

    /// The device.
    pub fn gpu(&self) -> &Gpu {
        self.kernels.gpu()
    }

    /// Its kernels.
    pub fn kernels(&self) -> &Kernels {
        &self.kernels
    }

    /// Bytes of shared memory that a launch of `render_views` may ask for a block.
    pub fn shared(&self) -> u32 {
        self.kernels.shared()
    }
}
