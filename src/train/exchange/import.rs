//! Foreign weights to a checkpoint that an evaluation takes as `encoder_ckpt`.

use std::collections::HashMap;
use std::path::Path;

use serde_json::json;
use tch::{Device, Kind, Tensor};

use super::ExchangeError;
use super::identify::identify;
use super::names::{Layout, Shapes};
use super::source::Source;
use crate::config::{Arch, Value};
use crate::nn::{BACKBONE, Encoder, EncoderSpec, InitStyle, Stem};
use crate::train::checkpoint::{self, Meta};
use crate::train::setup::network;

/// Seed of what the file does not hold.
const FRESH_SEED: u64 = 0;

/// What was imported.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The architecture found.
    pub arch: Arch,
    /// The stem found.
    pub stem: Stem,
    /// Tensors that were taken over.
    pub taken: usize,
    /// What a user should know.
    pub notes: Vec<String>,
}

/// Reads the weights at `from` and writes a checkpoint of them to `out`, which must not exist.
///
/// `prefix` says where the backbone lies, `backbone` for `backbone.conv1.weight`; `None`: it is found. Projector, rotation head and a classifier that is missing or of other than 1000 classes are fresh, of a fixed seed.
///
/// # Errors
/// Where the file is no file of weights, is damaged, holds no backbone or several, or one of another architecture.
pub fn import(from: &Path, out: &Path, prefix: Option<&str>) -> Result<Imported, ExchangeError> {
    if out.exists() {
        return Err(ExchangeError::Exists { path: out.to_owned() });
    }
    let mut source = Source::open(from)?;
    let shapes = source.shapes();
    let layout = Layout::find(from, &shapes, prefix)?;
    let mut places: HashMap<String, String> = HashMap::new();
    for name in shapes.keys() {
        if let Some(own) = layout.own(name) {
            places.insert(format!("{BACKBONE}{own}"), name.clone());
        }
    }
    let backbone: Shapes = places
        .iter()
        .filter_map(|(own, name)| Some((own.strip_prefix(BACKBONE)?.to_owned(), shapes.get(name)?.clone())))
        .collect();
    let (arch, stem) = identify(from, &backbone)?;
    places.extend(beside(&layout, &shapes));

    let spec = EncoderSpec { arch: network(arch), stem };
    let encoder = Encoder::new(spec, Kind::Float, Device::Cpu, FRESH_SEED, InitStyle::Torch);
    let mut notes = Vec::new();
    let state = joined(from, &mut source, &encoder, &shapes, &mut places, &mut notes)?;
    encoder.weights().load(&state).map_err(|reason| ExchangeError::Network { path: from.to_owned(), reason })?;

    let taken = places.len();
    notes.extend(left(&shapes, &places));
    let meta = Meta {
        iter: source.iter().unwrap_or(0),
        arch: arch.show(),
        head: String::new(),
        config_digest: String::new(),
        seed: FRESH_SEED,
        extra: json!({
            "imported": { "from": from.display().to_string(), "format": source.format(), "prefix": layout.prefix },
            "stem": format!("{stem:?}"),
        }),
    };
    checkpoint::write(out, &meta, &encoder.weights().state(), &[])?;
    Ok(Imported { arch, stem, taken, notes })
}

/// Projector and rotation head of the published code, which lie beside its backbone `convnet`: our names to the file's.
fn beside(layout: &Layout, shapes: &Shapes) -> Vec<(String, String)> {
    let Some(outer) = layout.prefix.strip_suffix(BACKBONE) else { return Vec::new() };
    let own = |name: &String| {
        let own = name.strip_prefix(outer)?;
        let known = ["projection.", "rot_head."].iter().any(|part| own.starts_with(part));
        known.then(|| (own.to_owned(), name.clone()))
    };
    shapes.keys().filter_map(own).collect()
}

/// The encoder's state with the file's tensors in it. What is in the file but does not belong is taken out of `places`.
fn joined(
    path: &Path,
    source: &mut Source,
    encoder: &Encoder,
    shapes: &Shapes,
    places: &mut HashMap<String, String>,
    notes: &mut Vec<String>,
) -> Result<HashMap<String, Tensor>, ExchangeError> {
    let own: HashMap<String, Tensor> = encoder.weights().state().into_iter().collect();
    // The classifier is of no use here, so any other number of classes will do, too.
    let classes = places.get("convnet.fc.weight").and_then(|name| shapes.get(name)).cloned();
    if classes.as_ref().is_some_and(|shape| Some(shape) != own.get("convnet.fc.weight").map(Tensor::size).as_ref()) {
        notes.push(format!("the classifier fc of shape {:?} is left out: it is not used", classes.unwrap_or_default()));
        places.retain(|name, _| !name.starts_with("convnet.fc."));
    }
    let mut state = HashMap::new();
    let mut fresh: Vec<&'static str> = Vec::new();
    for (name, tensor) in own {
        let tensor = match places.get(&name) {
            Some(place) => taken(path, source, shapes, place, &tensor)?,
            None => {
                fresh.push(part(path, &name)?);
                tensor
            }
        };
        state.insert(name, tensor);
    }
    if let Some(extra) = places.keys().filter(|name| !state.contains_key(*name)).min() {
        let name = places.get(extra).map_or(extra.as_str(), String::as_str);
        return Err(ExchangeError::tensor(path, name, "no tensor of that architecture"));
    }
    fresh.sort_unstable();
    fresh.dedup();
    if !fresh.is_empty() {
        notes.push(format!("not in the file, so fresh from seed {FRESH_SEED}: {}", fresh.join(", ")));
    }
    Ok(state)
}

/// The file's tensor `name`, whose shape must be that of `own`: compared before a number is read.
fn taken(path: &Path, source: &mut Source, shapes: &Shapes, name: &str, own: &Tensor) -> Result<Tensor, ExchangeError> {
    let shape = shapes.get(name).map_or(&[][..], Vec::as_slice);
    if shape != own.size() {
        let what = format!("shape {shape:?}, this architecture has {:?} there", own.size());
        return Err(ExchangeError::tensor(path, name, what));
    }
    let tensor = source.tensor(name)?;
    let finite = !tensor.is_floating_point() || tensor.isfinite().all().int64_value(&[]) == 1;
    if finite { Ok(tensor) } else { Err(ExchangeError::tensor(path, name, "it holds NaN or infinity")) }
}

/// What the missing tensor `name` is a part of; an error where nothing can stand in for it.
fn part(path: &Path, name: &str) -> Result<&'static str, ExchangeError> {
    let known = [("projection.", "projector"), ("rot_head.", "rotation head"), ("convnet.fc.", "classifier")];
    match known.iter().find(|(start, _)| name.starts_with(start)) {
        Some((_, part)) => Ok(part),
        // Files of torch before 0.4.1 have none.
        None if name.ends_with("num_batches_tracked") => Ok("num_batches_tracked"),
        None => {
            Err(ExchangeError::tensor(path, name.trim_start_matches(BACKBONE), "missing: the backbone is incomplete"))
        }
    }
}

/// Names, by their first word, of the tensors that were not taken.
fn left(shapes: &Shapes, places: &HashMap<String, String>) -> Option<String> {
    let mut words: Vec<&str> = Vec::new();
    for name in shapes.keys().filter(|name| !places.values().any(|place| place == *name)) {
        words.push(name.split('.').next().unwrap_or(name));
    }
    words.dedup();
    (!words.is_empty()).then(|| format!("left out: {}", words.join(", ")))
}
