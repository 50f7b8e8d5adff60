//! Memory that frees itself: on the device, and page-locked on the host.
//!
//! Lives here: [`DeviceBuffer`], [`PinnedBuffer`]. Not here: copies between them, which are queued on a stream
//! (`stream`).

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use super::{Gpu, GpuError};

/// `len` bytes of device memory, aligned to 256. Freed on drop, which waits for the device: whoever queued work on the
/// buffer has promised to keep it until that has run.
#[derive(Debug)]
pub struct DeviceBuffer {
    gpu: Gpu,
    address: u64,
    len: usize,
}

impl Gpu {
    /// `bytes` bytes of device memory, not initialised. Slow, and may wait for the device: allocate before the loop,
    /// not in it.
    ///
    /// # Errors
    /// [`GpuError::OutOfMemory`], [`GpuError::Driver`].
    pub fn allocate(&self, bytes: usize) -> Result<DeviceBuffer, GpuError> {
        // The driver refuses to allocate nothing.
        let address = self.driver().allocate(bytes.max(1))?;
        Ok(DeviceBuffer { gpu: self.clone(), address, len: bytes })
    }

    /// `bytes` zero bytes of page-locked host memory, cached as usual, so that workers may read and write it like any
    /// other.
    ///
    /// # Errors
    /// [`GpuError::OutOfPinnedMemory`], [`GpuError::Driver`].
    pub fn pinned(&self, bytes: usize) -> Result<PinnedBuffer, GpuError> {
        let start = self.driver().allocate_pinned(bytes.max(1))?;
        let start = NonNull::new(start).ok_or(GpuError::OutOfPinnedMemory { asked: bytes })?;
        // SAFETY: the driver gave that many bytes, and nobody else knows of them.
        unsafe { start.write_bytes(0, bytes) };
        Ok(PinnedBuffer { gpu: self.clone(), start, len: bytes })
    }
}

impl DeviceBuffer {
    /// Address of the first byte on the device.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds no byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The device that it lies on.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Address of byte `offset`, with `bytes` bytes of the buffer from there on.
    ///
    /// # Errors
    /// [`GpuError::OutOfBounds`].
    pub fn part(&self, offset: usize, bytes: usize) -> Result<u64, GpuError> {
        match offset.checked_add(bytes) {
            Some(end) if end <= self.len => Ok(self.address + offset as u64),
            _ => Err(GpuError::OutOfBounds { offset, bytes, length: self.len }),
        }
    }
}

impl Drop for DeviceBuffer {
    fn drop(&mut self) {
        // SAFETY: allocated by this driver and freed once; whoever queued work on it promised to keep it until that had
        // run. A failure is one of earlier work, which its own calls report, or of a driver that is already gone.
        let _ = unsafe { self.gpu.driver().free(self.address) };
    }
}

/// Page-locked host memory, which the device copies from and to without the CPU. Aligned to 64 at least. On the fake
/// device, plain memory.
#[derive(Debug)]
pub struct PinnedBuffer {
    gpu: Gpu,
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: it owns its bytes like a boxed slice; the pointer is only there because they came from the driver.
unsafe impl Send for PinnedBuffer {}
// SAFETY: as above; a shared reference only reads.
unsafe impl Sync for PinnedBuffer {}

impl PinnedBuffer {
    /// The device that it was made for.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Its length in bytes. Not the slice's, as a reference to all bytes, if only for their number, may not meet a thread that writes some of them.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first byte, for those who hand out rows to several threads: reading and writing through it is theirs to
    /// order.
    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }
}

impl Deref for PinnedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` initialised bytes from the driver, owned by `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for PinnedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for reading; `self` is borrowed for writing.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for PinnedBuffer {
    fn drop(&mut self) {
        // SAFETY: allocated by this driver and freed once; whoever queued a copy promised to keep it until that had
        // run. Failures: as for `DeviceBuffer`.
        let _ = unsafe { self.gpu.driver().free_pinned(self.start.as_ptr()) };
    }
}
