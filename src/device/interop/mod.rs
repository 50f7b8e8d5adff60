//! Torch's side of CUDA: its current stream, its memory, tensors over memory of ours.
//!
//! - `open`: the CUDA half of libtorch, opened at run time, so that one build serves machines with and without a GPU.
//!
//! `shim.cpp` calls libtorch's device-generic face. Not here: the driver (`gpu`), kernels (`augment::cuda`), when what is copied.

#![allow(unsafe_code)]

mod open;

use std::ffi::{CStr, c_char, c_int};

use tch::{Device, Kind, Tensor};

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

/// A tensor over memory that is ours: `sizes` and `strides` in elements of `kind`, no copy. An empty `strides` is contiguous.
///
/// # Safety
///
/// `pointer` must be memory of `device`, aligned for `kind`, in which every element that `sizes` and `strides` reach lies. It must stay
/// allocated until the tensor and all its views are dropped *and*, on a GPU, what torch queued on them has passed: torch does not own the
/// memory, frees nothing and keeps no record of its streams. Whoever writes it meanwhile must order that with torch's
/// [current stream](current_stream), and nobody may write what autograd has saved for a backward pass to come.
///
/// # Panics
/// Where libtorch refuses: strides of another length than `sizes`.
pub unsafe fn lend(pointer: u64, sizes: &[i64], strides: &[i64], kind: Kind, device: Device) -> Tensor {
    // SAFETY: the caller's promise.
    unsafe { Tensor::from_blob(pointer as *const u8, sizes, strides, kind, device) }
}

/// Calls the shim for `device` and gives what it wrote.
fn asked(
    call: &'static str,
    device: Device,
    shim: impl FnOnce(c_int, *mut u64) -> *const c_char,
) -> Result<u64, InteropError> {
    let Device::Cuda(ordinal) = device else { return Err(InteropError::NotCuda { call, device }) };
    let mut answer = 0;
    let failure = shim(ordinal as c_int, &raw mut answer);
    if failure.is_null() {
        return Ok(answer);
    }
    // SAFETY: not null, it is a C string that lasts until this thread's next call of a shim; it is copied at once.
    let text = unsafe { CStr::from_ptr(failure) }.to_string_lossy();
    Err(InteropError::Torch { call, device, reason: text.lines().next().unwrap_or_default().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lent_tensor_is_our_memory() {
        let mut memory = vec![0f32; 24];
        let pointer = memory.as_mut_ptr();
        // Channels innermost: [1, 2, 3, 4] over rows of 4 x 2.
        // SAFETY: the strides reach 24 elements, the vector outlives the tensor, and nothing else touches it meanwhile.
        let tensor = unsafe { lend(pointer as u64, &[1, 2, 3, 4], &[24, 1, 8, 2], Kind::Float, Device::Cpu) };
        assert_eq!(tensor.data_ptr() as *mut f32, pointer);
        let _ = tensor.select(1, 1).fill_(2.0);
        let _ = tensor.narrow(2, 2, 1).narrow(3, 3, 1).select(1, 0).fill_(5.0);
        drop(tensor);
        let want: Vec<f32> = (0..24)
            .map(|i| {
                if i % 2 == 1 {
                    2.0
                } else if i == 22 {
                    5.0
                } else {
                    0.0
                }
            })
            .collect();
        assert_eq!(memory, want);
        // SAFETY: as above; without strides the elements lie one after the other.
        let tensor = unsafe { lend(memory.as_ptr() as u64, &[4, 6], &[], Kind::Float, Device::Cpu) };
        assert_eq!(tensor.double_value(&[3, 4]), 5.0);
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
