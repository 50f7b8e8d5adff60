//! libtorch's CUDA half opens in a process that is linked to the CPU half alone. A process of its own: torch's answers are kept for good.
//!
//! Runs where METACL_TORCH_CUDA names the folder of a libtorch_cuda.so (torch/lib of a torch 2.11 with all its CUDA libraries), GPU or not.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;

use metacl::device::interop::{InteropError, current_stream, open_cuda_in, peak_memory};
use tch::{Cuda, Device, Kind, Tensor};

#[test]
fn the_cuda_half_opens_beside_the_cpu_half() {
    let Some(folder) = std::env::var_os("METACL_TORCH_CUDA") else {
        eprintln!("skipped: METACL_TORCH_CUDA names no folder");
        return;
    };
    open_cuda_in(Path::new(&folder)).unwrap();
    open_cuda_in(Path::new(&folder)).unwrap();
    if metacl::gpu::devices().is_ok_and(|found| !found.is_empty()) {
        assert!(Cuda::is_available(), "there is a GPU, and torch does not see it");
        current_stream(Device::Cuda(0)).unwrap();
    } else {
        assert!(!Cuda::is_available() && Cuda::device_count() == 0);
        assert!(matches!(current_stream(Device::Cuda(0)), Err(InteropError::Torch { .. })));
        // The allocator is there, and has yet to hand anything out.
        assert_eq!(peak_memory(Device::Cuda(0)), Ok(Some(0)));
    }
    // The CPU half works as before.
    let x = Tensor::ones([8, 8], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    x.matmul(&x).sum(Kind::Float).backward();
    assert_eq!(x.grad().double_value(&[0, 0]), 16.0);
}
