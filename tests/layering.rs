//! The import law: a module imports only from lower ranks, other crates are named only where they belong, and the library reads
//! neither environment, clock nor command line. Programs, tests and benches are free. Unit tests inside a module are held too.

use std::fs;
use std::path::{Path, PathBuf};

use paths::Named;

#[path = "layering/paths.rs"]
mod paths;

/// The modules of `src/lib.rs` and their ranks.
const RANKS: [(&str, u8); 22] = [
    ("rng", 0),
    ("image", 0),
    ("atomic", 0),
    ("shard", 1),
    ("coef", 1),
    ("gpu", 1),
    ("weights", 1),
    ("decode", 2),
    ("augment", 3),
    ("episode", 4),
    ("loader", 5),
    ("dist", 5),
    ("sheet", 6),
    ("stage", 6),
    ("device", 6),
    ("nn", 6),
    ("optim", 6),
    ("train", 7),
    ("eval", 7),
    ("config", 8),
    ("error", 8),
    ("lib", 9),
];

/// Narrower than the ranks: from these modules, of the lower ones, only these paths may be named.
const ONLY: [(&str, &[&str]); 3] = [("nn", NETWORKS), ("optim", TORCH_ALONE), ("dist", TORCH_ALONE)];

/// Networks, updates and communication know rows of a batch, not where it came from.
const TORCH_ALONE: &[&str] = &["rng", "episode::rows", "episode::RowLayout"];

/// Batch norm also knows the processes that hold the other rows.
const NETWORKS: &[&str] = &["rng", "episode::rows", "episode::RowLayout", "dist"];

/// Narrower than the ranks: these modules may not name these paths. Plans are made of specs and sizes, never of pixels.
const NEVER: [(&str, &[&str]); 1] = [(
    "episode",
    &[
        "decode",
        "image::PixelsRef",
        "image::Pixels",
        "image::PlanesRef",
        "image::Planes",
        "augment::cpu",
        "augment::cuda",
        "augment::reference",
    ],
)];

/// Wider than the ranks: tensors are lent over what the stage renders; the trainer and evaluation share a rank and read the config; the
/// programs' error wraps everybody's.
const ALSO: [(&str, &[&str]); 4] = [
    ("device", &["stage"]),
    ("train", &["eval", "config", "error"]),
    ("eval", &["train", "config", "error"]),
    ("error", &["config"]),
];

/// Other crates, and the only modules or files that may name them.
const CRATES: [(&str, &[&str]); 10] = [
    ("tch", &["device", "nn", "optim", "dist", "train", "eval"]),
    ("cudarc", &["gpu", "augment::cuda", "device::interop"]),
    ("memmap2", &["shard"]),
    ("object_store", &["shard::remote"]),
    ("tokio", &["shard::remote"]),
    ("url", &["shard::remote"]),
    ("bytes", &["shard::remote"]),
    ("turbojpeg_sys", &["decode"]),
    ("zune_jpeg", &["decode"]),
    ("zip", &["train::exchange"]),
];

/// Who may look at the clock: figures for people, which never reach a batch or a weight.
const CLOCK: [&str; 2] = [
    "loader::stats", // busy and waiting time of each stage
    "train",         // images per second, time left
];

#[test]
fn every_module_keeps_the_import_law() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    library_files(&root, &mut files);
    assert!(files.len() > 17, "found only {} files under {}", files.len(), root.display());
    let mut broken = Vec::new();
    for file in files {
        let relative = file.strip_prefix(&root).expect("found under it").to_str().expect("our names are ASCII");
        let source = fs::read_to_string(&file).expect("just listed");
        broken.extend(violations(relative, &source));
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

/// All `.rs` files below `folder`, without the programs.
fn library_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the sources are there") {
        let path = entry.expect("the sources are readable").path();
        if path.is_dir() && !path.ends_with("src/bin") {
            library_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// One line for each path in `source` that the file `relative` (below `src`) may not name.
fn violations(relative: &str, source: &str) -> Vec<String> {
    let module: Vec<&str> = relative.trim_end_matches(".rs").trim_end_matches("/mod").split('/').collect();
    let here = module.join("::");
    let in_crate: &[&str] = if here == "lib" { &[] } else { &module };
    let refusal = |named: &Named| if named.ours { internal(module[0], named) } else { external(&here, named) };
    let broken = |named: Named| Some(format!("src/{relative}:{}: {}", named.line, refusal(&named)?));
    paths::named(in_crate, source).into_iter().filter_map(broken).collect()
}

/// Why module `from` may not name this path of our own, if it may not.
fn internal(from: &str, named: &Named) -> Option<String> {
    let to = named.segments.first()?;
    let path = named.segments.join("::");
    if to == from {
        return None;
    }
    let (Some(rank), Some(other)) = (rank(from), rank(to)) else {
        return Some(format!("`{from}` or `{to}` has no rank; give it one in tests/layering.rs"));
    };
    let lower = rank > other && lookup(&ONLY, from).is_none_or(|only| within(&path, only));
    let never = lookup(&NEVER, from).is_some_and(|never| within(&path, never));
    let also = lookup(&ALSO, from).is_some_and(|also| within(&path, also));
    (never || !lower && !also).then(|| format!("`{from}` (rank {rank}) may not name crate::{path} (rank {other})"))
}

/// Why the module `here` may not name this path of another crate, if it may not.
fn external(here: &str, named: &Named) -> Option<String> {
    let path = named.segments.join("::");
    if let Some(allowed) = lookup(&CRATES, &named.segments[0])
        && !within(here, allowed)
    {
        return Some(format!("`{path}` is named outside {}", allowed.join(", ")));
    }
    let segments: Vec<&str> = named.segments.iter().map(String::as_str).collect();
    match segments[..] {
        ["std", "env", "consts", ..] => None,
        ["std", "env", ..] | ["env", "var" | "var_os" | "vars" | "vars_os" | "args" | "args_os", ..] => {
            Some(format!("`{path}`: the library reads neither environment nor command line; let the program pass it"))
        }
        _ if segments.iter().any(|segment| ["Instant", "SystemTime"].contains(segment)) && !within(here, &CLOCK) => {
            Some(format!("`{path}`: the clock is read only in {}", CLOCK.join(", ")))
        }
        _ => None,
    }
}

fn rank(module: &str) -> Option<u8> {
    RANKS.iter().find(|(name, _)| *name == module).map(|(_, rank)| *rank)
}

fn lookup<'a>(table: &[(&str, &'a [&'a str])], key: &str) -> Option<&'a [&'a str]> {
    table.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
}

/// Whether `path` is one of `parents` or below one.
fn within(path: &str, parents: &[&str]) -> bool {
    let below = |parent: &str| path.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    parents.iter().any(|parent| below(parent))
}

#[test]
fn the_checker_sees_every_kind_of_breach() {
    let breaches = [
        ("rng/stream.rs", "use crate::shard::ShardSet;"),
        ("decode/mod.rs", "fn f() -> crate::augment::ViewPlan { todo() }"),
        ("shard/map.rs", "use crate::gpu;"),
        ("augment/draw.rs", "use crate::{\n    image::Size,\n    loader::Ring as Slots,\n};"),
        ("augment/cpu/scalar.rs", "use super::super::super::episode::EpisodePlan;"),
        ("augment/plan.rs", "#[cfg(test)]\nmod tests {\n    use super::super::super::loader::*;\n}"),
        ("image/mod.rs", "macro_rules! m { () => { $crate::decode::probe() } }"),
        ("image/mod.rs", "fn f() { assert!(crate::decode::probe().is_ok()); }"),
        ("episode/plan.rs", "use crate::image::PixelsRef;"),
        ("nn/head/proto.rs", "use crate::episode::EpisodePlan;"),
        ("nn/resnet.rs", "use crate::optim::Lars;"),
        ("dist/mod.rs", "use crate::loader::Ring;"),
        ("dist/rows.rs", "use crate::nn::Encoder;"),
        ("optim/sgd.rs", "use crate::dist::Comm;"),
        ("loader/ring.rs", "use crate::config::Config;"),
        ("device/mod.rs", "use crate::train::Trainer;"),
        ("novelty/mod.rs", "use crate::image::Size;"),
        ("loader/ring.rs", "use tch::Tensor;"),
        ("device/stage.rs", "fn f() { let p = cudarc::driver::result::init(); }"),
        ("decode/mod.rs", "use memmap2::Mmap;"),
        ("shard/ingest/folder.rs", "use {zune_jpeg::JpegDecoder, std::fs};"),
        ("config.rs", "use crate::error::Error;"),
        ("config.rs", "fn f() { std::env::var(\"DATA_ROOT\").ok(); }"),
        ("loader/worker.rs", "use std::{env, time::Duration};"),
        ("loader/worker.rs", "use std::time::{Duration, Instant};"),
        ("rng/mod.rs", "fn f() { std::time::SystemTime::now(); }"),
    ];
    for (file, source) in breaches {
        assert_eq!(violations(file, source).len(), 1, "{file}: {source}");
    }
    let lines = violations("augment/draw.rs", "\n\nuse crate::loader::Ring;\n");
    assert_eq!(lines, ["src/augment/draw.rs:3: `augment` (rank 3) may not name crate::loader::Ring (rank 5)"]);
}

#[test]
fn the_checker_lets_the_lawful_pass() {
    let lawful = [
        ("augment/draw.rs", "use super::plan::{ColourOp, CropBox};\nuse crate::image::Size;\nuse crate::rng::*;"),
        (
            "augment/draw.rs",
            "// use crate::loader::Ring;\n//! [`crate::train`]\n/* tch::Tensor */ const S: &str = \"crate::train\";",
        ),
        ("nn/norm/shared.rs", "use crate::dist::{Comm, autograd};"),
        ("augment/cuda/args.rs", "use cudarc::driver::CudaSlice;"),
        ("decode/turbo.rs", "use turbojpeg_sys as sys;"),
        ("shard/mod.rs", "mod tests { use super::*; mod deep { use super::super::Codec; } }"),
        ("episode/plan.rs", "use crate::{augment::ViewPlan, image::Size};"),
        ("nn/head/proto.rs", "use crate::episode::RowLayout;\nuse tch::Tensor;"),
        ("train/mod.rs", "use std::time::Instant;\nuse crate::{config::Config, error::Error, eval, loader::Loader};"),
        ("loader/stats.rs", "fn f() { std::time::Instant::now(); }"),
        ("loader/ring.rs", "fn f() -> &'static str { env!(\"CARGO_PKG_VERSION\") }"),
        ("error.rs", "use crate::config::ConfigError;"),
        ("lib.rs", "pub mod train;\npub use error::Error;"),
    ];
    for (file, source) in lawful {
        assert_eq!(violations(file, source), [""; 0], "{file}: {source}");
    }
}
