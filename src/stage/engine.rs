//! A device with its kernels compiled.

use crate::augment::cuda::{Kernels, SOURCES};
use crate::gpu::{Architecture, Cache, Gpu, GpuError, Module};

/// A device with its kernels. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Engine {
    kernels: Kernels,
}

/// Why there is no engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The device, or the compiler of its kernels.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// Kernels and CPU do not make the same bytes.
    #[error(
        "the GPU's kernels make other {what} than the CPU: a fault of driver, card or this program; please report it"
    )]
    Differs {
        /// Of what.
        what: &'static str,
    },
}

impl Engine {
    /// The GPU number `ordinal`; kernels are taken from `cache`, or compiled into it (some seconds).
    ///
    /// # Errors
    /// [`EngineError`]: no driver, no such device, no NVRTC, no room; kernels that are [not right](Self::check) there.
    pub fn open(ordinal: u32, cache: &Cache) -> Result<Self, EngineError> {
        let gpu = Gpu::open(ordinal)?;
        let architecture = Architecture::of(gpu.limits().compute_capability)?;
        let (cubin, _) = cache.compile(&SOURCES, &[], architecture)?;
        let engine = Self::with(&gpu.load(&cubin)?, &gpu)?;
        engine.check()?;
        Ok(engine)
    }

    /// Compares a few views and an expanded record with the CPU's, to the byte; some milliseconds.
    ///
    /// # Errors
    /// [`EngineError::Differs`].
    pub fn check(&self) -> Result<(), EngineError> {
        super::check::check(&self.kernels, self.shared())
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
