//! libtorch's CUDA half in a process that is linked to the CPU half alone: it opens, shares its stream and takes our memory. A process of
//! its own: torch's answers are kept for good.
//!
//! Opening is tested where METACL_TORCH_CUDA names the folder of a libtorch_cuda.so (torch/lib of a torch 2.11 with all its CUDA
//! libraries), GPU or not; the rest where there is a GPU.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;
use std::sync::Arc;

use metacl::device::interop::{CudaHalf, InteropError, current_stream, lend, open_cuda, open_cuda_in, peak_memory};
use metacl::device::unit;
use metacl::episode::RowLayout;
use metacl::gpu::{Gpu, RawStream};
use metacl::nn::{Arch, Encoder, EncoderSpec, Head, InitStyle, Mode, Precision, Stem};
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

/// The first GPU, with torch's CUDA half open.
fn gpu() -> Option<Gpu> {
    if *open_cuda() == CudaHalf::NotWanted {
        eprintln!("skipped: there is no GPU");
        return None;
    }
    assert_eq!(*open_cuda(), CudaHalf::Open);
    Some(Gpu::open(0).unwrap())
}

#[test]
fn lent_memory_is_read_in_order_with_torchs_stream() {
    const BYTES: usize = 1 << 22;
    let Some(gpu) = gpu() else { return };
    let device = Device::Cuda(0);
    let (buffer, own) = (Arc::new(gpu.allocate(BYTES).unwrap()), gpu.stream().unwrap());
    // SAFETY: a stream of torch's lasts as long as the process.
    let torch = unsafe { gpu.foreign_stream(RawStream(current_stream(device).unwrap())) };
    let (written, read) = (gpu.event().unwrap(), gpu.event().unwrap());
    // SAFETY: so many bytes of the device, whose owner frees them; writing is ordered with torch's stream below.
    let lent = unsafe { lend(buffer.clone(), buffer.address(), &[BYTES as i64], true, device) }.unwrap();
    let sums: Vec<Tensor> = (0..100u8)
        .map(|value| {
            own.wait(&read).unwrap();
            // SAFETY: the buffer outlives the stream's work.
            unsafe { own.fill(&buffer, 0, value, BYTES) }.unwrap();
            own.record(&written).unwrap();
            torch.wait(&written).unwrap();
            let sum = lent.sum(Kind::Int64);
            torch.record(&read).unwrap();
            sum
        })
        .collect();
    for (value, sum) in sums.iter().enumerate() {
        assert_eq!(sum.int64_value(&[]), (value * BYTES) as i64);
    }
    own.synchronize().unwrap();
}

/// Threads or kernels, the network sees the same bits.
#[test]
fn levels_are_divided_on_the_gpu_as_on_the_cpu() {
    if gpu().is_none() {
        return;
    }
    let levels = Tensor::arange(256, (Kind::Uint8, Device::Cpu));
    let on_gpu = unit(&levels.to_device(Device::Cuda(0))).to_device(Device::Cpu);
    assert!(on_gpu.equal(&unit(&levels)));
    let quotients: Vec<f32> = (0..=255u8).map(|level| f32::from(level) / 255.0).collect();
    assert_eq!(Vec::<f32>::try_from(&on_gpu).unwrap(), quotients);
}

#[test]
fn a_step_on_the_gpu_is_that_of_the_cpu() {
    if gpu().is_none() {
        return;
    }
    let spec = EncoderSpec { arch: Arch::ResNet18, stem: Stem::Cifar };
    let images = (Tensor::arange(16 * 3 * 1024, (Kind::Float, Device::Cpu)) * 0.37).sin() * 0.5 + 0.5;
    let images = images.reshape([16, 3, 32, 32]);
    let step = |device, precision| {
        let encoder = Encoder::new(spec, Kind::Float, device, 1, InitStyle::Torch).with_precision(precision);
        let z = encoder.project(&encoder.features(&images.to_device(device), Mode::Train), Mode::Train);
        let loss = Head::Contrastive { temperature: 2.0 }.judge(&z, RowLayout::new(8, 2)).loss;
        loss.backward();
        let convolution = encoder.weights().trained().swap_remove(0).1;
        (loss.double_value(&[]), convolution.grad().norm().double_value(&[]), convolution.stride()[1] == 1)
    };
    let (cpu, gpu) = (step(Device::Cpu, Precision::F32), step(Device::Cuda(0), Precision::F32));
    // cuDNN's convolutions may round to TF32: 10 bits.
    assert!((cpu.0 - gpu.0).abs() < 5e-3 * cpu.0 && (cpu.1 - gpu.1).abs() < 5e-2 * cpu.1, "{cpu:?} {gpu:?}");
    let reduced = step(Device::Cuda(0), Precision::Bf16);
    assert!((cpu.0 - reduced.0).abs() < 5e-2 * cpu.0, "{cpu:?} {reduced:?}");
    assert_eq!((cpu.2, gpu.2, reduced.2), (false, false, true), "channels are innermost in bf16 on a GPU");
    assert!(peak_memory(Device::Cuda(0)).unwrap() > Some(1 << 20));
}
