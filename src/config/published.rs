//! What the published code and its files need besides keys: names it ignored, paths it wrote, where it looked for data.

use std::path::{Component, Path, PathBuf};

use super::error::ConfigError;
use super::value::Family;

/// Keys of the published files and flags that the published code never used; accepted, and named in one note.
const IGNORED: &[&str] = &[
    "acc_on_unlabeled",
    "ckpt_iter",
    "config_file",
    "drop",
    "encode_layer",
    "gpu",
    "id",
    "model_id",
    "momentum",
    "n_augs_test",
    "n_augs_train",
    "number_of_processes",
    "root",
    "status",
    "task_aug",
    "time",
    "verbose",
];

/// Whether the published code accepted `key` and did nothing with it.
pub(super) fn is_ignored(key: &str) -> bool {
    IGNORED.contains(&key)
}

/// The variable that names the dataset where the config does not.
pub(super) const fn data_variable(data: Family) -> &'static str {
    match data {
        Family::Cifar => "DATA_ROOT",
        Family::Imagenet => "IMAGENET_PATH",
    }
}

/// Where metacl keeps the checkpoint that the published code would have put at `path`: `ROOT/exman-DIR/X.yaml/runs/ID/C.pth.tar`
/// is `ROOT/X/runs/ID/C.safetensors`. `None` where `path` is none of the published code's.
pub(super) fn own_checkpoint(path: &str) -> Option<String> {
    let stem = path.strip_suffix(".pth.tar")?;
    let parts: Vec<&str> = stem.split('/').collect();
    let exman = parts.iter().position(|part| part.starts_with("exman-"))?;
    let runs = exman + parts.get(exman..)?.iter().position(|part| matches!(*part, "runs" | "tmp"))?;
    let config = parts.get(runs.checked_sub(1)?)?;
    let config = config.strip_prefix("exman-").unwrap_or(config);
    let config = config.strip_suffix(".yaml").or_else(|| config.strip_suffix(".yml")).unwrap_or(config);
    let own = [parts.get(..exman)?, &[config], parts.get(runs..)?].concat();
    Some(format!("{}.safetensors", own.join("/")))
}

/// Images, archives and CIFAR batches as they are downloaded: what lies at `path`, or nothing of the kind.
///
/// Looks at `path`, its split folders and one class folder of each; never at every file.
pub fn looks_like_raw_images(path: &Path) -> Option<&'static str> {
    if path.is_file() {
        return raw_file(path);
    }
    let mut folder = path.to_owned();
    // A split folder, a class folder: three levels are all that a tree of images has.
    for _ in 0..3 {
        let names = first_names(&folder);
        if names.iter().any(|name| has_suffix(name, &[".mcs"])) {
            return None;
        }
        if let Some(found) = names.iter().find_map(|name| raw_file(name)) {
            return Some(found);
        }
        folder = names.into_iter().find(|name| name.is_dir())?;
    }
    None
}

/// Refuses a dataset folder that is missing or has yet to be converted; the latter with the command to run.
pub fn check_data_path(path: &Path) -> Result<(), ConfigError> {
    if !path.exists() {
        return Err(ConfigError::DataMissing { path: path.to_owned() });
    }
    let Some(found) = looks_like_raw_images(path) else { return Ok(()) };
    let target = beside(path);
    let command = format!("metacl-shard convert {} {}", quoted(path), quoted(&target));
    Err(ConfigError::RawData { path: path.to_owned(), found, command, target })
}

/// `data/x` gives `data/x-shards`.
fn beside(path: &Path) -> PathBuf {
    let name = path.components().rev().find_map(|part| match part {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    });
    path.with_file_name(format!("{}-shards", name.as_deref().unwrap_or("data")))
}

/// As a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Up to some hundred paths of a folder, sorted; none where it cannot be read.
fn first_names(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    let mut names: Vec<PathBuf> = entries.take(256).filter_map(|entry| Some(entry.ok()?.path())).collect();
    names.sort();
    names
}

fn raw_file(path: &Path) -> Option<&'static str> {
    /// Files and folders of the two CIFAR distributions, unpacked.
    const CIFAR: &[&str] = &[
        "data_batch_1",
        "data_batch_1.bin",
        "fine_label_names.txt",
        "cifar-10-batches-py",
        "cifar-10-batches-bin",
        "cifar-100-python",
        "cifar-100-binary",
    ];
    let name = path.file_name()?.to_str()?;
    if has_suffix(path, &[".jpg", ".jpeg", ".png"]) {
        Some("images")
    } else if has_suffix(path, &[".tar", ".tar.gz", ".tgz"]) {
        Some("archives")
    } else if CIFAR.contains(&name) {
        Some("CIFAR batches")
    } else {
        None
    }
}

fn has_suffix(path: &Path, suffixes: &[&str]) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    suffixes.iter().any(|suffix| name.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_checkpoints_have_their_own_names() {
        let own = |path| own_checkpoint(path);
        let published = "logs/exman-configs/imagenet_train_epochs100_bs512.yaml/runs/000001/checkpoint-1000800.pth.tar";
        let want = "logs/imagenet_train_epochs100_bs512/runs/000001/checkpoint-1000800.safetensors";
        assert_eq!(own(published).as_deref(), Some(want));
        let rolling = own("/a/b/exman-x.yaml/runs/7/checkpoint.pth.tar");
        assert_eq!(rolling.as_deref(), Some("/a/b/x/runs/7/checkpoint.safetensors"));
        for other in ["checkpoint-3.pth.tar", "logs/x/runs/1/checkpoint.safetensors", "exman-x.pth.tar", ""] {
            assert_eq!(own(other), None, "{other}");
        }
    }

    #[test]
    fn the_command_is_quoted_and_the_target_lies_beside() {
        assert_eq!(beside(Path::new("/a/b/")), Path::new("/a/b-shards"));
        assert_eq!(quoted(Path::new("my data")), "'my data'");
    }
}
