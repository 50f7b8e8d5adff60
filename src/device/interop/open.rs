//! The CUDA half of libtorch, opened where a GPU is.
//!
//! Programs are linked against libtorch's CPU half alone. `libtorch_cuda.so` registers itself with it while it is opened, which must
//! be before torch first asks for CUDA: an answer is kept for good. It needs half a dozen libraries of NVIDIA's, 2 GB in all, and a
//! second to open, so machines without a GPU never touch it.

use std::ffi::{CStr, CString, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::gpu;

const LIBRARY: &str = "libtorch_cuda.so";

unsafe extern "C" {
    fn metacl_torch_library() -> *const c_char;
}

/// What became of libtorch's CUDA half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CudaHalf {
    /// No GPU was found, so it was not looked for.
    NotWanted,
    /// It is there: opened, or linked to this program.
    Open,
    /// There is a GPU, but torch cannot use it.
    Failed(OpenError),
}

/// Why the CUDA half could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The loader does not say where libtorch lies.
    #[error("libtorch was not found among the loaded libraries; link it dynamically, as tools/setup lays it")]
    NoTorch,
    /// libtorch has no CUDA half.
    #[error("no {}; install torch 2.11 with CUDA (tools/setup does where it sees a GPU)", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The loader refuses it, mostly because a library that it needs is missing.
    #[error("{}: {reason}; install torch 2.11 with all of its CUDA libraries", path.display())]
    Refused {
        /// What was opened.
        path: PathBuf,
        /// The loader's text, which names the missing library.
        reason: String,
    },
}

/// Opens libtorch's CUDA half where the driver sees a GPU; later calls give the first one's answer. To be called before torch is first
/// asked for CUDA.
pub fn open_cuda() -> &'static CudaHalf {
    static DONE: OnceLock<CudaHalf> = OnceLock::new();
    DONE.get_or_init(|| {
        if !gpu::devices().is_ok_and(|found| !found.is_empty()) {
            return CudaHalf::NotWanted;
        }
        match folder_of_torch().and_then(|folder| open_cuda_in(&folder)) {
            Ok(()) => CudaHalf::Open,
            Err(reason) => CudaHalf::Failed(reason),
        }
    })
}

/// Opens the CUDA half that lies in `folder`, GPU or not; nothing where one is open already. It must be of the same release as the CPU
/// half of this process, and is never closed.
///
/// # Errors
/// Where it is missing, or the loader refuses it.
pub fn open_cuda_in(folder: &Path) -> Result<(), OpenError> {
    if open(Path::new(LIBRARY), libc::RTLD_NOW | libc::RTLD_NOLOAD).is_ok() {
        return Ok(());
    }
    let path = folder.join(LIBRARY);
    if !path.exists() {
        return Err(OpenError::Missing { path });
    }
    // Global, as the loader has what a program is linked to: later libraries of torch's find its symbols.
    open(&path, libc::RTLD_NOW | libc::RTLD_GLOBAL).map_err(|reason| OpenError::Refused { path, reason })
}

/// The folder in which libtorch really lies: links to single libraries lead to the others.
fn folder_of_torch() -> Result<PathBuf, OpenError> {
    // SAFETY: the call takes nothing; what it gives is a string of the loader's that lasts as long as the library, or null.
    let name = unsafe { metacl_torch_library().as_ref() }.map(|name| unsafe { CStr::from_ptr(name) });
    let name = name.ok_or(OpenError::NoTorch)?;
    let real = Path::new(OsStr::from_bytes(name.to_bytes())).canonicalize().map_err(|_| OpenError::NoTorch)?;
    real.parent().map(Path::to_owned).ok_or(OpenError::NoTorch)
}

/// Opens a library for good; the loader's text where it refuses.
fn open(path: &Path, flags: i32) -> Result<(), String> {
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|_| "a zero byte in the path".to_owned())?;
    // SAFETY: `name` is a C string. Opening runs the library's initialisers, which register torch's CUDA half and call nothing of ours.
    if !unsafe { libc::dlopen(name.as_ptr(), flags) }.is_null() {
        return Ok(());
    }
    // SAFETY: the text, or null, of this thread's last call, copied at once.
    let text = unsafe { libc::dlerror().as_ref() }.map(|text| unsafe { CStr::from_ptr(text) });
    Err(text.map_or_else(|| "not open".to_owned(), |text| text.to_string_lossy().into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_torch_holds_its_cpu_half() {
        assert!(folder_of_torch().unwrap().join("libtorch_cpu.so").exists());
    }

    #[test]
    fn what_cannot_be_opened_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LIBRARY);
        if open_cuda_in(folder.path()) == Ok(()) {
            // A program that was linked to it.
            return;
        }
        assert_eq!(open_cuda_in(folder.path()), Err(OpenError::Missing { path: path.clone() }));
        std::fs::write(&path, "no library").unwrap();
        let refused = open_cuda_in(folder.path());
        assert!(matches!(&refused, Err(OpenError::Refused { path: found, .. }) if *found == path), "{refused:?}");
    }

    #[test]
    fn without_a_gpu_nothing_is_opened() {
        let wanted = gpu::devices().is_ok_and(|found| !found.is_empty());
        assert_eq!(*open_cuda() != CudaHalf::NotWanted, wanted);
    }
}
