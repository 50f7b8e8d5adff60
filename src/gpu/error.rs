//! Why a GPU cannot be used, or refuses: one enum for the whole of `gpu`.

/// Why the GPUs cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// The crate was built without the feature `cuda`.
    #[error("this build knows no GPUs; build it with the feature `cuda`")]
    NotBuilt,
    /// No driver library could be opened.
    #[error("no NVIDIA driver (libcuda.so.1) found; install it, or run on the CPU")]
    NoDriver,
    /// A driver is installed, but shows no GPU.
    #[error("the NVIDIA driver shows no GPU; see nvidia-smi and CUDA_VISIBLE_DEVICES, or run on the CPU")]
    NoDevice,
    /// There are fewer GPUs than that.
    #[error(
        "there is no GPU {ordinal}: this machine shows {count}, numbered from 0 in the order of CUDA_VISIBLE_DEVICES"
    )]
    NoSuchDevice {
        /// The number asked for.
        ordinal: u32,
        /// How many GPUs the driver shows.
        count: u32,
    },
    /// The driver is older than the code that this build makes.
    #[error(
        "the NVIDIA driver supports CUDA {}.{}, this build needs CUDA {}.{}: install driver 580 or newer",
        found.0, found.1, needed.0, needed.1
    )]
    DriverTooOld {
        /// The newest CUDA that the driver supports, major and minor.
        found: (u32, u32),
        /// The CUDA that the build is made for.
        needed: (u32, u32),
    },
    /// The driver refused a call.
    #[error("the NVIDIA driver answers {call} with {code}; nvidia-smi tells whether the driver works")]
    Driver {
        /// The function of the driver.
        call: &'static str,
        /// Its answer, by the driver's name for it.
        code: String,
    },
    /// The memory of the device does not suffice.
    #[error(
        "the GPU has no room for {asked} bytes: {free} of {total} are free; make the batch smaller, or end what else uses the GPU \
         (nvidia-smi lists it)"
    )]
    OutOfMemory {
        /// Bytes asked for.
        asked: usize,
        /// Bytes free on the device, which may lie in pieces.
        free: usize,
        /// Bytes of the device.
        total: usize,
    },
    /// The system gives no more page-locked memory.
    #[error(
        "the system gives no {asked} bytes of page-locked memory; make the batch smaller, or see `ulimit -l` and free memory"
    )]
    OutOfPinnedMemory {
        /// Bytes asked for.
        asked: usize,
    },
    /// The driver does not take a compiled module.
    #[error(
        "the NVIDIA driver does not load the compiled kernels ({code}); remove the folder of cached kernels, or update the driver"
    )]
    ModuleLoad {
        /// The driver's answer, by its name for it.
        code: String,
    },
    /// A module has no kernel of that name.
    #[error("the compiled module has no kernel `{name}`: it must be declared `extern \"C\" __global__`")]
    NoKernel {
        /// The name asked for.
        name: String,
    },
    /// A kernel was called with other arguments than its source declares.
    #[error("kernel `{kernel}` takes arguments of {expected:?} bytes, given are {given:?}")]
    Arguments {
        /// The kernel's name.
        kernel: String,
        /// Sizes of its parameters, in bytes.
        expected: Vec<usize>,
        /// Sizes of the arguments, in bytes.
        given: Vec<usize>,
    },
    /// A part of a buffer that the buffer does not have.
    #[error("bytes {offset}..{} lie outside a buffer of {length} bytes", offset.saturating_add(*bytes))]
    OutOfBounds {
        /// First byte asked for.
        offset: usize,
        /// Bytes asked for.
        bytes: usize,
        /// Bytes of the buffer.
        length: usize,
    },
    /// A stream, an event, a kernel or a buffer of one device was used with another.
    #[error("{what} belongs to another device than the stream it is used with")]
    OtherDevice {
        /// What was used.
        what: &'static str,
    },
    /// NVRTC, which compiles the kernels, could not be opened.
    #[error(
        "NVRTC (libnvrtc.so.13), which compiles the kernels, is not found: run `make setup`, or pip install nvidia-cuda-nvrtc==13.0.88"
    )]
    NoNvrtc,
    /// NVRTC refused a call other than the compilation itself.
    #[error("NVRTC answers {call} with {code}")]
    Nvrtc {
        /// The function of NVRTC.
        call: &'static str,
        /// Its answer, by NVRTC's name for it.
        code: String,
    },
    /// The kernels do not compile.
    #[error("{name} does not compile for {architecture}:\n{log}")]
    Compile {
        /// Name of the main source.
        name: String,
        /// The architecture, as in "sm_90".
        architecture: String,
        /// What NVRTC writes.
        log: String,
    },
    /// A source, its name or an option holds a zero byte.
    #[error("{what} holds a zero byte, which NVRTC takes for its end")]
    ZeroByte {
        /// What holds it.
        what: String,
    },
    /// NVRTC makes no code that the card could run.
    #[error("NVRTC {}.{} makes no code for compute capability {}.{}, only for {known:?}", nvrtc.0, nvrtc.1, found.0, found.1)]
    Architecture {
        /// The card's compute capability, major and minor.
        found: (u32, u32),
        /// NVRTC's version, major and minor.
        nvrtc: (u32, u32),
        /// What it makes code for: 90 is sm_90.
        known: Vec<u32>,
    },
    /// Only from the fake device of the tests: a call that a real device would answer with damage, sooner or later.
    #[error("{call}: {misuse:?}: {detail}")]
    Misuse {
        /// The operation.
        call: &'static str,
        /// What is wrong with it.
        misuse: Misuse,
        /// Addresses and handles.
        detail: String,
    },
}

/// What the fake device finds wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misuse {
    /// Memory was read or written after it was freed.
    FreedMemory,
    /// An address in no allocation, or a range that leaves its allocation.
    OutsideAllocation,
    /// Memory, a module or an event's stream was given up while queued operations use it.
    PendingOperations,
    /// A stream, an event, a module or a function that is not, or no longer, there.
    DeadHandle,
    /// Grid, block or shared memory that a device would refuse.
    LaunchShape,
    /// A time was asked of events that measure none, or have not passed.
    NoTime,
    /// Nothing that is queued can run.
    Deadlock,
    /// A kernel of the test failed.
    Kernel,
}
