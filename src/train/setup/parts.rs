//! What the stages need, out of a config.

use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use crate::augment::ViewSpec;
use crate::config::{self, Config, Problem};
use crate::decode::Limits;
use crate::device::{Augment, Feeder};
use crate::dist::{Comm, World};
use crate::episode::{EpisodeSpec, Order};
use crate::eval::embed::EmbedSpec;
use crate::loader::{LoaderOptions, OnCorrupt};
use crate::nn::head::Shots;
use crate::nn::{Arch, Bootstrap, Encoder, EncoderSpec, Head, InitStyle, Precision, ProjectorSpec, Stem};
use crate::optim::schedule::Shape;
use crate::optim::{Adam, Lars, Optimizer, Rule, Sgd};
use crate::train::TrainError;
use crate::train::objective::Objective;
use crate::train::step::{Mixing, Rotation, Tricks};

/// Momentum of `sgd`, as published.
const SGD_MOMENTUM: f64 = 0.9;

/// Filters of the Conv-4 blocks, the few-shot standard's small variant.
const CONV4_FILTERS: u32 = 32;

/// The episodes of a process of `world`.
pub(super) fn episodes(config: &Config, seed: u64, world: World) -> EpisodeSpec {
    let policies = config.view_policies();
    let views = (0..config.views()).map(|view| if view < config.n_supp { policies.support } else { policies.query });
    EpisodeSpec {
        seed,
        batch: images(config.batch_size),
        order: Order::Shuffled { seed },
        views: views.collect(),
        task: config.task_policy(),
        view: ViewSpec::bicubic(config.image_size()),
        rank: (world.rank(), world.size()),
    }
}

pub(super) fn embed_spec(
    config: &Config,
    seed: u64,
    feeder: &Feeder,
    comm: &Arc<dyn Comm>,
) -> Result<EmbedSpec, TrainError> {
    Ok(EmbedSpec {
        policy: config.eval_policies()?.test,
        view: ViewSpec::bicubic(config.image_size()),
        batch: images(config.test_bs),
        samples: config.eval_samples.unwrap_or(0),
        seed,
        feeder: feeder.clone(),
        comm: comm.clone(),
    })
}

/// A batch size as plans count it; one that is larger does not fit any dataset either.
pub(super) fn images(batch: u64) -> u32 {
    u32::try_from(batch).unwrap_or(u32::MAX)
}

/// How batches are loaded by a process that has so many cores to itself.
pub(super) fn loader_options(config: &Config, cores: usize) -> LoaderOptions {
    let corrupt = match config.corrupt {
        config::Corrupt::Substitute => OnCorrupt::Substitute,
        config::Corrupt::Error => OnCorrupt::Error,
    };
    let workers = config.workers.map_or(cores, |workers| workers as usize);
    let limits = Limits { max_pixels: config.max_pixels };
    LoaderOptions { workers, corrupt, limits, max_corrupt: config.max_corrupt, ..LoaderOptions::default() }
}

pub(in crate::train) fn arch(arch: config::Arch) -> Arch {
    match arch {
        config::Arch::ResNet18 => Arch::ResNet18,
        config::Arch::ResNet50 | config::Arch::Linear => Arch::ResNet50,
        config::Arch::Conv4 => Arch::Conv4 { filters: CONV4_FILTERS },
    }
}

pub(super) fn encoder_spec(config: &Config, arch: Arch) -> EncoderSpec {
    EncoderSpec { arch, stem: if config.has_small_stem() { Stem::Cifar } else { Stem::ImageNet } }
}

/// The encoder and the episodes (of seed 0) of a pre-training run. What does not fit is refused here, before anything is made; the seed
/// changes nothing about that.
///
/// # Errors
/// Where image size, precision, views, shots or tasks do not fit.
pub(super) fn pretraining(config: &Config, device: Device) -> Result<(EncoderSpec, EpisodeSpec), TrainError> {
    let spec = encoder_spec(config, arch(config.arch));
    spec.arch.check_image_size(config.image_size())?;
    precision(config).check(device)?;
    let episodes = episodes(config, 0, World::single());
    if !config.has_bootstrap_loss() {
        head(config).check(episodes.layout())?;
    }
    Ok((spec, episodes))
}

/// The encoder of a pre-training run, its random tensors zero.
pub(super) fn blank_encoder(config: &Config, spec: EncoderSpec, device: Device) -> Encoder {
    Encoder::blank_with(spec, projector(config, spec), Kind::Float, device)
        .with_precision(precision(config))
        .with_channels_last(config.channels_last)
}

pub(super) fn init(config: &Config) -> InitStyle {
    match config.init {
        config::Init::Torch => InitStyle::Torch,
        config::Init::Tf => InitStyle::Tf,
    }
}

fn head(config: &Config) -> Head {
    let temperature = config.temperature();
    let shots = Shots { n_supp: config.n_supp as usize, n_query: config.n_query as usize };
    match config.head {
        config::Head::Contrastive => Head::Contrastive { temperature },
        config::Head::Pn => Head::Proto { temperature, shots },
        config::Head::R2d2 => Head::R2d2 { temperature, reg: config.reg, shots },
        config::Head::Svm => Head::Svm { temperature, shots, tasks: config.svm_tasks as usize },
    }
}

/// What training minimises, with the networks it needs beside `encoder`.
pub(super) fn objective(config: &Config, encoder: &Encoder, seed: u64) -> Objective {
    let (hidden, style) = (i64::from(config.byol_hidden()), init(config));
    let networks = match config.problem {
        Problem::Byol => Bootstrap::byol(encoder, hidden, seed, style),
        // A bottleneck of a quarter, as its paper has it.
        Problem::Simsiam => Bootstrap::simsiam(encoder, i64::from(config.byol_width) / 4, seed, style),
        _ => return Objective::Head(head(config)),
    };
    Objective::Bootstrap { networks: networks.into(), momentum: config.byol_momentum, iters: config.iters.unwrap_or(1) }
}

/// The encoder's projector: the published one, or of the paper whose loss is used.
fn projector(config: &Config, spec: EncoderSpec) -> ProjectorSpec {
    if !config.has_bootstrap_loss() {
        return ProjectorSpec::published(spec.arch.features());
    }
    let (hidden, outputs) = (config.byol_hidden().into(), config.byol_width.into());
    ProjectorSpec { hidden, outputs, last_norm: config.problem == Problem::Simsiam }
}

pub(super) fn tricks(config: &Config) -> Tricks {
    let views = config.views() as usize;
    // Without support and query, the last view is mixed.
    let supports = if config.is_meta_head() { config.n_supp as usize } else { views - 1 };
    let mixing = config.qcm.then_some(Mixing { weight: config.mix_reg, supports });
    let decays_over = if config.adpt { config.iters } else { None };
    let rotation = Rotation { weight: config.rottlr, divisor: config.rot_div as usize, decays_over };
    Tricks { mixing, rotation: (config.rottlr > 0.0).then_some(rotation), ori_reg: config.ori_reg }
}

pub(super) fn augment(config: &Config) -> Augment {
    match config.augment {
        config::Augment::Auto => Augment::Auto,
        config::Augment::Cpu => Augment::Cpu,
        config::Augment::Cuda => Augment::Cuda,
    }
}

fn precision(config: &Config) -> Precision {
    match config.precision {
        config::Precision::F32 => Precision::F32,
        config::Precision::Bf16 => Precision::Bf16,
        config::Precision::F16 => Precision::F16,
    }
}

/// The optimizer of pre-training.
pub(super) fn optimizer(config: &Config, parameters: Vec<(String, Tensor)>) -> Optimizer {
    let optimizer = Optimizer::new(rule(config), parameters).clipped(config.clip_grad_norm);
    let optimizer = if config.has_bootstrap_loss() { optimizer.excluding_vectors() } else { optimizer };
    if config.precision == config::Precision::F16 { optimizer.scaled() } else { optimizer }
}

pub(super) fn rule(config: &Config) -> Rule {
    let weight_decay = config.weight_decay;
    match config.opt {
        config::Opt::Sgd => Rule::Sgd(Sgd { momentum: SGD_MOMENTUM, weight_decay }),
        config::Opt::Adam => Rule::Adam(Adam { weight_decay }),
        config::Opt::Lars => {
            Rule::Lars(Lars { exclude_all_bn: config.lars_exclude_all_bn, ..Lars::published(weight_decay) })
        }
    }
}

pub(super) fn shape(config: &Config) -> Shape {
    match config.lr_schedule {
        config::LrSchedule::WarmupAnneal => Shape::WarmupAnneal,
        config::LrSchedule::Linear => Shape::Linear,
        config::LrSchedule::Const => Shape::Const,
        config::LrSchedule::Step => Shape::Step,
    }
}
