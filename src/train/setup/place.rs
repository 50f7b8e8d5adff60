//! Where a run computes: its device, and where its views are rendered.

use std::path::PathBuf;

use tch::Device;

use super::parts::{augment, loader_options};
use crate::config::{self, Config, Value};
use crate::device::interop;
use crate::device::{Augment, Choice, Feeder, Machine, Route, RouteError, augment_route};
use crate::gpu::{self, Cache, DeviceInfo, Gpu};
use crate::loader::Expansions;
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
    /// Who expands coefficient records, where kernels render.
    decode: Option<String>,
    /// The card that is used.
    pub gpu: Option<DeviceInfo>,
    note: Option<String>,
}

impl Place {
    /// What `config` asks for on this machine for its process `local_rank`; nothing is compiled.
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
        let feeder = Feeder::on_cpu(loader_options(config), device);
        let feeder = feeder.with_most_corrupt(config.max_corrupt);
        Ok(Self { device, views, feeder, decode, gpu, note: machine.note() })
    }

    /// As [`find`](Self::find), with the kernels compiled where they render. Where `augment` is `auto` and they cannot be had, threads do.
    ///
    /// # Errors
    /// Where `config` asks for a GPU or kernels that cannot be had.
    pub(super) fn open(config: &Config, local_rank: u32) -> Result<Self, TrainError> {
        let place = Self::find(config, local_rank)?;
        if place.device.is_cuda() {
            gpu::relieve_with(interop::empty_cache);
        }
        let Route::Cuda { ordinal } = place.views.route else { return Ok(place.on_cpu(config)) };
        let folder = (!config.kernel_cache.is_empty()).then(|| PathBuf::from(&config.kernel_cache));
        match Engine::open(ordinal, &Cache { folder }) {
            Ok(engine) => {
                let expansions = match config.gpu_decode {
                    config::GpuDecode::Host => Expansions::Host,
                    config::GpuDecode::Device => Expansions::Device,
                };
                let feeder = Feeder::by_kernels(loader_options(config), place.device, engine, expansions)
                    .with_most_corrupt(config.max_corrupt);
                Ok(Self { feeder, ..place })
            }
            Err(error) if augment(config) == Augment::Cuda => Err(RouteError::Kernels(error).into()),
            Err(error) => {
                let views = Choice { route: Route::Cpu, why: error.to_string() };
                Ok(Self { views, decode: None, ..place }.on_cpu(config))
            }
        }
    }

    /// Threads render, for a network on a GPU into memory that it copies from by itself.
    fn on_cpu(self, config: &Config) -> Self {
        let Device::Cuda(ordinal) = self.device else { return self };
        match Gpu::open(ordinal as u32) {
            Ok(gpu) => {
                let feeder = Feeder::on_cpu_for(gpu, loader_options(config), self.device);
                Self { feeder: feeder.with_most_corrupt(config.max_corrupt), ..self }
            }
            // Slower, but right.
            Err(_) => self,
        }
    }

    /// Says it at the start of a run.
    ///
    /// # Errors
    /// Where the run's quarantine cannot be read, or holds too much.
    pub(super) fn introduce(&self, records: &mut Records) -> Result<(), TrainError> {
        if let Some(note) = &self.note {
            records.say(note);
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
