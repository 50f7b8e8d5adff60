//! Views that threads rendered, to a device: copies beside the consumer's work, in the order of the [stage](super).

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Rendered, StageError};
use crate::gpu::{DeviceBuffer, Event, Gpu, RawStream, Stream};
use crate::loader::Batch;

/// Copies batch after batch of one loader; two are on the device at a time.
pub struct Uploader {
    copies: Stream,
    halves: [Half; 2],
    /// Batches whose copies may still run, with their halves.
    pending: VecDeque<(Batch, usize)>,
    calls: u64,
    /// Who was given the latest batch, and an event for the end.
    consumer: Option<RawStream>,
    left: Event,
}

struct Half {
    /// Shared with whoever holds on to the views.
    batch: Arc<DeviceBuffer>,
    /// On the consumer's stream, when the batch was asked for.
    entered: Event,
    copied: Event,
}

impl Uploader {
    /// For batches of up to `bytes` bytes.
    ///
    /// # Errors
    /// [`StageError::Gpu`].
    pub fn new(gpu: &Gpu, bytes: usize) -> Result<Self, StageError> {
        let half = || -> Result<Half, StageError> {
            Ok(Half { batch: gpu.allocate(bytes)?.into(), entered: gpu.event()?, copied: gpu.event()? })
        };
        Ok(Self {
            copies: gpu.stream()?,
            halves: [half()?, half()?],
            pending: VecDeque::new(),
            calls: 0,
            consumer: None,
            left: gpu.event()?,
        })
    }

    /// The device.
    pub fn gpu(&self) -> &Gpu {
        self.copies.gpu()
    }

    /// Queues the copy of `batch`, whose slot is kept until it has run, and lets `consumer` wait for it.
    ///
    /// Everything that `consumer` does with earlier batches must be queued on it by now; a batch is valid until the second call after its own.
    ///
    /// # Errors
    /// [`StageError::Gpu`].
    pub fn upload(&mut self, batch: Batch, consumer: &Stream) -> Result<Rendered, StageError> {
        let now = (self.calls % 2) as usize;
        self.consumer = Some(consumer.raw());
        let [first, second] = &self.halves;
        let (half, previous) = if now == 0 { (first, second) } else { (second, first) };
        consumer.record(&half.entered)?;
        // Before the call before this one, the consumer had queued its last use of this half.
        self.copies.wait(&previous.entered)?;
        // SAFETY: `pending` keeps the slot until `copied` has passed, and the half lives as long as the stream.
        unsafe { self.copies.copy_to_device(&half.batch, 0, batch.bytes()) }?;
        let copied = self.copies.record(&half.copied).and_then(|()| consumer.wait(&half.copied));
        if copied.is_err() {
            // The slot goes back to the loader with this call.
            let _ = self.copies.synchronize();
        }
        copied?;
        self.calls += 1;
        let rendered = Rendered { address: half.batch.address(), rows: batch.plan().views.len() };
        self.pending.push_back((batch, now));
        Ok(rendered)
    }

    /// The memory of `rendered`, for who holds on to it beyond this uploader.
    ///
    /// # Panics
    /// Where `rendered` is of another one.
    pub fn memory(&self, rendered: Rendered) -> Arc<DeviceBuffer> {
        let found = self.halves.iter().find(|half| half.batch.address() == rendered.address);
        found.expect("views of this uploader").batch.clone()
    }

    /// Waits until at most `most` slots of the loader are kept; called before every [`upload`](Self::upload), with one at most.
    ///
    /// # Errors
    /// [`StageError::Gpu`].
    pub fn keep_at_most(&mut self, most: usize) -> Result<(), StageError> {
        while let Some((_, half)) = self.pending.front() {
            let copied = &self.halves[*half].copied;
            if self.pending.len() > most {
                copied.synchronize()?;
            } else if !copied.passed()? {
                break;
            }
            self.pending.pop_front();
        }
        Ok(())
    }

    /// Waits until everything queued has run.
    ///
    /// # Errors
    /// [`StageError::Gpu`].
    pub fn drain(&mut self) -> Result<(), StageError> {
        self.copies.synchronize()?;
        self.keep_at_most(0)
    }
}

impl Drop for Uploader {
    /// Slots and buffers outlive what is queued on them, by the consumer too.
    fn drop(&mut self) {
        let _ = self.copies.synchronize();
        super::wait_for(self.copies.gpu(), self.consumer, &self.left);
    }
}
