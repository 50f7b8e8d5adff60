//! Build script: compiles the C half of `src/decode/coefficients` (feature `turbo`) and the C++ shims over libtorch (feature `torch`), and
//! writes into every binary, test and bench where its shared libraries lie, so that they run from any folder with no variable set.
//!
//! - `LIBTORCH/lib` (feature `torch`): libtorch and the CUDA runtime it was built with. Its CUDA half is not linked but opened at run time
//!   (`src/device/interop/open.rs`), so that one build serves machines with and without a GPU.
//! - `.libtorch/cuda` (feature `cuda`): NVRTC, opened at run time.
//! - `../lib` beside the program: for programs that are carried to another machine (`tools/gpu_bundle`).

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=tools/build.rs");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if let Some(lib) = libtorch() {
        rpath(&lib);
    }
    if std::env::var_os("CARGO_FEATURE_CUDA").is_some()
        && let Some(root) = std::env::var_os("CARGO_MANIFEST_DIR")
    {
        rpath(&Path::new(&root).join(".libtorch/cuda"));
    }
    rpath(Path::new("$ORIGIN/../lib"));
    #[cfg(feature = "turbo")]
    coefficients();
    #[cfg(feature = "torch")]
    shims();
}

/// The shim over libjpeg, against the headers that turbojpeg-sys has installed; its symbols are in that crate's static library.
#[cfg(feature = "turbo")]
fn coefficients() {
    const SHIM: &str = "src/decode/coefficients/shim.c";
    println!("cargo:rerun-if-changed={SHIM}");
    let include = std::env::var("DEP_TURBOJPEG_INCLUDE").expect("turbojpeg-sys says where its headers are");
    cc::Build::new().file(SHIM).includes(include.split(',')).compile("metacl_coefficients");
}

/// The shims over libtorch, with torch-sys's flags; 40 s on one core, nearly all of them for torch's headers.
#[cfg(feature = "torch")]
fn shims() {
    const SHIMS: [&str; 4] = [
        "src/nn/autocast/shim.cpp",
        "src/device/interop/shim.cpp",
        "src/dist/autograd/shim.cpp",
        "src/dist/c10d/shim.cpp",
    ];
    // Gloo's few declarations, for a libtorch that comes without its headers.
    const STUBS: &str = "src/dist/c10d/stubs";
    for file in SHIMS.iter().chain(&["src/guarded.hpp", STUBS]) {
        println!("cargo:rerun-if-changed={file}");
    }
    println!("cargo:rerun-if-env-changed=LIBTORCH_CXX11_ABI");
    let root = std::env::var_os("LIBTORCH").expect("LIBTORCH is libtorch's folder: run tools/setup");
    let include = Path::new(&root).join("include");
    let abi = std::env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .define("_GLIBCXX_USE_CXX11_ABI", abi.as_str())
        .includes([include.join("torch/csrc/api/include"), include])
        .flag("-idirafter")
        .flag(STUBS)
        // The headers are not ours to mend, and take twice as long with -O3 or debug information.
        .warnings(false)
        .opt_level(1)
        .debug(false)
        .files(SHIMS)
        .compile("metacl_shims");
}

/// The folder of libtorch's libraries; none where the feature is off or torch-sys looks for them by itself.
fn libtorch() -> Option<PathBuf> {
    std::env::var_os("CARGO_FEATURE_TORCH")?;
    Some(Path::new(&std::env::var_os("LIBTORCH")?).join("lib"))
}

fn rpath(folder: &Path) {
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", folder.display());
}
