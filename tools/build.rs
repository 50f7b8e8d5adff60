//! Build script: compiles the C half of `src/decode/coefficients` (feature `turbo`), and writes into every binary, test and bench
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
}

/// The shim over libjpeg, against the headers that turbojpeg-sys has installed; its symbols are in that crate's static library.
#[cfg(feature = "turbo")]
fn coefficients() {
    const SHIM: &str = "src/decode/coefficients/shim.c";
    println!("cargo:rerun-if-changed={SHIM}");
    let include = std::env::var("DEP_TURBOJPEG_INCLUDE").expect("turbojpeg-sys says where its headers are");
    cc::Build::new().file(SHIM).includes(include.split(',')).compile("metacl_coefficients");
}

/// The folder of libtorch's libraries; none where the feature is off or torch-sys looks for them by itself.
fn libtorch() -> Option<PathBuf> {
    std::env::var_os("CARGO_FEATURE_TORCH")?;
    Some(Path::new(&std::env::var_os("LIBTORCH")?).join("lib"))
}

fn rpath(folder: &Path) {
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", folder.display());
}
