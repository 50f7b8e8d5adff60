//! What does the work: where the network lives, and where views are rendered.
//!
//! Lives here: what a [`Machine`] offers, and the choice among it. Not here: the work itself.

use std::fmt;

use tch::Device;

use super::interop::{CudaHalf, open_cuda};
use crate::gpu::{self, DeviceInfo, GpuError};
use crate::stage::EngineError;

/// What was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Augment {
    /// The GPU where it can, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU, or an error.
    Cuda,
}

/// Where views are rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// By the loader's threads.
    Cpu,
    /// By kernels on the device of this ordinal, the driver's and torch's alike: both leave out what `CUDA_VISIBLE_DEVICES` hides.
    Cuda {
        /// From 0.
        ordinal: u32,
    },
}

/// A route, and why it is this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The route.
    pub route: Route,
    /// Half a sentence: a GPU's name, or what was missing.
    pub why: String,
}

impl fmt::Display for Choice {
    /// `views are rendered on the CPU (no NVIDIA driver (libcuda.so.1) found)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.route {
            Route::Cpu => "the CPU".to_owned(),
            Route::Cuda { ordinal } => format!("GPU {ordinal}"),
        };
        write!(f, "views are rendered on {place} ({})", self.why)
    }
}

/// Views cannot be rendered on a GPU though that was asked for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RouteError {
    /// There is none, or the driver does not work.
    #[error("augment is cuda, but {found}: run where an NVIDIA GPU and its driver are, or give --augment cpu or auto")]
    NoGpu {
        /// What was found missing.
        found: String,
    },
    /// There is one, but its kernels cannot be made or loaded.
    #[error("augment is cuda, but {0}; or give --augment cpu or auto")]
    Kernels(EngineError),
    /// There is one, but torch cannot use it, and views go where the network is.
    #[error("augment is cuda, but torch cannot use the GPU: {reason}; or give --augment cpu or auto")]
    Torch {
        /// Why, and what to do.
        reason: String,
    },
}

/// What a machine has for the network and for kernels.
#[derive(Debug)]
pub struct Machine {
    /// The driver's answer.
    pub gpus: Result<Vec<DeviceInfo>, GpuError>,
    /// torch's CUDA half.
    pub torch: CudaHalf,
}

impl Machine {
    /// Asks the driver, and opens torch's CUDA half where it sees a GPU; to be called before torch is used.
    pub fn find() -> Self {
        Self { gpus: gpu::devices(), torch: open_cuda().clone() }
    }

    /// The GPU that network and views use: the first.
    pub fn gpu(&self) -> Option<&DeviceInfo> {
        self.gpus.as_ref().ok()?.first()
    }

    /// Where the network lives: the first GPU where torch can use it, else the CPU.
    pub fn network(&self) -> Device {
        if self.torch == CudaHalf::Open { Device::cuda_if_available() } else { Device::Cpu }
    }

    /// How many GPUs networks can live on.
    pub fn gpu_count(&self) -> u32 {
        if self.network().is_cuda() { tch::Cuda::device_count() as u32 } else { 0 }
    }

    /// A line for who has a GPU that torch cannot use.
    pub fn note(&self) -> Option<String> {
        match &self.torch {
            CudaHalf::Failed(reason) => Some(format!("note: the GPU is not used: {reason}")),
            _ => None,
        }
    }

    fn missing(&self, network: Device) -> Option<RouteError> {
        // The rest of the text says what to do, which RouteError says itself.
        let no_gpu = |reason: &GpuError| {
            let found = reason.to_string().split(';').next().unwrap_or_default().to_owned();
            Some(RouteError::NoGpu { found })
        };
        let torch = |reason: String| Some(RouteError::Torch { reason });
        match (&self.gpus, &self.torch) {
            (Err(reason), _) => no_gpu(reason),
            (Ok(found), _) if found.is_empty() => no_gpu(&GpuError::NoDevice),
            (Ok(_), CudaHalf::Failed(reason)) => torch(reason.to_string()),
            (Ok(_), _) if !network.is_cuda() => {
                torch("torch finds none that it supports; nvidia-smi tells whether the driver works".to_owned())
            }
            _ => None,
        }
    }
}

/// Where views are rendered on `machine` with the network on `network`, its [`Machine::network`]; `auto` takes the GPU where it can.
///
/// # Errors
/// Where `cuda` is asked for and cannot be had.
pub fn augment_route(asked: Augment, machine: &Machine, network: Device) -> Result<Choice, RouteError> {
    let on_cpu = |why: String| Ok(Choice { route: Route::Cpu, why });
    if asked == Augment::Cpu {
        return on_cpu("as asked".to_owned());
    }
    match (machine.missing(network), network) {
        (Some(error), _) if asked == Augment::Cuda => Err(error),
        (Some(RouteError::NoGpu { found }), _) => on_cpu(found),
        (Some(RouteError::Torch { reason }), _) => on_cpu(format!("torch cannot use the GPU: {reason}")),
        (Some(RouteError::Kernels(reason)), _) => on_cpu(reason.to_string()),
        (None, Device::Cuda(ordinal)) => {
            let why = machine.gpu().map_or_else(String::new, |gpu| gpu.name.clone());
            Ok(Choice { route: Route::Cuda { ordinal: ordinal as u32 }, why })
        }
        (None, _) => on_cpu("the network is there".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::interop::OpenError;
    use super::*;

    fn card() -> DeviceInfo {
        let (compute_capability, driver) = ((9, 0), (13, 0));
        DeviceInfo { name: "Card".to_owned(), memory: 1 << 36, compute_capability, driver }
    }

    fn machine(gpus: Result<Vec<DeviceInfo>, GpuError>, torch: CudaHalf) -> Machine {
        Machine { gpus, torch }
    }

    #[test]
    fn a_gpu_is_taken_unless_the_cpu_is_asked_for() {
        let machine = machine(Ok(vec![card()]), CudaHalf::Open);
        let route = |asked| augment_route(asked, &machine, Device::Cuda(0)).map(|choice| choice.route);
        assert_eq!(route(Augment::Auto), Ok(Route::Cuda { ordinal: 0 }));
        assert_eq!(route(Augment::Cuda), Ok(Route::Cuda { ordinal: 0 }));
        assert_eq!(route(Augment::Cpu), Ok(Route::Cpu));
        let choice = augment_route(Augment::Auto, &machine, Device::Cuda(0));
        assert_eq!(choice.map(|choice| choice.to_string()).unwrap(), "views are rendered on GPU 0 (Card)");
    }

    #[test]
    fn without_a_gpu_auto_falls_back_and_cuda_is_refused() {
        let without = [
            machine(Err(GpuError::NoDriver), CudaHalf::NotWanted),
            machine(Err(GpuError::NotBuilt), CudaHalf::NotWanted),
            machine(Ok(Vec::new()), CudaHalf::NotWanted),
        ];
        for machine in without {
            let route = |asked| augment_route(asked, &machine, Device::Cpu);
            let fallen = route(Augment::Auto).unwrap();
            assert!(fallen.route == Route::Cpu && !fallen.why.is_empty() && !fallen.why.contains(';'), "{fallen:?}");
            assert!(matches!(route(Augment::Cuda), Err(RouteError::NoGpu { .. })));
            assert_eq!(route(Augment::Cpu).unwrap().route, Route::Cpu);
            assert_eq!((machine.network(), machine.note()), (Device::Cpu, None));
        }
    }

    #[test]
    fn a_gpu_that_torch_cannot_use_is_named() {
        let machine = machine(Ok(vec![card()]), CudaHalf::Failed(OpenError::NoTorch));
        assert!(matches!(augment_route(Augment::Cuda, &machine, Device::Cpu), Err(RouteError::Torch { .. })));
        assert_eq!(augment_route(Augment::Auto, &machine, Device::Cpu).unwrap().route, Route::Cpu);
        assert!(machine.note().is_some());
        let old = Machine { torch: CudaHalf::Open, ..machine };
        assert!(matches!(augment_route(Augment::Cuda, &old, Device::Cpu), Err(RouteError::Torch { .. })));
    }
}
