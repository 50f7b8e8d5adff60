//! The kernels on the CPU: compiled by the C++ compiler as a library, plain or watched by a sanitizer, and launched.
//!
//! A sanitizer must be in the process from its start. So a test that wants one runs its own program again ([`again`]), with the sanitizer
//! preloaded and a variable that makes [`Kernels::get`] take the build for it.
#![allow(dead_code, unreachable_pub, reason = "shared by test files, each of which uses its part")]

pub mod views;

use std::ffi::{CString, OsStr, c_char, c_int, c_uint, c_void};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use libloading::Library;
use xxhash_rust::xxh3::Xxh3;

/// Names the sanitizer of a program that was run again.
const VARIABLE: &str = "METACL_SANITIZER";

/// What ThreadSanitizer misunderstands.
const SUPPRESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernels_support/tsan.supp");

/// What watches the kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sanitizer {
    /// Nothing.
    None,
    /// Bounds of heap, stack and static memory, and undefined behaviour.
    Address,
    /// Races between the threads of a block.
    Thread,
}

impl Sanitizer {
    /// The one that this program runs under.
    pub fn current() -> Self {
        match std::env::var_os(VARIABLE).as_deref().and_then(OsStr::to_str) {
            None => Self::None,
            Some("address") => Self::Address,
            Some("thread") => Self::Thread,
            Some(other) => panic!("{VARIABLE} is {other}"),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::None => "plain",
            Self::Address => "address",
            Self::Thread => "thread",
        }
    }

    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::None => &[],
            Self::Address => &["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
            Self::Thread => &["-g", "-fsanitize=thread"],
        }
    }

    fn library(self) -> &'static str {
        match self {
            Self::None => panic!("no library"),
            Self::Address => "libasan.so",
            Self::Thread => "libtsan.so",
        }
    }
}

/// Runs test `test` of this program again under `sanitizer`.
pub fn again(test: &str, sanitizer: Sanitizer) -> Output {
    let name = format!("-print-file-name={}", sanitizer.library());
    let found = compiler().arg(name).output().expect("the C++ compiler runs");
    let preload = String::from_utf8(found.stdout).expect("a path").trim().to_owned();
    assert!(Path::new(&preload).is_absolute(), "the C++ compiler has no {preload}");
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", test, "--test-threads=1", "--nocapture"])
        .env("LD_PRELOAD", preload)
        .env(VARIABLE, sanitizer.name())
        .env("ASAN_OPTIONS", "detect_leaks=0")
        .env("TSAN_OPTIONS", format!("halt_on_error=1:suppressions={SUPPRESSIONS}"))
        .output()
        .expect("this program runs again")
}

/// Runs test `test` again under `sanitizer`, which must find nothing.
pub fn passes_under(test: &str, sanitizer: Sanitizer) {
    let output = again(test, sanitizer);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{test} under {sanitizer:?}: {}\n{out}\n{error}", output.status);
    assert!(out.contains("1 passed"), "{test} did not run:\n{out}");
}

/// The compiled kernels.
pub struct Kernels(Library);

type Launch = unsafe extern "C" fn(*const c_char, c_uint, c_uint, c_uint, *const *mut c_void) -> c_int;

impl Kernels {
    /// Those for the sanitizer that this program runs under; compiled the first time.
    pub fn get() -> &'static Self {
        static KERNELS: LazyLock<Kernels> = LazyLock::new(|| {
            let path = built(Sanitizer::current());
            // SAFETY: our own library; it has nothing that runs when it is opened.
            let library = unsafe { Library::new(&path) }.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            Kernels(library)
        });
        &KERNELS
    }

    /// Runs `grid` blocks of `block` threads, with `shared` bytes of dynamic shared memory.
    ///
    /// # Safety
    /// `arguments` point to values of the types of the kernel's parameters, whose pointers are good for what it does with them.
    pub unsafe fn launch(&self, name: &str, grid: u32, block: u32, shared: u32, arguments: &[*mut c_void]) {
        let c_name = CString::new(name).expect("a name");
        // SAFETY: the type is that of the function in exports.cpp; the caller vouches for the arguments.
        let code = unsafe {
            let launch = self.0.get::<Launch>(b"metacl_launch\0").expect("exported");
            launch(c_name.as_ptr(), grid, block, shared, arguments.as_ptr())
        };
        assert_eq!(code, 0, "no kernel {name}");
    }
}

/// A pointer to `value` as an argument of a kernel.
pub fn argument<T>(value: &T) -> *mut c_void {
    std::ptr::from_ref(value).cast_mut().cast()
}

fn compiler() -> Command {
    Command::new(std::env::var_os("CXX").unwrap_or_else(|| "c++".into()))
}

/// The library for `sanitizer`; several programs may ask at once, and none sees half a file.
fn built(sanitizer: Sanitizer) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = root.join("tests/kernels_host/exports.cpp");
    let flags =
        ["-std=c++20", "-O2", "-ffp-contract=off", "-fPIC", "-shared", "-pthread", "-Wall", "-Wextra", "-Werror"];
    let flags = [&flags, sanitizer.flags()].concat();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let target = folder.join(format!("kernels-{}-{:016x}.so", sanitizer.name(), digest(root, &source, &flags)));
    if target.exists() {
        return target;
    }
    let unfinished = target.with_extension(format!("{}.tmp", std::process::id()));
    let output = compiler().args(&flags).arg("-o").arg(&unfinished).arg(&source).env_remove("LD_PRELOAD").output();
    let output = output.unwrap_or_else(|error| panic!("the C++ compiler (c++, or CXX) does not run: {error}"));
    assert!(output.status.success(), "{}:\n{}", source.display(), String::from_utf8_lossy(&output.stderr));
    fs::rename(&unfinished, &target).expect("in one folder");
    target
}

/// Of all that is compiled, and how.
fn digest(root: &Path, source: &Path, flags: &[&str]) -> u64 {
    let entries = fs::read_dir(root.join("kernels")).expect("the kernels are there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    files.push(source.to_owned());
    files.sort();
    let mut hash = Xxh3::new();
    hash.update(flags.join(" ").as_bytes());
    for file in files {
        hash.update(file.as_os_str().as_encoded_bytes());
        hash.update(&fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())));
    }
    hash.digest()
}
