//! The memory of one batch in flight, written row by row by many workers at once.

use std::cell::UnsafeCell;

use crate::gpu::{Gpu, GpuError, PinnedBuffer};

/// One cache line, so that rows of 64 bytes times anything are aligned for every kind of value and vector.
#[repr(C, align(64))]
struct Line([u8; 64]);

/// `rows` rows of `row_bytes` bytes that different threads may write at the same time, each row by one thread only.
pub struct RowBuffer {
    memory: Memory,
    rows: usize,
    row_bytes: usize,
}

/// At least as many bytes as the rows have, aligned to 64; written through shared references.
enum Memory {
    Plain(Box<[UnsafeCell<Line>]>),
    Pinned(PinnedBuffer),
}

// SAFETY: the ring hands a row to one worker at a time (a task owns the rows of its source images, and each task is
// sent once) and the whole buffer to the consumer only after the step's last task is done; both hand-overs pass
// through channels, which order the memory.
unsafe impl Sync for RowBuffer {}

impl RowBuffer {
    pub(super) fn new(rows: usize, row_bytes: usize) -> Self {
        let lines = (rows * row_bytes).div_ceil(64);
        let lines = (0..lines).map(|_| UnsafeCell::new(Line([0; 64]))).collect();
        Self { memory: Memory::Plain(lines), rows, row_bytes }
    }

    /// In page-locked memory, which `gpu` copies from by itself.
    pub(super) fn pinned(gpu: &Gpu, rows: usize, row_bytes: usize) -> Result<Self, GpuError> {
        Ok(Self { memory: Memory::Pinned(gpu.pinned(rows * row_bytes)?), rows, row_bytes })
    }

    /// The bytes of row `row`.
    ///
    /// # Safety
    /// No other reference to this row, nor to the whole buffer, may be alive while the result is.
    // One `&mut` a row out of `&self` is the purpose of this type.
    #[allow(clippy::mut_from_ref)]
    pub(super) unsafe fn row(&self, row: usize) -> &mut [u8] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        // SAFETY: row `row` ends within the `rows * row_bytes` bytes of the memory, which allows writing through a shared
        // reference; exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start().add(row * self.row_bytes), self.row_bytes) }
    }

    /// The first `rows` rows.
    ///
    /// # Safety
    /// No `row` reference may be alive while the result is.
    pub(super) unsafe fn rows(&self, rows: usize) -> &[u8] {
        assert!(rows <= self.rows, "{rows} rows of {}", self.rows);
        // SAFETY: the memory has `rows * row_bytes` bytes; no writer exists, by the caller's promise.
        unsafe { std::slice::from_raw_parts(self.start(), rows * self.row_bytes) }
    }

    fn start(&self) -> *mut u8 {
        match &self.memory {
            Memory::Plain(lines) => UnsafeCell::raw_get(lines.as_ptr()).cast(),
            Memory::Pinned(buffer) => buffer.as_ptr(),
        }
    }
}
