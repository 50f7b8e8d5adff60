//! One NVIDIA GPU through the vendor's driver.
//!
//! The device's primary context is used, the one that the CUDA runtime, and so torch, uses. Every call makes it current
//! on the calling thread and leaves the thread as it was found: torch reads its current device from the thread's
//! context.

use std::ffi::{CString, c_void};

use cudarc::driver::result::{self, DriverError, device, primary_ctx};
use cudarc::driver::sys::{self, CUcontext, CUdevice, CUdevice_attribute as Attribute, CUfunction_attribute, CUresult};

use super::probe::{self, refused};
use super::{
    Arguments, DeviceLimits, DeviceMemory, Driver, FunctionAttributes, GpuError, Launch, RawEvent, RawFunction,
    RawModule, RawStream,
};

mod current;

use current::Current;

/// The CUDA that the kernels are compiled for: an older driver does not load their code, and lacks functions that are
/// called here.
const NEEDED: (u32, u32) = (13, 0);

/// One NVIDIA GPU.
#[derive(Debug)]
pub struct Cuda {
    device: CUdevice,
    context: CUcontext,
    limits: DeviceLimits,
}

// SAFETY: a context may be used from any thread that has made it current; the driver locks what it must.
unsafe impl Send for Cuda {}
// SAFETY: as above.
unsafe impl Sync for Cuda {}

impl Cuda {
    /// The GPU number `ordinal`, in the order of [`devices`](super::devices).
    ///
    /// # Errors
    ///
    /// [`GpuError::NoDriver`], [`GpuError::NoDevice`], [`GpuError::NoSuchDevice`], [`GpuError::DriverTooOld`],
    /// [`GpuError::Driver`].
    pub fn open(ordinal: u32) -> Result<Self, GpuError> {
        let count = probe::start()?;
        if count == 0 {
            return Err(GpuError::NoDevice);
        }
        let number = i32::try_from(ordinal).unwrap_or(i32::MAX);
        if number >= count {
            return Err(GpuError::NoSuchDevice { ordinal, count: count.unsigned_abs() });
        }
        let found = probe::driver_version()?;
        if found < NEEDED {
            return Err(GpuError::DriverTooOld { found, needed: NEEDED });
        }
        let device = device::get(number).map_err(refused("cuDeviceGet"))?;
        let limits = limits(device)?;
        // SAFETY: the device comes from cuDeviceGet.
        let context = unsafe { primary_ctx::retain(device) }.map_err(refused("cuDevicePrimaryCtxRetain"))?;
        Ok(Self { device, context, limits })
    }

    /// The context, current until the result is dropped.
    fn current(&self) -> Result<Current, GpuError> {
        Current::make(self.context)
    }

    /// What the driver's refusal to allocate on the device means.
    fn no_memory(&self, asked: usize, call: &'static str, error: DriverError) -> GpuError {
        match (error.0, self.memory()) {
            (CUresult::CUDA_ERROR_OUT_OF_MEMORY, Ok(DeviceMemory { free, total })) => {
                GpuError::OutOfMemory { asked, free, total }
            }
            _ => refused(call)(error),
        }
    }
}

impl Drop for Cuda {
    fn drop(&mut self) {
        // SAFETY: retained in `open` and released once; whatever was made in the context has kept `self` alive. It
        // fails only where the driver is already gone, at the end of the process.
        let _ = unsafe { primary_ctx::release(self.device) };
    }
}

fn limits(device: CUdevice) -> Result<DeviceLimits, GpuError> {
    let number = |which| probe::attribute(device, which);
    Ok(DeviceLimits {
        name: device::get_name(device).map_err(refused("cuDeviceGetName"))?,
        compute_capability: probe::compute_capability(device)?,
        shared_per_block: number(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)? as usize,
        multiprocessors: number(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
    })
}

// Every method but the launch is one call of the driver within `current()`. What its handles and addresses must be is
// the promise of the trait's `# Safety`, which the comments below lean on.
impl Driver for Cuda {
    fn limits(&self) -> &DeviceLimits {
        &self.limits
    }

    fn memory(&self) -> Result<DeviceMemory, GpuError> {
        let _current = self.current()?;
        let (free, total) = result::mem_get_info().map_err(refused("cuMemGetInfo"))?;
        Ok(DeviceMemory { free, total })
    }

    fn allocate(&self, bytes: usize) -> Result<u64, GpuError> {
        let _current = self.current()?;
        // SAFETY: memory that is not initialised, which the trait says.
        let allocate = || unsafe { result::malloc_sync(bytes) };
        let mut given = allocate();
        if matches!(given, Err(DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY)))
            && let Some(relief) = super::RELIEF.get()
        {
            relief();
            given = allocate();
        }
        given.map_err(|error| self.no_memory(bytes, "cuMemAlloc", error))
    }

    unsafe fn free(&self, address: u64) -> Result<(), GpuError> {
        let _current = self.current()?;
        // SAFETY: allocated here, unused from now on: the caller's promise.
        unsafe { result::free_sync(address) }.map_err(refused("cuMemFree"))
    }

    fn allocate_pinned(&self, bytes: usize) -> Result<*mut u8, GpuError> {
        let _current = self.current()?;
        // Portable: page-locked for every context, so that a second device copies from it as fast.
        // SAFETY: memory that is not initialised, which the trait says.
        match unsafe { result::malloc_host(bytes, sys::CU_MEMHOSTALLOC_PORTABLE) } {
            Ok(start) => Ok(start.cast()),
            Err(DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => Err(GpuError::OutOfPinnedMemory { asked: bytes }),
            Err(error) => Err(refused("cuMemHostAlloc")(error)),
        }
    }

    unsafe fn free_pinned(&self, start: *mut u8) -> Result<(), GpuError> {
        let _current = self.current()?;
        // SAFETY: allocated here, unused from now on: the caller's promise.
        unsafe { result::free_host(start.cast()) }.map_err(refused("cuMemFreeHost"))
    }

    fn create_stream(&self) -> Result<RawStream, GpuError> {
        let _current = self.current()?;
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking);
        stream.map(|stream| RawStream(stream as u64)).map_err(refused("cuStreamCreate"))
    }

    unsafe fn destroy_stream(&self, stream: RawStream) -> Result<(), GpuError> {
        let _current = self.current()?;
        // SAFETY: a living stream: the caller's promise.
        unsafe { result::stream::destroy(stream.handle()) }.map_err(refused("cuStreamDestroy"))
    }

    unsafe fn synchronize_stream(&self, stream: RawStream) -> Result<(), GpuError> {
        let _current = self.current()?;
        // SAFETY: a living stream: the caller's promise.
        unsafe { result::stream::synchronize(stream.handle()) }.map_err(refused("cuStreamSynchronize"))
    }

    fn create_event(&self, timed: bool) -> Result<RawEvent, GpuError> {
        let _current = self.current()?;
        // Blocking: a host thread that waits sleeps, and leaves its core to the workers.
        let mut flags = sys::CUevent_flags::CU_EVENT_BLOCKING_SYNC as u32;
        if !timed {
            flags |= sys::CUevent_flags::CU_EVENT_DISABLE_TIMING as u32;
        }
        let mut event = std::ptr::null_mut();
        // SAFETY: a place for one handle.
        unsafe { sys::cuEventCreate(&mut event, flags) }.result().map_err(refused("cuEventCreate"))?;
        Ok(RawEvent(event as u64))
    }

    unsafe fn destroy_event(&self, event: RawEvent) -> Result<(), GpuError> {
        let _current = self.current()?;
        // SAFETY: a living event: the caller's promise.
        unsafe { result::event::destroy(event.handle()) }.map_err(refused("cuEventDestroy"))
    }

    unsafe fn record(&self, event: RawEvent, stream: RawStream) -> Result<(), GpuError> {
        let _current = self.current()?;
        // SAFETY: both live: the caller's promise.
        unsafe { result::event::record(event.handle(), stream.handle()) }.map_err(refused("cuEventRecord"))
    }

    unsafe fn query(&self, event: RawEvent) -> Result<bool, GpuError> {
        let _current = self.current()?;
        // SAFETY: a living event: the caller's promise.
        match unsafe { result::event::query(event.handle()) } {
            Ok(()) => Ok(true),
            Err(DriverError(CUresult::CUDA_ERROR_NOT_READY)) => Ok(false),
            Err(error) => Err(refused("cuEventQuery")(error)),
        }
    }

    unsafe fn synchronize_event(&self, event: RawEvent) -> Result<(), GpuError> {
        let _current = self.current()?;
        // SAFETY: a living event: the caller's promise.
        unsafe { result::event::synchronize(event.handle()) }.map_err(refused("cuEventSynchronize"))
    }

    unsafe fn elapsed_ms(&self, start: RawEvent, end: RawEvent) -> Result<f32, GpuError> {
        let _current = self.current()?;
        // SAFETY: both live: the caller's promise; others than timed ones that have passed are refused.
        unsafe { result::event::elapsed(start.handle(), end.handle()) }.map_err(refused("cuEventElapsedTime"))
    }

    unsafe fn wait(&self, stream: RawStream, event: RawEvent) -> Result<(), GpuError> {
        let _current = self.current()?;
        let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        // SAFETY: both live: the caller's promise.
        unsafe { result::stream::wait_event(stream.handle(), event.handle(), flags) }
            .map_err(refused("cuStreamWaitEvent"))
    }

    unsafe fn copy_to_device(&self, to: u64, from: *const u8, bytes: usize, stream: RawStream) -> Result<(), GpuError> {
        let _current = self.current()?;
        // SAFETY: living ranges and stream: the caller's promise.
        unsafe { sys::cuMemcpyHtoDAsync_v2(to, from.cast(), bytes, stream.handle()) }
            .result()
            .map_err(refused("cuMemcpyHtoDAsync"))
    }

    unsafe fn copy_to_host(&self, to: *mut u8, from: u64, bytes: usize, stream: RawStream) -> Result<(), GpuError> {
        let _current = self.current()?;
        // SAFETY: living ranges and stream: the caller's promise.
        unsafe { sys::cuMemcpyDtoHAsync_v2(to.cast(), from, bytes, stream.handle()) }
            .result()
            .map_err(refused("cuMemcpyDtoHAsync"))
    }

    unsafe fn copy_on_device(&self, to: u64, from: u64, bytes: usize, stream: RawStream) -> Result<(), GpuError> {
        let _current = self.current()?;
        // SAFETY: living ranges and stream: the caller's promise.
        unsafe { result::memcpy_dtod_async(to, from, bytes, stream.handle()) }.map_err(refused("cuMemcpyDtoDAsync"))
    }

    unsafe fn fill(&self, to: u64, value: u8, bytes: usize, stream: RawStream) -> Result<(), GpuError> {
        let _current = self.current()?;
        // SAFETY: a living range and stream: the caller's promise.
        unsafe { result::memset_d8_async(to, value, bytes, stream.handle()) }.map_err(refused("cuMemsetD8Async"))
    }

    unsafe fn load_module(&self, image: &[u8]) -> Result<RawModule, GpuError> {
        let _current = self.current()?;
        // SAFETY: a whole cubin: the caller's promise.
        match unsafe { result::module::load_data(image.as_ptr().cast()) } {
            Ok(module) => Ok(RawModule(module as u64)),
            Err(error @ DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => {
                Err(self.no_memory(image.len(), "cuModuleLoadData", error))
            }
            Err(DriverError(code)) => Err(GpuError::ModuleLoad { code: format!("{code:?}") }),
        }
    }

    unsafe fn unload_module(&self, module: RawModule) -> Result<(), GpuError> {
        let _current = self.current()?;
        // SAFETY: a loaded module none of whose kernels is queued: the caller's promise.
        unsafe { result::module::unload(module.handle()) }.map_err(refused("cuModuleUnload"))
    }

    unsafe fn function(&self, module: RawModule, name: &str) -> Result<RawFunction, GpuError> {
        let missing = || GpuError::NoKernel { name: name.to_owned() };
        let symbol = CString::new(name).map_err(|_| missing())?;
        let _current = self.current()?;
        // SAFETY: a loaded module: the caller's promise.
        match unsafe { result::module::get_function(module.handle(), symbol) } {
            Ok(function) => Ok(RawFunction(function as u64)),
            Err(DriverError(CUresult::CUDA_ERROR_NOT_FOUND)) => Err(missing()),
            Err(error) => Err(refused("cuModuleGetFunction")(error)),
        }
    }

    unsafe fn attributes(&self, function: RawFunction) -> Result<FunctionAttributes, GpuError> {
        let _current = self.current()?;
        let attribute = |which| {
            // SAFETY: a function of a loaded module: the caller's promise.
            let value = unsafe { result::function::get_function_attribute(function.handle(), which) };
            value.map(i32::unsigned_abs).map_err(refused("cuFuncGetAttribute"))
        };
        Ok(FunctionAttributes {
            registers: attribute(CUfunction_attribute::CU_FUNC_ATTRIBUTE_NUM_REGS)?,
            static_shared: attribute(CUfunction_attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES)? as usize,
            local: attribute(CUfunction_attribute::CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES)? as usize,
            max_threads: attribute(CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK)?,
        })
    }

    unsafe fn parameters(&self, function: RawFunction) -> Result<Option<Vec<usize>>, GpuError> {
        let _current = self.current()?;
        let mut sizes = Vec::new();
        loop {
            let (mut offset, mut size) = (0, 0);
            // SAFETY: a function of a loaded module: the caller's promise; two places for one size each.
            match unsafe { sys::cuFuncGetParamInfo(function.handle(), sizes.len(), &mut offset, &mut size) } {
                CUresult::CUDA_SUCCESS => sizes.push(size),
                // There is no parameter of that number.
                CUresult::CUDA_ERROR_INVALID_VALUE => return Ok(Some(sizes)),
                code => return Err(refused("cuFuncGetParamInfo")(DriverError(code))),
            }
        }
    }

    unsafe fn allow_shared(&self, function: RawFunction, bytes: usize) -> Result<(), GpuError> {
        let _current = self.current()?;
        let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
        let which = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        // SAFETY: a function of a loaded module: the caller's promise.
        unsafe { result::function::set_function_attribute(function.handle(), which, bytes) }
            .map_err(refused("cuFuncSetAttribute"))
    }

    unsafe fn launch(
        &self,
        function: RawFunction,
        launch: Launch,
        arguments: &Arguments,
        stream: RawStream,
    ) -> Result<(), GpuError> {
        let _current = self.current()?;
        // The driver only reads what they point to, though it takes `*mut`.
        let mut values: Vec<*mut c_void> = arguments.pointers().into_iter().map(<*const c_void>::cast_mut).collect();
        let (grid, block) = ((launch.grid, 1, 1), (launch.block, 1, 1));
        // SAFETY: function and stream live and the arguments are the kernel's: the caller's promise. Their values lie
        // in `arguments`, which outlives the call, and are copied by it.
        unsafe { result::launch_kernel(function.handle(), grid, block, launch.shared, stream.handle(), &mut values) }
            .map_err(refused("cuLaunchKernel"))
    }
}

impl RawStream {
    fn handle(self) -> sys::CUstream {
        self.0 as sys::CUstream
    }
}

impl RawEvent {
    fn handle(self) -> sys::CUevent {
        self.0 as sys::CUevent
    }
}

impl RawModule {
    fn handle(self) -> sys::CUmodule {
        self.0 as sys::CUmodule
    }
}

impl RawFunction {
    fn handle(self) -> sys::CUfunction {
        self.0 as sys::CUfunction
    }
}
