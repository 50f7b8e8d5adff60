//! Making a context current on the calling thread, for the length of a call.

use cudarc::driver::result::ctx;
use cudarc::driver::sys::CUcontext;

use crate::gpu::GpuError;
use crate::gpu::probe::refused;

/// While it lives, the context is the calling thread's; then the one found before is again.
pub(super) struct Current {
    /// What to go back to; none where nothing was changed.
    before: Option<CUcontext>,
}

impl Current {
    /// `context` must be alive, and outlive the result.
    pub(super) fn make(context: CUcontext) -> Result<Self, GpuError> {
        let found = ctx::get_current().map_err(refused("cuCtxGetCurrent"))?;
        if found == Some(context) {
            return Ok(Self { before: None });
        }
        // SAFETY: a retained primary context.
        unsafe { ctx::set_current(context) }.map_err(refused("cuCtxSetCurrent"))?;
        Ok(Self { before: Some(found.unwrap_or(std::ptr::null_mut())) })
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            // SAFETY: it was current a moment ago; null is none. A failure shows in the next call.
            let _ = unsafe { ctx::set_current(before) };
        }
    }
}
