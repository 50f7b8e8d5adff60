//! The order of what a device does: streams, and the events that tie them to each other and to the host.

use super::{Arguments, DeviceBuffer, Gpu, GpuError, Kernel, Launch, RawEvent, RawStream};

/// A queue of work on a device: what is queued on one stream runs in order, what is queued on two runs in any, unless
/// an event says otherwise. Dropping a stream of ours neither waits for its work nor cancels it.
#[derive(Debug)]
pub struct Stream {
    gpu: Gpu,
    raw: RawStream,
    owned: bool,
}

/// A point in the work of a stream, which other streams and the host can wait for.
#[derive(Debug)]
pub struct Event {
    gpu: Gpu,
    raw: RawEvent,
}

impl Gpu {
    /// A new stream; it is ordered with no other, the legacy default stream included.
    ///
    /// # Errors
    /// [`GpuError::Driver`].
    pub fn stream(&self) -> Result<Stream, GpuError> {
        Ok(Stream { gpu: self.clone(), raw: self.driver().create_stream()?, owned: true })
    }

    /// Another library's stream, such as torch's current one; it is not destroyed on drop.
    ///
    /// # Safety
    /// `raw` is a stream of this device's primary context, or [`RawStream::LEGACY`], and lives as long as the result.
    pub unsafe fn foreign_stream(&self, raw: RawStream) -> Stream {
        Stream { gpu: self.clone(), raw, owned: false }
    }

    /// A new event, never recorded, and so passed.
    ///
    /// # Errors
    /// [`GpuError::Driver`].
    pub fn event(&self) -> Result<Event, GpuError> {
        Ok(Event { gpu: self.clone(), raw: self.driver().create_event(false)? })
    }

    /// A new event whose time can be asked, for benches: see [`Event::elapsed_ms`].
    ///
    /// # Errors
    /// [`GpuError::Driver`].
    pub fn timed_event(&self) -> Result<Event, GpuError> {
        Ok(Event { gpu: self.clone(), raw: self.driver().create_event(true)? })
    }
}

impl Stream {
    /// The driver's handle.
    pub fn raw(&self) -> RawStream {
        self.raw
    }

    /// The device that it works on.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Queues `event`: it passes once everything queued before it has run.
    ///
    /// # Errors
    /// [`GpuError::OtherDevice`], [`GpuError::Driver`].
    pub fn record(&self, event: &Event) -> Result<(), GpuError> {
        self.gpu.expect_same(&event.gpu, "the event")?;
        // SAFETY: both are alive, and of this device.
        unsafe { self.gpu.driver().record(event.raw, self.raw) }
    }

    /// Lets everything queued from now on wait for the event's latest recording; the host goes on.
    ///
    /// # Errors
    /// [`GpuError::OtherDevice`], [`GpuError::Driver`].
    pub fn wait(&self, event: &Event) -> Result<(), GpuError> {
        self.gpu.expect_same(&event.gpu, "the event")?;
        // SAFETY: both are alive, and of this device.
        unsafe { self.gpu.driver().wait(self.raw, event.raw) }
    }

    /// Blocks the calling thread until everything queued has run. Not for the loop of a run: events do.
    ///
    /// # Errors
    /// [`GpuError::Driver`], also for what failed earlier on the device.
    pub fn synchronize(&self) -> Result<(), GpuError> {
        // SAFETY: the stream is alive.
        unsafe { self.gpu.driver().synchronize_stream(self.raw) }
    }

    /// Queues a copy of `from` to byte `offset` of `to`. From a [`PinnedBuffer`](super::PinnedBuffer) it runs without
    /// the host; other memory works, but makes the host wait.
    ///
    /// # Safety
    /// `to` stays alive, `from` alive and unchanged, until an event recorded after this has passed; other streams touch
    /// these bytes of `to` only in an order that events make.
    ///
    /// # Errors
    /// [`GpuError::OutOfBounds`], [`GpuError::OtherDevice`], [`GpuError::Driver`].
    pub unsafe fn copy_to_device(&self, to: &DeviceBuffer, offset: usize, from: &[u8]) -> Result<(), GpuError> {
        self.gpu.expect_same(to.gpu(), "the buffer")?;
        let address = to.part(offset, from.len())?;
        if from.is_empty() {
            return Ok(());
        }
        // SAFETY: within the buffer; the rest is the caller's promise.
        unsafe { self.gpu.driver().copy_to_device(address, from.as_ptr(), from.len(), self.raw) }
    }

    /// Queues a copy of `to.len()` bytes from byte `offset` of `from`.
    ///
    /// # Safety
    /// Both stay alive, and nobody reads or writes `to`, until an event recorded after this has passed; other streams
    /// write these bytes of `from` only in an order that events make.
    ///
    /// # Errors
    /// [`GpuError::OutOfBounds`], [`GpuError::OtherDevice`], [`GpuError::Driver`].
    pub unsafe fn copy_to_host(&self, to: &mut [u8], from: &DeviceBuffer, offset: usize) -> Result<(), GpuError> {
        self.gpu.expect_same(from.gpu(), "the buffer")?;
        let address = from.part(offset, to.len())?;
        if to.is_empty() {
            return Ok(());
        }
        // SAFETY: within the buffer; the rest is the caller's promise.
        unsafe { self.gpu.driver().copy_to_host(to.as_mut_ptr(), address, to.len(), self.raw) }
    }

    /// Queues a copy of `bytes` bytes from one buffer, at its byte offset, to another, at its; not within one buffer
    /// where the two ranges overlap.
    ///
    /// # Safety
    /// Both stay alive until an event recorded after this has passed; other streams touch these bytes only in an order
    /// that events make.
    ///
    /// # Errors
    /// [`GpuError::OutOfBounds`], [`GpuError::OtherDevice`], [`GpuError::Driver`].
    pub unsafe fn copy_on_device(
        &self,
        to: (&DeviceBuffer, usize),
        from: (&DeviceBuffer, usize),
        bytes: usize,
    ) -> Result<(), GpuError> {
        self.gpu.expect_same(to.0.gpu(), "the buffer")?;
        self.gpu.expect_same(from.0.gpu(), "the buffer")?;
        let (target, source) = (to.0.part(to.1, bytes)?, from.0.part(from.1, bytes)?);
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: within the buffers; the rest is the caller's promise.
        unsafe { self.gpu.driver().copy_on_device(target, source, bytes, self.raw) }
    }

    /// Queues setting `bytes` bytes of `to` from byte `offset` on to `value`.
    ///
    /// # Safety
    /// `to` stays alive until an event recorded after this has passed; other streams touch these bytes only in an order
    /// that events make.
    ///
    /// # Errors
    /// [`GpuError::OutOfBounds`], [`GpuError::OtherDevice`], [`GpuError::Driver`].
    pub unsafe fn fill(&self, to: &DeviceBuffer, offset: usize, value: u8, bytes: usize) -> Result<(), GpuError> {
        self.gpu.expect_same(to.gpu(), "the buffer")?;
        let address = to.part(offset, bytes)?;
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: within the buffer; the rest is the caller's promise.
        unsafe { self.gpu.driver().fill(address, value, bytes, self.raw) }
    }

    /// Queues `kernel`. The values of `arguments` are copied before this returns; a grid of no blocks does nothing.
    ///
    /// # Safety
    /// The arguments mean what the kernel's source says; the kernel and all memory that it reaches stay alive, and no
    /// other stream nor the host touches what it writes or writes what it reads, until an event recorded after this has
    /// passed.
    ///
    /// # Errors
    /// [`GpuError::Arguments`] where number or sizes are not the kernel's, [`GpuError::OtherDevice`],
    /// [`GpuError::Driver`].
    pub unsafe fn launch(&self, kernel: &Kernel, launch: Launch, arguments: &Arguments) -> Result<(), GpuError> {
        self.gpu.expect_same(kernel.gpu(), "the kernel")?;
        kernel.expect(arguments)?;
        if launch.grid == 0 {
            return Ok(());
        }
        // SAFETY: kernel and stream are alive and of this device; the rest is the caller's promise.
        unsafe { self.gpu.driver().launch(kernel.raw(), launch, arguments, self.raw) }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.owned {
            // SAFETY: made by this driver and destroyed once. A failure is one of earlier work, or of a driver that is
            // gone.
            let _ = unsafe { self.gpu.driver().destroy_stream(self.raw) };
        }
    }
}

impl Event {
    /// Whether its latest recording has passed; true where it was never recorded. Does not block.
    ///
    /// # Errors
    /// [`GpuError::Driver`], also for what failed earlier on the device.
    pub fn passed(&self) -> Result<bool, GpuError> {
        // SAFETY: the event is alive.
        unsafe { self.gpu.driver().query(self.raw) }
    }

    /// Blocks the calling thread until its latest recording has passed.
    ///
    /// # Errors
    /// [`GpuError::Driver`], also for what failed earlier on the device.
    pub fn synchronize(&self) -> Result<(), GpuError> {
        // SAFETY: the event is alive.
        unsafe { self.gpu.driver().synchronize_event(self.raw) }
    }

    /// Milliseconds of device time from `start` to this event; both from [`Gpu::timed_event`], recorded and passed.
    ///
    /// # Errors
    /// [`GpuError::OtherDevice`], [`GpuError::Driver`].
    pub fn elapsed_ms(&self, start: &Self) -> Result<f32, GpuError> {
        self.gpu.expect_same(&start.gpu, "the event")?;
        // SAFETY: both are alive, and of this device.
        unsafe { self.gpu.driver().elapsed_ms(start.raw, self.raw) }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: made by this driver and destroyed once. A failure is one of earlier work, or of a driver that is
        // gone.
        let _ = unsafe { self.gpu.driver().destroy_event(self.raw) };
    }
}
