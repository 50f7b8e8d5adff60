//! Where a run computes: its device, and where its views are rendered.

use std::path::PathBuf;

use tch::Device;

use super::parts::{augment, loader_options};
use super::ranks::Cores;
use crate::config::{self, Config, Value};
use crate::device::interop;
use crate::device::{Augment, Choice, Feeder, Machine, Route, RouteError, augment_route};
use crate::gpu::{self, Cache, DeviceInfo, Gpu};
use crate::loader::{Expansions, LoaderOptions};
use crate::stage::Engine;
use crate::train::{Records, TrainError};

/// Where a run computes.
pub(super) struct Place {
    /// The network's device.
    pub device: Device,
    /// Where views are rendered.
    pub views: Choice,
    /// Loads and renders; until [`Place::open`], by threads.
    pub feeder: Feeder,
    /// How batches are loaded.
    pub loader: LoaderOptions,
    cores: Cores,
    /// Who expands coefficient records, where kernels render.
    decode: Option<String>,
    /// The card that is used.
    pub gpu: Option<DeviceInfo>,
    note: Option<String>,
}

impl Place {
    /// What `config` asks for on this machine for its process `local_rank`, as if it were alone; nothing is compiled.
    ///
    /// # Errors
    /// Where it asks for a GPU that is not there.
    pub(super) fn find(config: &Config, local_rank: u32) -> Result<Self, TrainError> {
        let machine = Machine::find();
        let device = match machine.network() {
            Device::Cuda(_) => Device::Cuda(local_rank as usize),
            other => other,
        };
        let views = augment_route(augment(config), &machine, device)?;
        let decode = matches!(views.route, Route::Cuda { .. }).then(|| config.gpu_decode.show());
        let gpu = machine.gpu().filter(|_| device.is_cuda()).cloned();
        let cores = Cores::of_one();
        let loader = loader_options(config, cores.share());
        let feeder = Feeder::on_cpu(loader, device);
        Ok(Self { device, views, feeder, loader, cores, decode, gpu, note: machine.note() })
    }

    /// Made ready for a run with the threads that `cores` gives, and with the kernels compiled where they render. Where `augment` is `auto` and
    /// they cannot be had, threads do.
    ///
    /// # Errors
    /// Where `config` asks for kernels that cannot be had.
    pub(super) fn open(self, config: &Config, cores: Cores) -> Result<Self, TrainError> {
        cores.limit_torch(config);
        let place = Self { loader: loader_options(config, cores.share()), cores, ..self };
        if place.device.is_cuda() {
            gpu::relieve_with(interop::empty_cache);
        }
        let Route::Cuda { ordinal } = place.views.route else { return Ok(place.on_cpu()) };
        let folder = (!config.kernel_cache.is_empty()).then(|| PathBuf::from(&config.kernel_cache));
        match Engine::open(ordinal, &Cache { folder }) {
            Ok(engine) => {
                let expansions = match config.gpu_decode {
                    config::GpuDecode::Host => Expansions::Host,
                    config::GpuDecode::Device => Expansions::Device,
                };
                let feeder = Feeder::by_kernels(place.loader, place.device, engine, expansions);
                Ok(Self { feeder, ..place })
            }
            Err(error) if augment(config) == Augment::Cuda => Err(RouteError::Kernels(error).into()),
            Err(error) => {
                let views = Choice { route: Route::Cpu, why: error.to_string() };
                Ok(Self { views, decode: None, ..place }.on_cpu())
            }
        }
    }

    /// Threads render, for a network on a GPU into memory that it copies from by itself.
    fn on_cpu(self) -> Self {
        let gpu = if let Device::Cuda(ordinal) = self.device { Gpu::open(ordinal as u32).ok() } else { None };
        // A card that does not open: slower, but right.
        let copied = || Feeder::on_cpu(self.loader, self.device);
        let feeder = gpu.map_or_else(copied, |gpu| Feeder::on_cpu_for(gpu, self.loader, self.device));
        Self { feeder, ..self }
    }

    /// Says it at the start of a run.
    ///
    /// # Errors
    /// Where the run's quarantine cannot be read, or holds too much.
    pub(super) fn introduce(&self, records: &mut Records) -> Result<(), TrainError> {
        if let Some(note) = &self.note {
            records.say(note);
        }
        if self.cores.several() {
            let (decode, compute) = (self.loader.workers, tch::get_num_threads());
            records.say(&format!("{}; threads of each: {decode} to load, {compute} to compute", self.cores));
        }
        records.say(&self.to_string());
        records.quarantine(self.feeder.quarantine().clone())
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.views)?;
        self.decode.as_ref().map_or(Ok(()), |who| write!(f, ", records expanded by the {who}"))
    }
}
