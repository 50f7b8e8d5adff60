//! A device without a card, whose kernels the CPU runs: tries this program where there is no GPU. Needs the sources and a C++ compiler.

use std::ffi::c_void;
use std::sync::Arc;

use metacl::gpu::fake::{Fake, Mode};
use metacl::gpu::{GpuError, Launch};
use metacl::stage::{Engine, EngineError};

use crate::kernels_support::Kernels;

/// The device, which notes misuse, and an engine on it.
pub(crate) fn engine() -> Result<(Arc<Fake>, Engine), EngineError> {
    let fake = Fake::new(Mode::Lazy, launch);
    let gpu = fake.gpu();
    // SAFETY: the fake device takes any bytes.
    let module = unsafe { gpu.load_bytes(b"any") }?;
    Ok((fake, Engine::with(&module, &gpu)?))
}

fn launch(name: &str, launch: Launch, arguments: &[*const c_void]) -> Result<(), GpuError> {
    let arguments: Vec<_> = arguments.iter().map(|argument| argument.cast_mut()).collect();
    // SAFETY: the library gives the kernels what they declare; the fake device checks that its memory is alive.
    unsafe { Kernels::get().launch(name, launch.grid, 1, launch.shared, &arguments) };
    Ok(())
}
