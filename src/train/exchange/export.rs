//! A checkpoint's backbone, bare, under torchvision's names.

use std::collections::HashMap;
use std::path::Path;

use safetensors::serialize;
use serde_json::json;
use tch::Tensor;

use super::identify::identify;
use super::{ExchangeError, names::Shapes};
use crate::atomic;
use crate::config::{Arch, Value};
use crate::nn::{BACKBONE, Stem};
use crate::train::checkpoint::{Checkpoint, Stored};

/// Key of the metadata entry that says where the backbone comes from.
const ENTRY: &str = "metacl_backbone";

/// What was exported.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The architecture.
    pub arch: Arch,
    /// How it begins.
    pub stem: Stem,
    /// Tensors written.
    pub tensors: usize,
}

/// Writes the backbone of the checkpoint at `ckpt` to `out` (safetensors), which must not exist: torchvision's names, the unused
/// classifier `fc` and the int64 `num_batches_tracked` included, so that `load_state_dict(strict=True)` takes it.
///
/// Metadata entry `metacl_backbone`: a JSON object of `arch`, `stem`, `iter`, `seed`, `config_digest` and `source`.
///
/// # Errors
/// Where `ckpt` is no checkpoint or holds no backbone; where `out` cannot be written.
pub fn export(ckpt: &Path, out: &Path) -> Result<Exported, ExchangeError> {
    if out.exists() {
        return Err(ExchangeError::Exists { path: out.to_owned() });
    }
    let checkpoint = Checkpoint::read(ckpt)?;
    let mut backbone: Vec<(&str, &Tensor)> =
        checkpoint.model.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(BACKBONE)?, tensor))).collect();
    if backbone.is_empty() {
        return Err(ExchangeError::backbone(
            ckpt,
            "no backbone in it: it is of an evaluation; give that of the encoder",
        ));
    }
    backbone.sort_by_key(|(name, _)| *name);
    let shapes: Shapes = backbone.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.size())).collect();
    let (arch, stem) = identify(ckpt, &shapes)?;
    let meta = &checkpoint.meta;
    let about = json!({
        "arch": arch.show(),
        "stem": format!("{stem:?}"),
        "iter": meta.iter,
        "seed": meta.seed,
        "config_digest": meta.config_digest,
        "source": ckpt.display().to_string(),
    });
    write(out, &backbone, about.to_string())?;
    Ok(Exported { arch, stem, tensors: backbone.len() })
}

fn write(out: &Path, tensors: &[(&str, &Tensor)], about: String) -> Result<(), ExchangeError> {
    let failed = |reason| ExchangeError::Io { path: out.to_owned(), action: "write", reason };
    let refused = |reason: safetensors::SafeTensorError| failed(std::io::Error::other(reason.to_string()));
    let stored = tensors.iter().map(|(name, tensor)| Stored::of(out, (*name).to_owned(), tensor));
    let stored = stored.collect::<Result<Vec<_>, _>>()?;
    let views = stored.iter().map(|tensor| tensor.view().map(|view| (tensor.name.as_str(), view)));
    let views = views.collect::<Result<Vec<_>, _>>().map_err(refused)?;
    // One entry, so that the file does not depend on the order of a map.
    let bytes = serialize(views, Some(HashMap::from([(ENTRY.to_owned(), about)]))).map_err(refused)?;
    atomic::replace(out, |partial| std::fs::write(partial, &bytes)).map_err(failed)
}
