//! A device without a card: host memory and deferred work, so that tests see every missing wait and every misuse of
//! memory.
//!
//! A [`Fake`] is a [`Driver`] whose streams are queues of operations that have not run. Device addresses are host
//! addresses; each allocation is one of exactly its size, so that sanitizers see overruns by kernels built for the
//! host. When something forces work to run (or, by [`Mode`], earlier), the next operation is picked among the heads of
//! the streams, and only waits for events hold a head back: what would be right only by luck on a real device is wrong
//! here under some seed.
//!
//! Noticed at once, or when the operation runs: memory used after it was freed (it is also filled with [`POISON`]),
//! copies and kernel arguments outside every allocation, dead handles, memory or modules given up while queued work
//! uses them, launches that a device refuses. Such a call fails with [`GpuError::Misuse`]; [`Fake::faults`] also lists
//! those whose result was dropped, as owners do. An error of queued work stays, as on a real device: every later call
//! reports it.
//!
//! Not noticed: what a kernel does to memory that only its tables point to (a sanitizer sees that), and the host's
//! writes to a pinned buffer under way (the bytes are then wrong under some seed).
//!
//! Below: `memory`, allocations; `queue`, operations and who could be next; `chance`, who is; `state`, all of it with
//! handles behind one lock; `calls`, what was asked of the device.

use std::ffi::c_void;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    Arguments, DeviceLimits, DeviceMemory, Driver, FunctionAttributes, Gpu, GpuError, Launch, Misuse, RawEvent,
    RawFunction, RawModule, RawStream,
};

mod calls;
mod chance;
mod memory;
mod queue;
mod state;

pub use calls::{Call, Operation};

use memory::Kind;
use queue::Work;
use state::State;

/// What fills memory that was never written or was freed.
pub const POISON: u8 = 0xdd;

/// Bytes of shared memory that a block may have without permission, as on every card.
const SHARED_WITHOUT_PERMISSION: usize = 48 << 10;

/// Bytes of shared memory that the source of every kernel declares, as it were: they count like those that a launch asks for.
const STATIC_SHARED: usize = 4 << 10;

/// Which of the operations that could run next does, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As late as possible: only what a blocking call waits for runs, and what that depends on. A query of a pending
    /// event says no and runs one operation, so that a loop of queries ends.
    Lazy,
    /// Anything that could happen, by the seed: after every call some operations run or none, in any order that events
    /// allow.
    Random(u64),
    /// At once.
    Eager,
}

/// The kernels of a fake device: called with a kernel's name, its launch and pointers to its arguments' values, each
/// aligned to 16. One call at a time; it must not call the device. Panics poison nothing.
pub type Kernels = dyn Fn(&str, Launch, &[*const c_void]) -> Result<(), GpuError> + Send + Sync;

/// A device without a card.
pub struct Fake {
    limits: DeviceLimits,
    state: Mutex<State>,
}

impl Fake {
    /// A device that runs `kernels` and has 1 GiB of memory.
    pub fn new(
        mode: Mode,
        kernels: impl Fn(&str, Launch, &[*const c_void]) -> Result<(), GpuError> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let limits = DeviceLimits {
            name: "fake".to_owned(),
            // An A100's figures.
            compute_capability: (8, 0),
            shared_per_block: 163 << 10,
            multiprocessors: 108,
        };
        Arc::new(Self { limits, state: Mutex::new(State::new(mode, Box::new(kernels))) })
    }

    /// A device whose kernels all do nothing.
    pub fn without_kernels(mode: Mode) -> Arc<Self> {
        Self::new(mode, |_, _, _| Ok(()))
    }

    /// The handle that everything above uses.
    pub fn gpu(self: &Arc<Self>) -> Gpu {
        Gpu::over(self.clone())
    }

    /// From now on, device memory ends at `bytes` bytes in all.
    pub fn limit_memory(&self, bytes: usize) {
        self.lock().memory.limit = bytes;
    }

    /// Runs everything that is queued on all streams.
    ///
    /// # Errors
    /// The first error of queued work, now or earlier.
    pub fn drain(&self) -> Result<(), GpuError> {
        self.lock().drain()
    }

    /// Everything noticed so far, oldest first, including writes to freed memory up to now. Empty when all is well.
    pub fn faults(&self) -> Vec<GpuError> {
        let mut state = self.lock();
        state.notice_late_writes();
        state.faults.clone()
    }

    /// What was asked of the device since it was made, or since [`Fake::forget_calls`].
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// How many of [`Fake::calls`] would have made the host wait for a real device.
    pub fn blocking_calls(&self) -> usize {
        self.lock().calls.iter().filter(|call| call.operation.blocks()).count()
    }

    /// Empties [`Fake::calls`].
    pub fn forget_calls(&self) {
        self.lock().calls.clear();
    }

    /// How many allocations, on the device and page-locked, are alive.
    pub fn allocations(&self) -> usize {
        self.lock().memory.alive()
    }

    /// How many operations are queued and have not run.
    pub fn queued(&self) -> usize {
        self.lock().queues.len()
    }

    /// A panicking kernel is a failing test, whose owners still free what they hold.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// Its methods note the call, check what it names, and queue or do it.
impl Driver for Fake {
    fn limits(&self) -> &DeviceLimits {
        &self.limits
    }

    fn memory(&self) -> Result<DeviceMemory, GpuError> {
        let memory = &self.lock().memory;
        Ok(DeviceMemory { free: memory.limit.saturating_sub(memory.used), total: memory.limit })
    }

    fn allocate(&self, bytes: usize) -> Result<u64, GpuError> {
        let mut state = self.lock();
        state.note(Operation::Allocate, None, bytes)?;
        Ok(state.memory.allocate(Kind::Device, bytes)? as u64)
    }

    unsafe fn free(&self, address: u64) -> Result<(), GpuError> {
        self.lock().free(Operation::Free, Kind::Device, address as usize)
    }

    fn allocate_pinned(&self, bytes: usize) -> Result<*mut u8, GpuError> {
        let mut state = self.lock();
        state.note(Operation::AllocatePinned, None, bytes)?;
        Ok(std::ptr::with_exposed_provenance_mut(state.memory.allocate(Kind::Pinned, bytes)?))
    }

    unsafe fn free_pinned(&self, start: *mut u8) -> Result<(), GpuError> {
        self.lock().free(Operation::FreePinned, Kind::Pinned, start.addr())
    }

    fn create_stream(&self) -> Result<RawStream, GpuError> {
        let mut state = self.lock();
        state.note(Operation::CreateStream, None, 0)?;
        Ok(RawStream(state.create_stream()))
    }

    unsafe fn destroy_stream(&self, stream: RawStream) -> Result<(), GpuError> {
        let mut state = self.lock();
        state.note(Operation::DestroyStream, Some(stream), 0)?;
        let destroyed = stream != RawStream::LEGACY && state.queues.destroy(stream.0);
        state.expect(destroyed, Operation::DestroyStream, Misuse::DeadHandle, || format!("{stream:?}"))
    }

    unsafe fn synchronize_stream(&self, stream: RawStream) -> Result<(), GpuError> {
        let mut state = self.lock();
        state.note(Operation::SynchronizeStream, Some(stream), 0)?;
        state.expect_stream(Operation::SynchronizeStream, stream)?;
        state.run_until(|queues| queues.is_empty(stream.0), |queues| queues.needed_by(stream.0))
    }

    fn create_event(&self, timed: bool) -> Result<RawEvent, GpuError> {
        let mut state = self.lock();
        state.note(Operation::CreateEvent, None, 0)?;
        Ok(RawEvent(state.create_event(timed)))
    }

    unsafe fn destroy_event(&self, event: RawEvent) -> Result<(), GpuError> {
        let mut state = self.lock();
        state.note(Operation::DestroyEvent, None, 0)?;
        let destroyed = state.events.remove(&event.0).is_some();
        state.expect(destroyed, Operation::DestroyEvent, Misuse::DeadHandle, || format!("{event:?}"))
    }

    unsafe fn record(&self, event: RawEvent, stream: RawStream) -> Result<(), GpuError> {
        let mut state = self.lock();
        state.note(Operation::Record, Some(stream), 0)?;
        state.expect_event(Operation::Record, event)?;
        state.expect_stream(Operation::Record, stream)?;
        let ticket = state.record(event.0);
        state.push(stream, Work::Record(ticket), Vec::new())
    }

    unsafe fn query(&self, event: RawEvent) -> Result<bool, GpuError> {
        let mut state = self.lock();
        state.note(Operation::Query, None, 0)?;
        let ticket = state.expect_event(Operation::Query, event)?;
        state.query(ticket)
    }

    unsafe fn synchronize_event(&self, event: RawEvent) -> Result<(), GpuError> {
        let mut state = self.lock();
        state.note(Operation::SynchronizeEvent, None, 0)?;
        let ticket = state.expect_event(Operation::SynchronizeEvent, event)?;
        state.run_until(|queues| queues.has_passed(ticket), |queues| queues.needed_for(ticket))
    }

    unsafe fn elapsed_ms(&self, start: RawEvent, end: RawEvent) -> Result<f32, GpuError> {
        let mut state = self.lock();
        state.note(Operation::Elapsed, None, 0)?;
        state.elapsed(start, end)
    }

    unsafe fn wait(&self, stream: RawStream, event: RawEvent) -> Result<(), GpuError> {
        let mut state = self.lock();
        state.note(Operation::Wait, Some(stream), 0)?;
        state.expect_stream(Operation::Wait, stream)?;
        let ticket = state.expect_event(Operation::Wait, event)?;
        state.push(stream, Work::Wait(ticket), Vec::new())
    }

    unsafe fn copy_to_device(&self, to: u64, from: *const u8, bytes: usize, stream: RawStream) -> Result<(), GpuError> {
        let from = from.expose_provenance();
        self.lock().copy(Operation::CopyToDevice, (to as usize, Kind::Device), (from, Kind::Host), bytes, stream)
    }

    unsafe fn copy_to_host(&self, to: *mut u8, from: u64, bytes: usize, stream: RawStream) -> Result<(), GpuError> {
        let to = to.expose_provenance();
        self.lock().copy(Operation::CopyToHost, (to, Kind::Host), (from as usize, Kind::Device), bytes, stream)
    }

    unsafe fn copy_on_device(&self, to: u64, from: u64, bytes: usize, stream: RawStream) -> Result<(), GpuError> {
        let (to, from) = ((to as usize, Kind::Device), (from as usize, Kind::Device));
        self.lock().copy(Operation::CopyOnDevice, to, from, bytes, stream)
    }

    unsafe fn fill(&self, to: u64, value: u8, bytes: usize, stream: RawStream) -> Result<(), GpuError> {
        let mut state = self.lock();
        state.note(Operation::Fill, Some(stream), bytes)?;
        state.expect_stream(Operation::Fill, stream)?;
        let held = state.expect_memory(Operation::Fill, (to as usize, Kind::Device), bytes)?;
        state.push(stream, Work::Fill { to: to as usize, value, bytes }, held.into_iter().collect())
    }

    unsafe fn load_module(&self, image: &[u8]) -> Result<RawModule, GpuError> {
        let mut state = self.lock();
        state.note(Operation::LoadModule, None, image.len())?;
        Ok(RawModule(state.load_module()))
    }

    unsafe fn unload_module(&self, module: RawModule) -> Result<(), GpuError> {
        self.lock().unload_module(module)
    }

    unsafe fn function(&self, module: RawModule, name: &str) -> Result<RawFunction, GpuError> {
        self.lock().function(module, name)
    }

    unsafe fn attributes(&self, function: RawFunction) -> Result<FunctionAttributes, GpuError> {
        self.lock().expect_function(Operation::Function, function)?;
        Ok(FunctionAttributes { registers: 32, static_shared: STATIC_SHARED, local: 0, max_threads: state::THREADS })
    }

    unsafe fn parameters(&self, _function: RawFunction) -> Result<Option<Vec<usize>>, GpuError> {
        Ok(None)
    }

    unsafe fn allow_shared(&self, function: RawFunction, bytes: usize) -> Result<(), GpuError> {
        self.lock().allow_shared(function, bytes, self.limits.shared_per_block)
    }

    unsafe fn launch(
        &self,
        function: RawFunction,
        launch: Launch,
        arguments: &Arguments,
        stream: RawStream,
    ) -> Result<(), GpuError> {
        self.lock().launch(function, launch, arguments, stream)
    }
}
