//! The few operations of one device that everything above `gpu` is made of, as an object-safe trait.
//!
//! Lives here: [`Driver`] and the plain values that it takes and gives. Two things implement it: `Cuda`, over NVIDIA's
//! driver, and `fake::Fake`, a device without a card, for tests. Not here: owners that free what they hold (`buffer`,
//! `stream`, `kernel`). Nobody but those calls a [`Driver`].

use super::{Arguments, GpuError};

/// A stream by the driver's handle; torch's streams are given by the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RawStream(pub u64);

impl RawStream {
    /// The legacy default stream, on which torch works unless told otherwise. It is not ordered with ours, which are
    /// non-blocking.
    pub const LEGACY: Self = Self(0);
}

/// An event by the driver's handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RawEvent(pub u64);

/// A loaded module by the driver's handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RawModule(pub u64);

/// A kernel of a loaded module by the driver's handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RawFunction(pub u64);

/// What a device is and allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceLimits {
    /// The driver's name for it, as in "NVIDIA H100 80GB HBM3".
    pub name: String,
    /// Compute capability, major and minor: `(9, 0)` takes code for sm_90.
    pub compute_capability: (u32, u32),
    /// Shared memory that a block may have, in bytes, declared and asked for, once its kernel allows more than 48 KiB.
    pub shared_per_block: usize,
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
}

/// Memory of a device, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceMemory {
    /// Free at this moment, over all processes; it may lie in pieces.
    pub free: usize,
    /// All there is.
    pub total: usize,
}

/// What the compiler made of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionAttributes {
    /// Registers of a thread.
    pub registers: u32,
    /// Shared memory of a block that the source declares, in bytes.
    pub static_shared: usize,
    /// Local memory of a thread, in bytes: spilled registers and arrays that are indexed by variables.
    pub local: usize,
    /// Threads that a block may have at most.
    pub max_threads: u32,
}

/// How a kernel is launched: one-dimensional, as all of ours are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Blocks.
    pub grid: u32,
    /// Threads of a block.
    pub block: u32,
    /// Dynamic shared memory of a block, in bytes.
    pub shared: u32,
}

/// The operations of one device. Calls may come from any thread.
///
/// # Errors
///
/// Every method fails where the driver does. A failure of work that was queued earlier is reported by whichever call
/// comes next.
///
/// # Safety
///
/// The unsafe methods take handles and addresses: those must come from the same object and not have been destroyed or
/// freed (streams and addresses may also come from another library that uses the same device's primary context). What a
/// method asks beyond that stands beside it.
#[allow(clippy::missing_safety_doc, reason = "said once, above")]
pub trait Driver: Send + Sync {
    /// What the device is and allows.
    fn limits(&self) -> &DeviceLimits;

    /// Memory free and total.
    fn memory(&self) -> Result<DeviceMemory, GpuError>;

    /// The address of `bytes` new bytes of device memory, aligned to 256; `bytes` is not 0. May wait for the device.
    fn allocate(&self, bytes: usize) -> Result<u64, GpuError>;

    /// Gives device memory back. Waits for the device.
    ///
    /// # Safety
    /// Nothing that is queued uses it.
    unsafe fn free(&self, address: u64) -> Result<(), GpuError>;

    /// `bytes` new bytes of page-locked host memory with the usual caching, aligned to 64 at least; `bytes` is not 0.
    /// Not initialised.
    fn allocate_pinned(&self, bytes: usize) -> Result<*mut u8, GpuError>;

    /// Gives page-locked memory back.
    ///
    /// # Safety
    /// Nothing that is queued uses it.
    unsafe fn free_pinned(&self, start: *mut u8) -> Result<(), GpuError>;

    /// A new stream, which waits for no other by itself.
    fn create_stream(&self) -> Result<RawStream, GpuError>;

    /// Gives a stream up; what is queued on it still runs.
    unsafe fn destroy_stream(&self, stream: RawStream) -> Result<(), GpuError>;

    /// Blocks the calling thread until everything queued on `stream` has run.
    unsafe fn synchronize_stream(&self, stream: RawStream) -> Result<(), GpuError>;

    /// A new event; only with `timed` may a time be asked of it, for which recording and waiting cost more.
    fn create_event(&self, timed: bool) -> Result<RawEvent, GpuError>;

    /// Gives an event up; streams that wait for it keep waiting.
    unsafe fn destroy_event(&self, event: RawEvent) -> Result<(), GpuError>;

    /// Queues `event` on `stream`: it has passed once everything queued before has run. An earlier recording is
    /// forgotten.
    unsafe fn record(&self, event: RawEvent, stream: RawStream) -> Result<(), GpuError>;

    /// Whether the event has passed; true of one that was never recorded. Does not block.
    unsafe fn query(&self, event: RawEvent) -> Result<bool, GpuError>;

    /// Blocks the calling thread until the event has passed.
    unsafe fn synchronize_event(&self, event: RawEvent) -> Result<(), GpuError>;

    /// Milliseconds from `start` to `end`, both timed and passed.
    unsafe fn elapsed_ms(&self, start: RawEvent, end: RawEvent) -> Result<f32, GpuError>;

    /// Lets what is queued on `stream` from now on wait for the event's latest recording; nothing where there is none.
    /// The host goes on.
    unsafe fn wait(&self, stream: RawStream, event: RawEvent) -> Result<(), GpuError>;

    /// Queues a copy of `bytes` bytes from host to device.
    ///
    /// # Safety
    /// The host bytes stay alive and unchanged, the device bytes alive, until the copy has run.
    unsafe fn copy_to_device(&self, to: u64, from: *const u8, bytes: usize, stream: RawStream) -> Result<(), GpuError>;

    /// Queues a copy of `bytes` bytes from device to host.
    ///
    /// # Safety
    /// Both stay alive, and nobody touches the host bytes, until the copy has run.
    unsafe fn copy_to_host(&self, to: *mut u8, from: u64, bytes: usize, stream: RawStream) -> Result<(), GpuError>;

    /// Queues a copy of `bytes` bytes within the device; the two ranges do not overlap.
    ///
    /// # Safety
    /// Both stay alive until the copy has run.
    unsafe fn copy_on_device(&self, to: u64, from: u64, bytes: usize, stream: RawStream) -> Result<(), GpuError>;

    /// Queues setting `bytes` bytes to `value`.
    ///
    /// # Safety
    /// They stay alive until that has run.
    unsafe fn fill(&self, to: u64, value: u8, bytes: usize, stream: RawStream) -> Result<(), GpuError>;

    /// Loads a compiled module; the image may go afterwards.
    ///
    /// # Safety
    /// `image` is a whole cubin: the driver finds its length in it.
    unsafe fn load_module(&self, image: &[u8]) -> Result<RawModule, GpuError>;

    /// Gives a module up.
    ///
    /// # Safety
    /// No kernel of it is queued.
    unsafe fn unload_module(&self, module: RawModule) -> Result<(), GpuError>;

    /// The kernel `name` of a module; it lives as long as the module.
    unsafe fn function(&self, module: RawModule, name: &str) -> Result<RawFunction, GpuError>;

    /// What the compiler made of a kernel.
    unsafe fn attributes(&self, function: RawFunction) -> Result<FunctionAttributes, GpuError>;

    /// The sizes of a kernel's parameters in bytes, where the device knows them.
    unsafe fn parameters(&self, function: RawFunction) -> Result<Option<Vec<usize>>, GpuError>;

    /// Lets launches of `function` ask for up to `bytes` of dynamic shared memory; 48 KiB, less what it declares, need no permission.
    unsafe fn allow_shared(&self, function: RawFunction, bytes: usize) -> Result<(), GpuError>;

    /// Queues a launch. The values of the arguments are copied before this returns.
    ///
    /// # Safety
    /// The arguments are those that the kernel's source declares, and all memory that it reaches through them stays
    /// alive, and is touched by nobody else, until it has run.
    unsafe fn launch(
        &self,
        function: RawFunction,
        launch: Launch,
        arguments: &Arguments,
        stream: RawStream,
    ) -> Result<(), GpuError>;
}
