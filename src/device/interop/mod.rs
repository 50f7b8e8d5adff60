//! Torch's side of CUDA: its current stream, its memory, tensors over memory of ours.
//!
//! - `open`: the CUDA half of libtorch, opened at run time, so that one build serves machines with and without a GPU.
//!
//! `shim.cpp` calls libtorch's device-generic face. Not here: the driver (`gpu`), kernels (`augment::cuda`), when what is copied.

#![allow(unsafe_code)]

mod open;

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::Arc;

use tch::{Device, Tensor};

pub use open::{CudaHalf, OpenError, open_cuda, open_cuda_in};

/// Why torch did not answer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum InteropError {
    /// The device has no streams.
    #[error("{call}: {device:?} is no CUDA device")]
    NotCuda {
        /// What was called.
        call: &'static str,
        /// The device it was asked of.
        device: Device,
    },
    /// libtorch refuses.
    #[error("{call} on {device:?}: {reason}")]
    Torch {
        /// What was called.
        call: &'static str,
        /// The device it was asked of.
        device: Device,
        /// The first line of what libtorch says.
        reason: String,
    },
}

unsafe extern "C" {
    fn metacl_current_stream(ordinal: c_int, handle: *mut u64) -> *const c_char;
    fn metacl_peak_memory(ordinal: c_int, bytes: *mut u64) -> *const c_char;
    fn metacl_reset_peak_memory(ordinal: c_int) -> *const c_char;
    fn metacl_empty_cache() -> *const c_char;
    fn metacl_lend(
        pointer: u64,
        sizes: *const i64,
        dimensions: usize,
        kind: c_int,
        ordinal: c_int,
        owner: *mut c_void,
        release: extern "C" fn(*mut c_void),
        tensor: *mut *mut c_void,
    ) -> *const c_char;
}

/// The stream on which torch queues the operators of the calling thread, as the driver's handle (`CUstream`); 0 is the legacy default
/// stream. It lasts as long as the process: torch takes its streams from a pool that it never frees.
///
/// # Errors
/// [`InteropError::NotCuda`]; [`InteropError::Torch`] where torch has no CUDA or no such device.
pub fn current_stream(device: Device) -> Result<u64, InteropError> {
    // SAFETY: the call writes one u64 and keeps nothing.
    asked("current_stream", device, |ordinal, stream| unsafe { metacl_current_stream(ordinal, stream) })
}

/// Most bytes that torch's tensors on `device` held at once since [`reset_peak_memory`], or since the start; none on the CPU, whose
/// allocator does not count. Memory of ours that was lent to torch is not in it.
///
/// # Errors
/// [`InteropError::Torch`] where torch has no CUDA or no such device.
pub fn peak_memory(device: Device) -> Result<Option<u64>, InteropError> {
    if !device.is_cuda() {
        return Ok(None);
    }
    // SAFETY: the call writes one u64 and keeps nothing.
    asked("peak_memory", device, |ordinal, bytes| unsafe { metacl_peak_memory(ordinal, bytes) }).map(Some)
}

/// Lets [`peak_memory`] begin anew at what is held now; nothing on the CPU.
///
/// # Errors
/// [`InteropError::Torch`] where torch has no CUDA or no such device.
pub fn reset_peak_memory(device: Device) -> Result<(), InteropError> {
    if !device.is_cuda() {
        return Ok(());
    }
    // SAFETY: the call takes a number and keeps nothing.
    asked("reset_peak_memory", device, |ordinal, _| unsafe { metacl_reset_peak_memory(ordinal) }).map(drop)
}

/// A contiguous tensor over memory that is ours, no copy: f32, or u8 where `levels`. `owner` is dropped when torch refers to it no more.
///
/// # Safety
///
/// `pointer` must be memory of `device`, aligned for the values, in which all that `sizes` asks for lies, and which stays allocated while `owner`
/// lives. Dropping `owner` must wait for what is queued on the memory, as freeing device memory does. Whoever writes the memory meanwhile must
/// order that with torch's [current stream](current_stream), and nobody may write what autograd has saved for a backward pass to come.
///
/// # Errors
/// [`InteropError::Torch`] where libtorch refuses.
pub unsafe fn lend<T: Send + Sync + 'static>(
    owner: Arc<T>,
    pointer: u64,
    sizes: &[i64],
    levels: bool,
    device: Device,
) -> Result<Tensor, InteropError> {
    extern "C" fn release<T>(owner: *mut c_void) {
        // SAFETY: what `Arc::into_raw` gave below, given back once.
        drop(unsafe { Arc::from_raw(owner.cast::<T>().cast_const()) });
    }
    let owner = Arc::into_raw(owner).cast_mut().cast();
    let ordinal = if let Device::Cuda(ordinal) = device { ordinal as c_int } else { -1 };
    let kind = c_int::from(!levels);
    let mut tensor: *mut c_void = std::ptr::null_mut();
    // SAFETY: `sizes` lives through the call; the shim releases the owner once, now or with the tensor.
    let failure = unsafe {
        metacl_lend(pointer, sizes.as_ptr(), sizes.len(), kind, ordinal, owner, release::<T>, &raw mut tensor)
    };
    match refusal("lend", device, failure) {
        Some(error) => Err(error),
        // SAFETY: a new tensor, which the result owns from now on.
        None => Ok(unsafe { Tensor::from_ptr(tensor.cast()) }),
    }
}

/// Gives back to the driver what torch's allocator keeps for later tensors; nothing where torch has no CUDA.
pub fn empty_cache() {
    // SAFETY: the call takes nothing and keeps nothing.
    let _ = unsafe { metacl_empty_cache() };
}

/// Calls the shim for `device` and gives what it wrote.
fn asked(
    call: &'static str,
    device: Device,
    shim: impl FnOnce(c_int, *mut u64) -> *const c_char,
) -> Result<u64, InteropError> {
    let Device::Cuda(ordinal) = device else { return Err(InteropError::NotCuda { call, device }) };
    let mut answer = 0;
    refusal(call, device, shim(ordinal as c_int, &raw mut answer)).map_or(Ok(answer), Err)
}

/// The error that a shim's answer is, none for a null pointer.
fn refusal(call: &'static str, device: Device, failure: *const c_char) -> Option<InteropError> {
    if failure.is_null() {
        return None;
    }
    // SAFETY: not null, it is a C string that lasts until this thread's next call of a shim; it is copied at once.
    let text = unsafe { CStr::from_ptr(failure) }.to_string_lossy();
    Some(InteropError::Torch { call, device, reason: text.lines().next().unwrap_or_default().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tch::Kind;

    #[test]
    fn a_lent_tensor_is_our_memory_and_keeps_its_owner() {
        let owner = Arc::new(Mutex::new(vec![0f32; 24]));
        let pointer = owner.lock().unwrap().as_mut_ptr();
        // SAFETY: the vector has so many elements, is as long as its owner lives, and nobody else touches it meanwhile.
        let tensor = unsafe { lend(owner.clone(), pointer as u64, &[4, 6], false, Device::Cpu) }.unwrap();
        assert_eq!(tensor.data_ptr() as *mut f32, pointer);
        let row = tensor.get(2);
        let _ = row.shallow_clone().fill_(5.0);
        assert_eq!(Arc::strong_count(&owner), 2);
        drop(tensor);
        assert_eq!(Arc::strong_count(&owner), 2, "a part of it still lives");
        drop(row);
        assert_eq!(Arc::strong_count(&owner), 1);
        let values = owner.lock().unwrap();
        assert!((0..24).all(|at| values[at] == if at / 6 == 2 { 5.0 } else { 0.0 }));
    }

    #[test]
    fn bytes_are_lent_as_levels() {
        let owner = Arc::new(vec![7u8, 8, 9]);
        let pointer = owner.as_ptr() as u64;
        // SAFETY: three bytes, which live as long as their owner.
        let tensor = unsafe { lend(owner, pointer, &[3], true, Device::Cpu) }.unwrap();
        assert_eq!(Vec::<u8>::try_from(&tensor).unwrap(), [7, 8, 9]);
    }

    #[test]
    fn the_cpu_has_neither_streams_nor_a_count_of_bytes() {
        let refused = current_stream(Device::Cpu);
        assert_eq!(refused, Err(InteropError::NotCuda { call: "current_stream", device: Device::Cpu }));
        assert_eq!(peak_memory(Device::Cpu), Ok(None));
        assert_eq!(reset_peak_memory(Device::Cpu), Ok(()));
    }

    #[test]
    fn torch_without_cuda_refuses_and_does_not_end_the_process() {
        open_cuda();
        if tch::Cuda::is_available() {
            let device = Device::Cuda(0);
            current_stream(device).unwrap();
            reset_peak_memory(device).unwrap();
            let held = Tensor::zeros([1 << 20], (Kind::Float, device));
            assert!(peak_memory(device).unwrap().unwrap() >= held.numel() as u64 * 4);
            assert!(matches!(current_stream(Device::Cuda(99)), Err(InteropError::Torch { .. })));
        } else {
            assert!(matches!(current_stream(Device::Cuda(0)), Err(InteropError::Torch { call: "current_stream", .. })));
            assert!(matches!(peak_memory(Device::Cuda(0)), Err(InteropError::Torch { call: "peak_memory", .. })));
        }
    }
}
