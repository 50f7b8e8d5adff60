//! The memory and events of one batch in flight.

use std::sync::Arc;

use super::StageError;
use super::lists::Lists;
use crate::augment::cuda::ViewList;
use crate::gpu::{DeviceBuffer, Event, Gpu, GpuError, PinnedBuffer, Stream};
use crate::loader::roomy;

/// See the module.
pub(super) struct Half {
    /// Copied sources, then the pixels that kernels make of them.
    pub(super) arena: DeviceBuffer,
    pub(super) lists: Lists,
    pub(super) tables: DeviceBuffer,
    pub(super) workspace: DeviceBuffer,
    /// Shared with whoever holds on to the views.
    pub(super) batch: Arc<DeviceBuffer>,
    /// A word for each image.
    pub(super) status: DeviceBuffer,
    status_back: PinnedBuffer,
    /// Words of `status_back` that mean something once `rendered` has passed.
    pub(super) status_words: usize,
    /// On the consumer's stream, when the batch was asked for.
    pub(super) entered: Event,
    /// On the stream of copies: lists and sources are on the device.
    pub(super) copied: Event,
    /// On the stream of kernels: the batch is finished.
    pub(super) rendered: Event,
}

impl Half {
    /// With a batch of `bytes` bytes; everything else grows when it is needed.
    pub(super) fn new(gpu: &Gpu, bytes: usize) -> Result<Self, GpuError> {
        Ok(Self {
            arena: gpu.allocate(0)?,
            lists: Lists::new(gpu)?,
            tables: gpu.allocate(0)?,
            workspace: gpu.allocate(0)?,
            batch: gpu.allocate(bytes)?.into(),
            status: gpu.allocate(0)?,
            status_back: gpu.pinned(0)?,
            status_words: 0,
            entered: gpu.event()?,
            copied: gpu.event()?,
            rendered: gpu.event()?,
        })
    }

    /// Makes room; called while nothing queued uses this half, but the consumer its batch.
    pub(super) fn reserve(&mut self, list: &ViewList, arena: usize, status_words: usize) -> Result<(), StageError> {
        grow(&mut self.arena, arena)?;
        grow(&mut self.tables, list.table_bytes() as usize)?;
        grow(&mut self.workspace, list.workspace_bytes() as usize)?;
        grow(&mut self.status, 4 * status_words)?;
        if self.status_back.len() < 4 * status_words {
            self.status_back = self.batch.gpu().pinned(roomy(4 * status_words))?;
        }
        self.status_words = 0;
        let needed = list.batch_bytes() as usize;
        self.batch.part(0, needed)?;
        Ok(())
    }

    /// Queues reading the status of `words` images.
    ///
    /// # Safety
    /// This half lives until `rendered`, recorded after this, has passed.
    pub(super) unsafe fn read_status(&mut self, stream: &Stream, words: usize) -> Result<(), GpuError> {
        // SAFETY: by the caller's promise; nobody looks at `status_back` before `rendered` has passed.
        unsafe { stream.copy_to_host(&mut self.status_back[..4 * words], &self.status, 0) }
    }

    /// The first image whose record contradicts itself; `rendered` has passed.
    pub(super) fn bad_image(&mut self) -> Option<usize> {
        let words = std::mem::take(&mut self.status_words);
        let (status, _) = self.status_back[..4 * words].as_chunks::<4>();
        status.iter().position(|word| super::contradicts(u32::from_ne_bytes(*word)))
    }
}

fn grow(buffer: &mut DeviceBuffer, bytes: usize) -> Result<(), GpuError> {
    if buffer.len() < bytes {
        let gpu = buffer.gpu().clone();
        // The old one goes first: both together may be more than there is.
        *buffer = gpu.allocate(0)?;
        *buffer = gpu.allocate(roomy(bytes))?;
    }
    Ok(())
}
