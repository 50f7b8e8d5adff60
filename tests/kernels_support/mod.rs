//! The kernels of `kernels/`, compiled for this CPU and opened as a library.
#![allow(dead_code, unreachable_pub, reason = "shared by test files, each of which uses its part")]

pub mod views;

use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs};

use libloading::Library;
use xxhash_rust::xxh3::xxh3_64;

/// Set in a child process: which sanitizer watches.
const WATCHER: &str = "METACL_KERNELS_WATCHER";

/// What watches the kernels while they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watcher {
    /// AddressSanitizer and UndefinedBehaviorSanitizer: every access inside its allocation, to the byte.
    Address,
    /// ThreadSanitizer: no two threads of a block meet in memory without a barrier between them.
    Thread,
}

impl Watcher {
    fn name(self) -> &'static str {
        match self {
            Watcher::Address => "address",
            Watcher::Thread => "thread",
        }
    }

    fn flags(self) -> &'static [&'static str] {
        match self {
            Watcher::Address => &["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
            Watcher::Thread => &["-g", "-fsanitize=thread"],
        }
    }

    fn library(self) -> &'static str {
        match self {
            Watcher::Address => "libasan.so",
            Watcher::Thread => "libtsan.so",
        }
    }

    /// The one that this process runs under.
    pub fn current() -> Option<Self> {
        let name = env::var(WATCHER).ok()?;
        [Watcher::Address, Watcher::Thread].into_iter().find(|watcher| watcher.name() == name)
    }

    /// Runs the test `test` of this test program in a child that is watched; the child must pass and must have run it.
    pub fn watch(self, test: &str) {
        let printed = Command::new(compiler()).arg(format!("-print-file-name={}", self.library())).output().unwrap();
        let library = PathBuf::from(String::from_utf8(printed.stdout).unwrap().trim());
        assert!(library.is_absolute(), "the C++ compiler has no {}; install its sanitizers", self.library());
        let output = Command::new(env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(WATCHER, self.name())
            .env("LD_PRELOAD", library)
            // What the test program itself leaves to the system at its end is no leak of a kernel's.
            .env("ASAN_OPTIONS", "detect_leaks=0")
            // Rust's own library is not instrumented: its copies, seen through interceptors, have no order for the watcher.
            .env("TSAN_OPTIONS", "halt_on_error=1 ignore_interceptors_accesses=1")
            .output()
            .unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && text.contains("1 passed"), "{self:?} on {test}: {}\n{text}", output.status);
    }
}

type Launch = unsafe extern "C" fn(*const c_char, c_uint, c_uint, c_uint, *const *mut c_void) -> c_int;

/// Runs kernels on the CPU.
pub struct Kernels {
    library: Library,
}

impl Kernels {
    /// The kernels, compiled once for all test programs.
    pub fn get() -> &'static Self {
        static KERNELS: OnceLock<Kernels> = OnceLock::new();
        KERNELS.get_or_init(|| {
            // SAFETY: the library is ours, its initialisers are those of the C++ runtime.
            Self { library: unsafe { Library::new(compiled(Watcher::current())) }.unwrap() }
        })
    }

    /// Runs kernel `name` to its end. `block` threads; each argument is a pointer to its value.
    ///
    /// # Safety
    /// The arguments are what the kernel declares, and what they point to is as large as it says.
    pub unsafe fn launch(&self, name: &str, grid: u32, block: u32, shared: u32, arguments: &[*mut c_void]) {
        // SAFETY: exported with this type by `exports.cpp`.
        let launch = unsafe { self.library.get::<Launch>(b"metacl_launch\0") }.unwrap();
        let text = CString::new(name).unwrap();
        // SAFETY: by the caller's promise.
        let answer = unsafe { launch(text.as_ptr(), grid, block, shared, arguments.as_ptr()) };
        assert_eq!(answer, 0, "no kernel {name}");
    }
}

fn compiler() -> String {
    env::var("CXX").unwrap_or_else(|_| "c++".to_owned())
}

/// The library's file; compiled where no test program has done so for these sources.
fn compiled(watcher: Option<Watcher>) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let exports = root.join("tests/kernels_host/exports.cpp");
    let mut text = fs::read(&exports).unwrap();
    let mut sources: Vec<_> = fs::read_dir(root.join("kernels")).unwrap().map(|entry| entry.unwrap().path()).collect();
    sources.sort();
    sources.iter().for_each(|source| text.extend(fs::read(source).unwrap()));

    let name = watcher.map_or("plain", Watcher::name);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let library = folder.join(format!("kernels-{name}-{:016x}.so", xxh3_64(&text)));
    if library.exists() {
        return library;
    }
    // Several programs may compile at once: each to a name of its own, then renamed.
    let own = library.with_extension(format!("{}.so", std::process::id()));
    let flags = "-std=c++20 -O2 -ffp-contract=off -fPIC -shared -pthread -Wall -Wextra -Werror";
    let output = Command::new(compiler())
        .args(flags.split(' '))
        .args(watcher.map_or(&[][..], Watcher::flags))
        .arg("-o")
        .args([&own, &exports])
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; install a C++ compiler (Debian: g++)", compiler()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::rename(own, &library).unwrap();
    library
}
