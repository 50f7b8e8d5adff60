//! What a run's report shows beside its numbers: the machine and the data it was made on, and training views as the encoder saw them.

use std::fs;
use std::sync::Arc;

use serde_json::{Value, json};

use super::place::Place;
use crate::config::Config;
use crate::episode::{EpisodeSpec, Planner};
use crate::loader::{LoaderOptions, load_views};
use crate::shard::ShardSet;
use crate::sheet::Sheet;
use crate::train::TrainError;

/// Classes on the sheet of training views, and views at most.
const CLASSES: u32 = 16;
const VIEWS: usize = 128;
/// The libtorch that tch is built for, see Cargo.toml.
const TORCH: &str = "2.11.0";

/// Machine, versions and data.
pub(super) fn environment(config: &Config, data: &ShardSet, place: &Place) -> Value {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    json!({
        "metacl": env!("CARGO_PKG_VERSION"),
        "libtorch": TORCH,
        "device": format!("{:?}", place.device),
        "gpu": place.gpu.as_ref().map(|gpu| gpu.name.as_str()),
        "gpu_memory_bytes": place.gpu.as_ref().map(|gpu| gpu.memory),
        "cuda_driver": place.gpu.as_ref().map(|gpu| format!("{}.{}", gpu.driver.0, gpu.driver.1)),
        "views": place.to_string(),
        "cpu": cpu(),
        "cores": cores,
        "loader_threads": place.loader.workers,
        "torch_threads": tch::get_num_threads(),
        "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        "dataset": config.data_path.to_string(),
        "dataset_identity": format!("{:032x}", data.identity()),
        "training_images": data.len(),
        "classes": data.classes().len(),
    })
}

/// The first images of the run's first batch with their views, as a PNG file. A view is a function of its sample and place, not of
/// how many are in the batch, so a few of them are drawn alone.
///
/// # Errors
/// What the loader finds.
pub(super) fn views(
    config: &Config,
    planner: &Planner,
    data: &Arc<ShardSet>,
    place: &Place,
) -> Result<Vec<u8>, TrainError> {
    let spec = planner.spec();
    let per_image = spec.views.len() * spec.task.classes_per_image() as usize;
    let batch = spec.batch.min(CLASSES).min((VIEWS / per_image).max(1) as u32);
    let few = Planner::new(EpisodeSpec { batch, rank: (0, 1), ..spec.clone() }, data.len())?;
    let n_supp = (config.pretrains() && config.is_meta_head()).then_some(config.n_supp as usize);
    let mut sheet = Sheet::new(spec.view.size);
    let options = LoaderOptions { slots: 1, ..place.loader };
    for batch in load_views(data.clone(), few, options, 0..1)? {
        sheet.add(&batch?, usize::MAX, n_supp, data.classes());
    }
    // The encoder refuses only pictures without pixels, and a sheet has a margin.
    sheet.png().map_err(|reason| TrainError::Sheet { reason: reason.to_string() })
}

/// Name of the processor, where the system tells it as Linux does.
fn cpu() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(|| "unknown".to_owned(), |(_, name)| name.trim().to_owned())
}
