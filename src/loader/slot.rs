//! The memory of one batch in flight, written row by row by many workers at once.

use std::cell::UnsafeCell;

/// `rows` rows of `row_bytes` bytes that different threads may write at the same time, each row by one thread only.
pub(super) struct RowBuffer {
    bytes: Box<[UnsafeCell<u8>]>,
    row_bytes: usize,
}

// SAFETY: the ring hands a row to one worker at a time (a task owns the rows of its source image, and each task is
// sent once) and the whole buffer to the consumer only after the step's last task is done; both hand-overs pass
// through channels, which order the memory.
unsafe impl Sync for RowBuffer {}

impl RowBuffer {
    pub(super) fn new(rows: usize, row_bytes: usize) -> Self {
        Self { bytes: std::iter::repeat_with(|| UnsafeCell::new(0)).take(rows * row_bytes).collect(), row_bytes }
    }

    /// The bytes of row `row`.
    ///
    /// # Safety
    /// No other reference to this row, nor to the whole buffer, may be alive while the result is.
    // One `&mut` a row out of `&self` is the purpose of this type.
    #[allow(clippy::mut_from_ref)]
    pub(super) unsafe fn row(&self, row: usize) -> &mut [u8] {
        let cells = &self.bytes[row * self.row_bytes..][..self.row_bytes];
        // SAFETY: the cells allow writing through a shared reference; exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(UnsafeCell::raw_get(cells.as_ptr()), cells.len()) }
    }

    /// The first `rows` rows.
    ///
    /// # Safety
    /// No `row` reference may be alive while the result is.
    pub(super) unsafe fn rows(&self, rows: usize) -> &[u8] {
        let cells = &self.bytes[..rows * self.row_bytes];
        // SAFETY: no writer exists, by the caller's promise.
        unsafe { std::slice::from_raw_parts(UnsafeCell::raw_get(cells.as_ptr()), cells.len()) }
    }
}
