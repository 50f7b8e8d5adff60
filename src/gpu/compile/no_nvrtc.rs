//! In the place of `nvrtc` without the feature `cuda`: the same functions, which say that there is none.

use super::{Architecture, Compiled, Sources};
use crate::gpu::GpuError;

pub(super) fn version() -> Result<(u32, u32), GpuError> {
    Err(GpuError::NotBuilt)
}

pub(super) fn architectures() -> Result<Vec<u32>, GpuError> {
    Err(GpuError::NotBuilt)
}

pub(super) fn compile(_: &Sources, _: &[String], _: Architecture) -> Result<Compiled, GpuError> {
    Err(GpuError::NotBuilt)
}
