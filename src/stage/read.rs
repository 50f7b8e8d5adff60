//! Finished views out of a stage's memory, for tests and benches: a network reads them where they are.

use super::{Rendered, Stage, StageError};
use crate::gpu::{DeviceBuffer, Stream};

impl Stage {
    /// The values of `rendered`, `rendered.rows` rows of [`Stage::row_bytes`], once they are there: waits for everything queued.
    ///
    /// # Errors
    /// As [`reap`](Self::reap).
    ///
    /// # Panics
    /// Where `rendered` is of another stage.
    pub fn read(&mut self, rendered: Rendered) -> Result<Vec<u8>, StageError> {
        self.drain()?;
        let mut values = vec![0; rendered.rows * self.row_bytes()];
        // SAFETY: the stream is synchronized on the next line.
        unsafe { self.copies.copy_to_host(&mut values, &self.memory(rendered), 0) }?;
        self.copies.synchronize()?;
        Ok(values)
    }

    /// Queues a copy of `rendered` to byte `offset` of `to` on the stream that it was rendered for. Queued before the call after the next,
    /// as everything that reads `rendered` must be.
    ///
    /// # Safety
    /// `to` and this stage stay alive until an event recorded after this has passed; other streams touch these bytes of `to` only in an
    /// order that events make.
    ///
    /// # Errors
    /// [`StageError::Gpu`], where `to` is too short for instance.
    ///
    /// # Panics
    /// Where `rendered` is of another stage.
    pub unsafe fn copy(
        &self,
        rendered: Rendered,
        to: &DeviceBuffer,
        offset: usize,
        consumer: &Stream,
    ) -> Result<(), StageError> {
        // SAFETY: the consumer waits for the batch; the rest is the caller's promise.
        unsafe {
            consumer.copy_on_device((to, offset), (&self.memory(rendered), 0), rendered.rows * self.row_bytes())
        }?;
        Ok(())
    }

    /// Bytes of a view in a batch.
    pub fn row_bytes(&self) -> usize {
        self.list.row_bytes() as usize
    }
}
