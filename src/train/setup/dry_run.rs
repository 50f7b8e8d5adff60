//! `--dry_run`: what a run would do and need, as text; nothing is trained or written, and the dataset may be missing.

use std::io::Write;

use tch::{Device, Kind, Tensor};

use super::Data;
use super::parts::{self, blank_encoder, objective, optimizer, tricks};
use super::place::Place;
use super::subject::{saved_encoder, spec};
use crate::augment::TaskPolicy;
use crate::config::{Config, Opt, Problem, Value};
use crate::episode::{EpisodeSpec, Planner, RowLayout};
use crate::nn::{BACKBONE, Encoder, EncoderSpec};
use crate::shard::{Location, Storage};
use crate::train::step::Tricks;
use crate::train::{Console, TrainError};

/// Prints the plan of a run.
///
/// # Errors
/// Where the run itself would be refused at its start, a missing dataset aside.
pub(super) fn dry_run(config: &Config, storage: &Storage, console: &mut Console) -> Result<(), TrainError> {
    let place = Place::find(config, 0)?;
    let there = match config.data_location() {
        Ok(Location::Disk(path)) => path.exists(),
        Ok(Location::Url(_)) => true,
        Err(_) => false,
    };
    let data = there.then(|| Data::open(config, storage)).transpose()?;
    let mut lines = vec![("problem", format!("{}; {}", config.problem.show(), aim(config)))];
    lines.push(("dataset", dataset(config, data.as_ref())));
    let images = data.as_ref().map(|data| data.train.len());
    if config.pretrains() {
        pretraining(config, images, &place, &mut lines)?
    } else {
        evaluation(config, images, &mut lines)?
    }
    lines.push(("device", device(&place)));
    lines.push(("", place.to_string()));
    for (name, text) in lines {
        // A console that is gone has nobody to tell.
        let _ = writeln!(console.out, "{name:<12}{text}");
    }
    Ok(())
}

type Lines = Vec<(&'static str, String)>;

fn aim(config: &Config) -> String {
    if config.pretrains() { config.logit_scale() } else { "judges an encoder".to_owned() }
}

fn dataset(config: &Config, data: Option<&Data>) -> String {
    let Some(data) = data else {
        return if config.data_path.is_empty() {
            "none given".into()
        } else {
            format!("{}: not there", config.data_path)
        };
    };
    let test = data.test.as_ref().map_or("none".to_owned(), |test| test.len().to_string());
    format!("{}: {} training images, {test} held out", config.data_path, data.train.len())
}

fn pretraining(config: &Config, images: Option<u64>, place: &Place, lines: &mut Lines) -> Result<(), TrainError> {
    let (spec, episodes) = parts::pretraining(config, place.device)?;
    let (layout, tricks) = (episodes.layout(), tricks(config));
    if let Some(images) = images {
        Planner::new(episodes.clone(), images)?;
    }
    let encoder = blank_encoder(config, spec, Device::Cpu);
    let objective = objective(config, &encoder, 0);
    let (mut trained, extra) = (encoder.weights().trained(), objective.trained());

    lines.push(("loss", terms(&tricks)));
    lines.push(("batch", batch(&episodes, layout, config)));
    lines.extend(extra_rows(&tricks, layout).map(|text| ("", text)));
    lines.push(("steps", steps(config, images, config.batch_size)));
    lines.push(("network", network(spec, &trained, &extra)));
    let state: i64 = objective.state().iter().map(|(_, tensor)| tensor.numel() as i64).sum();
    let target = state - scalars(&extra);
    if target > 0 {
        lines.push(("", format!("{} M values in the target, without gradients", millions(target))));
    }
    trained.extend(extra);
    lines.push(("optimizer", updates(config, &trained)));

    let moments = if config.opt == Opt::Adam { 2 } else { 1 };
    let weights = 4 * (scalars(&trained) * (2 + moments) + target) as u64;
    let passes = (layout.rows() + tricks.more_rows(layout)) as u64;
    let activations = passes * encoder.bytes_per_image(config.image_size());
    let slots = (place.loader.slots * layout.rows() * episodes.view.bytes()) as u64;
    lines.push((
        "memory",
        format!(
            "about {}: weights, gradients and moments {}, activations {}, batches in flight {}",
            bytes(weights + activations + slots),
            bytes(weights),
            bytes(activations),
            bytes(slots)
        ),
    ));
    Ok(())
}

/// The network's device, and what it holds.
fn device(place: &Place) -> String {
    match &place.gpu {
        Some(gpu) => format!("{:?}: {}, {} of memory", place.device, gpu.name, bytes(gpu.memory)),
        None => format!("{:?}", place.device),
    }
}

fn evaluation(config: &Config, images: Option<u64>, lines: &mut Lines) -> Result<(), TrainError> {
    let saved = saved_encoder(config)?;
    let spec = spec(config, saved.as_ref())?;
    let origin = if saved.is_some() { config.encoder_ckpt.as_str() } else { "random weights: no encoder_ckpt" };
    let encoder = Encoder::blank(spec, Kind::Float, Device::Cpu);
    let (size, trained) = (config.image_size(), encoder.weights().trained());
    lines.push(("network", format!("{}; {origin}", network(spec, &trained, &[]))));
    lines.push(("batch", format!("{} images of 3 x {size} x {size}, {} to test", config.batch_size, config.test_bs)));
    if config.problem == Problem::FewShotEval {
        let shots = config.shots.iter().map(u32::to_string).collect::<Vec<_>>().join(" and ");
        let (ways, queries) = (config.ways, config.eval_queries);
        lines.push(("episodes", format!("{} of {ways} ways, {shots} shots, {queries} queries", config.episodes)));
        return Ok(());
    }
    lines.push(("steps", steps(config, images, config.batch_size)));
    let what = if config.finetune { "encoder and linear layer" } else { "linear layer on the frozen encoder" };
    lines.push(("trains", format!("{what}, {} seeds", config.seeds)));
    let kept = if config.finetune { config.batch_size * encoder.bytes_per_image(size) } else { 0 };
    let weights = 4 * scalars(&trained) as u64 * if config.finetune { 3 } else { 1 };
    lines.push(("memory", format!("about {}", bytes(weights + kept))));
    Ok(())
}

fn terms(tricks: &Tricks) -> String {
    let mut terms = Vec::new();
    if let Some(mixing) = tricks.mixing {
        terms.push(format!("{} x mix", mixing.weight));
    }
    if let Some(rotation) = tricks.rotation {
        let falls = if rotation.decays_over.is_some() { ", falling to 0" } else { "" };
        terms.push(format!("{} x rot{falls}", rotation.weight));
    }
    terms.insert(0, format!("{} x head", tricks.head_weight()));
    terms.join(" + ")
}

fn batch(episodes: &EpisodeSpec, layout: RowLayout, config: &Config) -> String {
    let (size, RowLayout { classes, views, .. }) = (episodes.view.size, layout);
    let roles = if config.is_meta_head() {
        format!(" ({} support, {} query)", config.n_supp, config.n_query)
    } else {
        String::new()
    };
    let turned = match episodes.task {
        TaskPolicy::Upright => String::new(),
        TaskPolicy::Replace { probability } => format!(", each turned with probability {probability}"),
        TaskPolicy::Expand => ", each image in four turns".to_owned(),
    };
    let images = episodes.batch;
    format!(
        "{images} images: {classes} classes{turned} x {views} views{roles} = {} rows of 3 x {size} x {size}",
        layout.rows()
    )
}

/// What the tricks put through the network besides the batch.
fn extra_rows(tricks: &Tricks, layout: RowLayout) -> impl Iterator<Item = String> {
    let mixed = tricks.mixing.map(|mixing| format!("{} mixed rows beside them", mixing.rows(layout)));
    let turned = tricks.rotation.map(|rotation| format!("a second pass over {} turned rows", rotation.rows(layout)));
    mixed.into_iter().chain(turned)
}

fn steps(config: &Config, images: Option<u64>, batch: u64) -> String {
    let Some(iters) = config.iters else { return "no iters given".to_owned() };
    let update = if config.accu_iter > 1 { format!(", {} to an update", config.accu_iter) } else { String::new() };
    let epochs = images
        .map(|images| (images / batch).max(1))
        .map(|steps| format!(": {:.1} epochs of {steps} steps", iters as f64 / steps as f64));
    format!("{iters}{update}{}", epochs.unwrap_or_default())
}

fn network(spec: EncoderSpec, trained: &[(String, Tensor)], extra: &[(String, Tensor)]) -> String {
    let backbone: i64 =
        trained.iter().filter(|(name, _)| name.starts_with(BACKBONE)).map(|(_, t)| t.numel() as i64).sum();
    let rest = scalars(trained) - backbone + scalars(extra);
    format!(
        "{}, {} features; {} M parameters in the backbone, {} M beside it",
        spec.arch.name(),
        spec.arch.features(),
        millions(backbone),
        millions(rest)
    )
}

fn updates(config: &Config, trained: &[(String, Tensor)]) -> String {
    let shared = trained.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
    let adapted = optimizer(config, shared).adapted().count();
    let groups = match config.opt {
        Opt::Lars => format!(", {adapted} of {} tensors decayed and adapted", trained.len()),
        _ => format!(", {} tensors", trained.len()),
    };
    let (opt, lr, schedule) = (config.opt.show(), config.lr, config.lr_schedule.show());
    format!("{opt}{groups}; lr {lr}, {schedule}, weight decay {}", config.weight_decay)
}

fn scalars(tensors: &[(String, Tensor)]) -> i64 {
    tensors.iter().map(|(_, tensor)| tensor.numel() as i64).sum()
}

fn millions(count: i64) -> String {
    format!("{:.2}", count as f64 / 1e6)
}

fn bytes(count: u64) -> String {
    match count {
        0..1_000_000 => format!("{} kB", count.div_ceil(1000)),
        1_000_000..1_000_000_000 => format!("{:.0} MB", count as f64 / 1e6),
        _ => format!("{:.1} GB", count as f64 / 1e9),
    }
}
