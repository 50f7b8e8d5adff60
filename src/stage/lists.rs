//! What kernels are told of a batch, side by side in page-locked memory: one copy to the device.

use bytemuck::NoUninit;

use crate::augment::cuda::ViewList;
use crate::coef::device::Expansion;
use crate::gpu::{DeviceBuffer, Gpu, GpuError, PinnedBuffer, Stream};
use crate::loader::roomy;

/// Every list begins at a multiple of this.
const ALIGN: usize = 16;

/// Both ends of the copy.
pub(super) struct Lists {
    host: PinnedBuffer,
    device: DeviceBuffer,
    used: usize,
}

/// Where each list starts, in bytes from the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) views: u64,
    pub(super) weights: u64,
    pub(super) chunks: u64,
    pub(super) pictures: u64,
    pub(super) bands: u64,
    pub(super) steps: u64,
}

impl Lists {
    pub(super) fn new(gpu: &Gpu) -> Result<Self, GpuError> {
        Ok(Self { host: gpu.pinned(0)?, device: gpu.allocate(0)?, used: 0 })
    }

    /// Address on the device.
    pub(super) fn address(&self) -> u64 {
        self.device.address()
    }

    /// Writes the lists of a batch; nothing queued uses the memory by now.
    pub(super) fn write(&mut self, list: &ViewList, expansion: &Expansion) -> Result<Places, GpuError> {
        let parts = [
            bytes(list.views()),
            bytes(list.weights()),
            bytes(expansion.chunks()),
            bytes(expansion.pictures()),
            bytes(expansion.bands()),
            bytes(expansion.tables()),
        ];
        let needed: usize = parts.iter().map(|part| part.len().next_multiple_of(ALIGN)).sum();
        if self.host.len() < needed {
            let gpu = self.device.gpu().clone();
            self.host = gpu.pinned(roomy(needed))?;
            self.device = gpu.allocate(roomy(needed))?;
        }
        let mut at = 0;
        let [views, weights, chunks, pictures, bands, steps] = parts.map(|part| {
            let start = at;
            self.host[start..start + part.len()].copy_from_slice(part);
            at += part.len().next_multiple_of(ALIGN);
            start as u64
        });
        self.used = at;
        Ok(Places { views, weights, chunks, pictures, bands, steps })
    }

    /// Queues the copy to the device.
    ///
    /// # Safety
    /// The lists stay as they are until an event recorded after this has passed.
    pub(super) unsafe fn copy(&self, stream: &Stream) -> Result<(), GpuError> {
        // SAFETY: by the caller's promise.
        unsafe { stream.copy_to_device(&self.device, 0, &self.host[..self.used]) }
    }
}

fn bytes<T: NoUninit>(list: &[T]) -> &[u8] {
    bytemuck::cast_slice(list)
}
