//! What the stages need, out of a config.

use std::num::NonZeroUsize;

use tch::Device;

use crate::augment::ViewSpec;
use crate::config::{self, Config};
use crate::dist::World;
use crate::episode::{EpisodeSpec, Order};
use crate::eval::embed::EmbedSpec;
use crate::loader::LoaderOptions;
use crate::nn::head::Shots;
use crate::nn::{Arch, EncoderSpec, Head, InitStyle, Stem};
use crate::optim::schedule::Shape;
use crate::optim::{Adam, Lars, Rule, Sgd};
use crate::train::TrainError;

/// Momentum of `sgd`, as published.
const SGD_MOMENTUM: f64 = 0.9;

/// Filters of the Conv-4 blocks, the few-shot standard's small variant.
const CONV4_FILTERS: u32 = 32;

pub(super) fn episodes(config: &Config, seed: u64) -> EpisodeSpec {
    let policies = config.view_policies();
    let world = World::single();
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

pub(super) fn embed_spec(config: &Config, seed: u64, device: Device) -> Result<EmbedSpec, TrainError> {
    Ok(EmbedSpec {
        policy: config.eval_policies()?.test,
        view: ViewSpec::bicubic(config.image_size()),
        batch: images(config.test_bs),
        samples: config.eval_samples.unwrap_or(0),
        seed,
        loader: loader_options(config),
        device,
    })
}

/// A batch size as plans count it; one that is larger does not fit any dataset either.
pub(super) fn images(batch: u64) -> u32 {
    u32::try_from(batch).unwrap_or(u32::MAX)
}

pub(super) fn loader_options(config: &Config) -> LoaderOptions {
    let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    LoaderOptions { workers: config.workers.map_or_else(cores, |workers| workers as usize), ..LoaderOptions::default() }
}

pub(super) fn arch(arch: config::Arch) -> Arch {
    match arch {
        config::Arch::ResNet18 => Arch::ResNet18,
        config::Arch::ResNet50 | config::Arch::Linear => Arch::ResNet50,
        config::Arch::Conv4 => Arch::Conv4 { filters: CONV4_FILTERS },
    }
}

pub(super) fn encoder_spec(config: &Config, arch: Arch) -> EncoderSpec {
    EncoderSpec { arch, stem: if config.has_small_stem() { Stem::Cifar } else { Stem::ImageNet } }
}

pub(super) fn init(config: &Config) -> InitStyle {
    match config.init {
        config::Init::Torch => InitStyle::Torch,
        config::Init::Tf => InitStyle::Tf,
    }
}

pub(super) fn head(config: &Config) -> Head {
    let temperature = config.temperature();
    let shots = Shots { n_supp: config.n_supp as usize, n_query: config.n_query as usize };
    match config.head {
        config::Head::Contrastive => Head::Contrastive { temperature },
        config::Head::Pn => Head::Proto { temperature, shots },
        config::Head::R2d2 => Head::R2d2 { temperature, reg: config.reg, shots },
        config::Head::Svm => Head::Svm { temperature, shots, tasks: config.svm_tasks as usize },
    }
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
