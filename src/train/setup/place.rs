//! Where a run computes: its device, and where its views are rendered.

use tch::Device;

use super::parts::augment;
use crate::config::{Config, Value};
use crate::device::{Choice, Machine, Route, augment_route};
use crate::gpu::DeviceInfo;
use crate::train::{Records, TrainError};

/// Where a run computes.
pub(super) struct Place {
    /// The network's device.
    pub device: Device,
    /// Where views are rendered.
    pub views: Choice,
    /// Who expands coefficient records, where kernels render.
    decode: Option<String>,
    /// The card that is used.
    pub gpu: Option<DeviceInfo>,
    note: Option<String>,
}

impl Place {
    /// What `config` asks for on this machine.
    ///
    /// # Errors
    /// Where it asks for a GPU that is not there.
    pub(super) fn find(config: &Config) -> Result<Self, TrainError> {
        let machine = Machine::find();
        let device = machine.network();
        let views = augment_route(augment(config), &machine, device)?;
        let decode = matches!(views.route, Route::Cuda { .. }).then(|| config.gpu_decode.show());
        let gpu = machine.gpu().filter(|_| device.is_cuda()).cloned();
        Ok(Self { device, views, decode, gpu, note: machine.note() })
    }

    /// Says it at the start of a run.
    pub(super) fn introduce(&self, records: &mut Records) {
        if let Some(note) = &self.note {
            records.say(note);
        }
        records.say(&self.to_string());
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.views)?;
        self.decode.as_ref().map_or(Ok(()), |who| write!(f, ", records expanded by the {who}"))
    }
}
