//! Query mixing on the device: rows of a finished batch to new rows (`kernels/mix.cu`).

use super::kernels::Kernels;
use super::values::ValueKind;
use crate::gpu::{Arguments, GpuError, Launch, Stream};

/// Threads of a block of `mix_rows`.
const THREADS: u32 = 256;

/// How rows are mixed. `Mix` of `mix.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::NoUninit)]
pub struct MixArgs {
    /// Classes of the batch; row `view * classes + class` is mixed with the one of the class opposite.
    pub classes: u32,
    /// The first row that is mixed; all later ones are too.
    pub first: u32,
    /// Side of a view, in pixels.
    pub size: u32,
    /// 1: channels last.
    pub channels_last: u32,
    /// 0: f32, 1: f16, 2: bf16.
    pub kind: u32,
    /// Weight of the row itself.
    pub share: f32,
    /// Weight of the other.
    pub other: f32,
    /// First row of the patch that is pasted in.
    pub top: u32,
    /// First column of it.
    pub left: u32,
    /// Rows of it; 0: both are blended.
    pub height: u32,
    /// Columns of it.
    pub width: u32,
}

impl MixArgs {
    /// The number of `kind` in [`MixArgs::kind`].
    ///
    /// # Panics
    /// For levels, which are not mixed.
    pub fn kind_of(kind: ValueKind) -> u32 {
        match kind {
            ValueKind::F32 => 0,
            ValueKind::F16 => 1,
            ValueKind::Bf16 => 2,
            ValueKind::U8 => panic!("levels are not mixed"),
        }
    }
}

impl Kernels {
    /// Queues mixing `count` rows of the batch at `rows` into `mixed`.
    ///
    /// # Safety
    /// Both are as large as `mix` says, `rows` is filled by then on this stream or before it by an event, and both stay until the launch has run.
    ///
    /// # Errors
    /// [`GpuError`].
    pub unsafe fn mix(&self, stream: &Stream, rows: u64, mixed: u64, mix: MixArgs, count: u32) -> Result<(), GpuError> {
        let arguments = Arguments::new().pointer(rows).pointer(mixed).value(mix);
        let launch = Launch { grid: count, block: THREADS, shared: 0 };
        // SAFETY: the kernel's parameters, in order; memory by the caller's promise.
        unsafe { stream.launch(&self.mix_rows, launch, &arguments) }
    }
}
