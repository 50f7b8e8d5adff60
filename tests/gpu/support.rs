//! Devices for tests: fakes in every mode, and the real one where there is one; and a kernel that runs on both.

use std::ffi::c_void;
use std::sync::Arc;

use metacl::gpu::fake::{Fake, Mode};
use metacl::gpu::{Architecture, Cache, Gpu, GpuError, Kernel, Launch, Sources, devices};

/// `out[i] = 2 * in[i]` for `count` bytes.
const DOUBLE: &str = r#"
extern "C" __global__ void twice(const unsigned char* in, unsigned char* out, unsigned count) {
  for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) out[i] = 2 * in[i];
}
"#;

/// A fake device that knows the kernel `twice`, and fails at any other.
pub(crate) fn fake(mode: Mode) -> Arc<Fake> {
    Fake::new(mode, |name, _: Launch, arguments: &[*const c_void]| match (name, arguments) {
        ("twice", &[from, to, count]) => {
            // SAFETY: two addresses and a count, of memory that the caller of the launch keeps alive.
            unsafe {
                let (from, to) = (*from.cast::<*const u8>(), *to.cast::<*mut u8>());
                (0..*count.cast::<u32>() as usize).for_each(|at| *to.add(at) = (*from.add(at)).wrapping_mul(2));
            }
            Ok(())
        }
        _ => Err(GpuError::NoKernel { name: name.to_owned() }),
    })
}

/// The kernel `twice` on a fake device.
pub(crate) fn twice(gpu: &Gpu) -> Kernel {
    // SAFETY: the fake device takes any bytes.
    unsafe { gpu.load_bytes(b"no code") }.unwrap().kernel("twice").unwrap()
}

/// Set where there must be a GPU.
pub(crate) const EXPECT: &str = "METACL_TEST_EXPECTS_A_GPU";

/// The first real GPU with the kernel `twice`, where there is one.
pub(crate) fn real() -> Option<(Gpu, Kernel)> {
    if !devices().is_ok_and(|devices| !devices.is_empty()) {
        assert!(std::env::var_os(EXPECT).is_none(), "no GPU: {:?}", devices());
        eprintln!("no GPU: only the fake device is tested");
        return None;
    }
    let gpu = Gpu::open(0).unwrap();
    let architecture = Architecture::of(gpu.limits().compute_capability).unwrap();
    let sources = Sources { main: ("twice.cu", DOUBLE), headers: &[] };
    let (cubin, _) = Cache::default().compile(&sources, &[], architecture).unwrap();
    let kernel = gpu.load(&cubin).unwrap().kernel("twice").unwrap();
    Some((gpu, kernel))
}
