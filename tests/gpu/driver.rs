//! The calls of NVIDIA's driver, answered by a stand-in of this test (`libcuda.c`) that the C compiler makes: this
//! program runs again with it in the place of `libcuda.so`, all tests for real GPUs, and those below that need a driver
//! of a certain kind.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use cudarc::driver::result::ctx;
use metacl::gpu::{Arguments, Gpu, GpuError, Launch, devices};

use crate::support::{EXPECT, real};

/// Runs the tests that `selection` names (as the test harness reads it) with the stand-in, which reads `settings`.
#[track_caller]
fn run(selection: &[&str], settings: &[(&str, &str)]) {
    let Some(folder) = stand_in() else { return };
    let mut program = Command::new(std::env::current_exe().unwrap());
    program
        .args(selection)
        .arg("--nocapture")
        .env("LD_LIBRARY_PATH", folder)
        .env(EXPECT, "1")
        .envs(settings.iter().copied());
    let output = program.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !told.contains(" 0 passed"), "{selection:?}:\n{told}\n{complaint}");
}

/// The folder with the stand-in; none where there is no C compiler.
fn stand_in() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<tempfile::TempDir>> = OnceLock::new();
    let made = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gpu/libcuda.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-O1", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", source, "-o"]);
        match compiler.arg(folder.path().join("libcuda.so")).status() {
            Ok(status) => assert!(status.success(), "cc: {status}"),
            Err(error) => {
                eprintln!("skipped: no C compiler for the stand-in of the driver (cc: {error})");
                return None;
            }
        }
        Some(folder)
    });
    made.as_ref().map(|folder| folder.path())
}

#[test]
fn all_tests_of_a_real_gpu_pass_with_the_stand_in() {
    run(&["real_gpu", "--skip", "stand_in"], &[]);
}

#[test]
fn contexts_errors_and_old_drivers_are_handled() {
    run(&["driver::with_stand_in", "--ignored"], &[]);
    run(&["driver::with_no_device", "--ignored"], &[("STANDIN_DEVICES", "0")]);
    run(&["driver::with_old_driver", "--ignored"], &[("STANDIN_VERSION", "12080")]);
}

#[test]
#[ignore = "run by another test, with the stand-in"]
fn with_no_device() {
    assert_eq!(devices().unwrap(), []);
    assert_eq!(Gpu::open(0).unwrap_err(), GpuError::NoDevice);
}

#[test]
#[ignore = "run by another test, with the stand-in"]
fn with_old_driver() {
    assert_eq!(devices().unwrap()[0].driver, (12, 8));
    assert_eq!(Gpu::open(0).unwrap_err(), GpuError::DriverTooOld { found: (12, 8), needed: (13, 0) });
}

#[test]
#[ignore = "run by another test, with the stand-in"]
fn with_stand_in_the_thread_keeps_its_context() {
    let (gpu, kernel) = real().unwrap();
    assert_eq!(ctx::get_current().unwrap(), None);
    // Another's context, such as torch's for a second device.
    let other = std::ptr::without_provenance_mut(64);
    // SAFETY: the stand-in takes any.
    unsafe { ctx::set_current(other) }.unwrap();
    let (stream, event) = (gpu.stream().unwrap(), gpu.event().unwrap());
    let (buffer, host) = (gpu.allocate(8).unwrap(), gpu.pinned(8).unwrap());
    stream.record(&event).unwrap();
    assert!(!event.passed().unwrap() && event.passed().unwrap());
    drop((buffer, host, stream, event, kernel));
    assert_eq!(ctx::get_current().unwrap(), Some(other));
}

#[test]
#[ignore = "run by another test, with the stand-in"]
fn with_stand_in_refusals_are_told_apart() {
    let (gpu, kernel) = real().unwrap();
    let total = gpu.memory().unwrap().total;
    let held = gpu.allocate(1000).unwrap();
    assert_eq!(gpu.allocate(total).unwrap_err(), GpuError::OutOfMemory { asked: total, free: total - 1000, total });
    drop(held);
    assert_eq!(gpu.memory().unwrap().free, total);
    assert_eq!(gpu.pinned(total + 1).unwrap_err(), GpuError::OutOfPinnedMemory { asked: total + 1 });

    // SAFETY: the stand-in looks at four bytes.
    let damaged = unsafe { gpu.load_bytes(b"no ELF file") };
    assert!(matches!(damaged, Err(GpuError::ModuleLoad { .. })), "{damaged:?}");
    // SAFETY: as above.
    let module = unsafe { gpu.load_bytes(b"\x7fELF") }.unwrap();
    for name in ["thrice", "twi\0ce"] {
        assert_eq!(module.kernel(name).unwrap_err(), GpuError::NoKernel { name: name.to_owned() });
    }

    let stream = gpu.stream().unwrap();
    let arguments = Arguments::new().pointer(0).pointer(0).value(0_u32);
    // SAFETY: no byte is touched.
    let launch = |shared| unsafe { stream.launch(&kernel, Launch { grid: 1, block: 32, shared }, &arguments) };
    assert!(matches!(launch(50 << 10), Err(GpuError::Driver { call: "cuLaunchKernel", .. })));
    kernel.allow_shared(50 << 10).unwrap();
    launch(50 << 10).unwrap();
    let refused = kernel.allow_shared(gpu.limits().shared_per_block + 1);
    assert!(matches!(refused, Err(GpuError::Driver { call: "cuFuncSetAttribute", .. })), "{refused:?}");
    assert_eq!(gpu.limits().compute_capability, (9, 0));
}
