//! Build script: compiles the C half of `src/decode/coefficients` (feature `turbo`) and the C++ half of `src/nn/autocast` (feature
//! `torch`), and writes into every binary, test and bench
//! where its shared libraries lie, so that they run from any folder with no variable set.
//!
//! - `LIBTORCH/lib` (feature `torch`): libtorch and the CUDA runtime it was built with. Its CUDA half is linked explicitly: no
//!   symbol of ours refers to it, so the linker would drop it, and with it every GPU.
//! - `.libtorch/cuda` (feature `cuda`): NVRTC, opened at run time.

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=tools/build.rs");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if let Some(lib) = libtorch() {
        rpath(&lib);
        let cuda = lib.join("libtorch_cuda.so");
        println!("cargo:rerun-if-changed={}", lib.display());
        if cuda.exists() {
            println!("cargo:rustc-link-arg=-Wl,--push-state,--no-as-needed,{},--pop-state", cuda.display());
        }
    }
    if std::env::var_os("CARGO_FEATURE_CUDA").is_some()
        && let Some(root) = std::env::var_os("CARGO_MANIFEST_DIR")
    {
        rpath(&Path::new(&root).join(".libtorch/cuda"));
    }
    #[cfg(feature = "turbo")]
    coefficients();
    #[cfg(feature = "torch")]
    autocast();
}

/// The shim over libjpeg, against the headers that turbojpeg-sys has installed; its symbols are in that crate's static library.
#[cfg(feature = "turbo")]
fn coefficients() {
    const SHIM: &str = "src/decode/coefficients/shim.c";
    println!("cargo:rerun-if-changed={SHIM}");
    let include = std::env::var("DEP_TURBOJPEG_INCLUDE").expect("turbojpeg-sys says where its headers are");
    cc::Build::new().file(SHIM).includes(include.split(',')).compile("metacl_coefficients");
}

/// The shim over libtorch's autocast, with torch-sys's flags; one file, 15 s for its headers.
#[cfg(feature = "torch")]
fn autocast() {
    const SHIM: &str = "src/nn/autocast/shim.cpp";
    println!("cargo:rerun-if-changed={SHIM}");
    println!("cargo:rerun-if-env-changed=LIBTORCH_CXX11_ABI");
    let root = std::env::var_os("LIBTORCH").expect("LIBTORCH is libtorch's folder: run tools/setup");
    let include = Path::new(&root).join("include");
    let abi = std::env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .define("_GLIBCXX_USE_CXX11_ABI", abi.as_str())
        .includes([include.join("torch/csrc/api/include"), include])
        // The headers are not ours to mend, and take twice as long with -O3 or debug information.
        .warnings(false)
        .opt_level(1)
        .debug(false)
        .file(SHIM)
        .compile("metacl_autocast");
}

/// The folder of libtorch's libraries; none where the feature is off or torch-sys looks for them by itself.
fn libtorch() -> Option<PathBuf> {
    std::env::var_os("CARGO_FEATURE_TORCH")?;
    Some(Path::new(&std::env::var_os("LIBTORCH")?).join("lib"))
}

fn rpath(folder: &Path) {
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", folder.display());
}
