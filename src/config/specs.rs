//! What the stages need, worked out of the keys.

use crate::augment::{BlurPolicy, JitterPolicy, TaskPolicy, ViewPolicy, recipe};

use super::error::{ConfigError, Origin};
use super::keys::Config;
use super::value::{Arch, Dist, Family, Head, Problem, TaskRot, Value};

/// Policies of the views of a class in pre-training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ViewPolicies {
    /// Views `0..n_supp`.
    pub support: ViewPolicy,
    /// The views after them.
    pub query: ViewPolicy,
}

/// Policies of the one view of an image in evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EvalPolicies {
    /// While the linear layer trains.
    pub train: ViewPolicy,
    /// For features and test accuracy.
    pub test: ViewPolicy,
}

/// The published code's blur: standard deviation in output pixels.
const BLUR_SIGMA: (f64, f64) = (0.2, 2.0);

impl Config {
    /// Side of a view, in pixels.
    pub fn image_size(&self) -> u32 {
        self.image_size.unwrap_or(match self.data {
            Family::Cifar => 32,
            Family::Imagenet => 224,
        })
    }

    /// Views per image in pre-training.
    pub fn views(&self) -> u32 {
        let shots = self.n_supp.saturating_add(self.n_query);
        self.multiplier.unwrap_or(if self.is_meta_head() { shots } else { 2 })
    }

    /// Whether the head solves a task of support and query views.
    pub fn is_meta_head(&self) -> bool {
        !self.has_bootstrap_loss() && self.head != Head::Contrastive
    }

    /// Whether the loss predicts one view's embedding from another's, without a head.
    pub fn has_bootstrap_loss(&self) -> bool {
        matches!(self.problem, Problem::Byol | Problem::Simsiam)
    }

    /// Whether an encoder is trained without labels.
    pub fn pretrains(&self) -> bool {
        self.problem == Problem::SimClr || self.has_bootstrap_loss()
    }

    /// Name of what is minimised, for a checkpoint: the head, or the problem where it has none.
    pub fn objective_name(&self) -> String {
        if self.has_bootstrap_loss() { self.problem.show() } else { self.head.show() }
    }

    /// Hidden units of BYOL's projector and predictor: the paper's for photographs, less for small images and networks.
    pub fn byol_hidden(&self) -> u32 {
        self.byol_hidden.unwrap_or(match (self.arch, self.data) {
            (Arch::Conv4, _) => 512,
            (_, Family::Cifar) => 1024,
            (_, Family::Imagenet) => 4096,
        })
    }

    /// Probability that a view is blurred, where its role has none of its own.
    pub fn blur(&self) -> f64 {
        self.blur.unwrap_or(match self.data {
            Family::Cifar => 0.0,
            Family::Imagenet => 0.5,
        })
    }

    /// Whether the network has the 3x3 stem for small images.
    pub fn has_small_stem(&self) -> bool {
        self.data == Family::Cifar
    }

    /// How views of pre-training are drawn (training and test alike): the recipe of `data`, with each role's own strengths.
    pub fn view_policies(&self) -> ViewPolicies {
        let role = |scale: Option<f64>, strength: Option<f64>, blur: Option<f64>| {
            let (scale, strength) = (scale.unwrap_or(self.scale_lower), strength.unwrap_or(self.color_dist_s));
            // The two published recipes differ in blur alone, which has a key.
            let base = recipe::ssl_cifar(scale, strength);
            let probability = blur.unwrap_or(self.blur());
            ViewPolicy { blur: (probability > 0.0).then_some(BlurPolicy { probability, sigma: BLUR_SIGMA }), ..base }
        };
        ViewPolicies {
            support: role(self.supp_scale_lower, self.supp_color_dist_s, self.supp_blur),
            query: role(self.query_scale_lower, self.query_color_dist_s, self.query_blur),
        }
    }

    /// How classes are turned.
    pub fn task_policy(&self) -> TaskPolicy {
        match self.task_rot {
            TaskRot::Expand => TaskPolicy::Expand,
            TaskRot::Replace if self.rottlr_p > 0.0 => TaskPolicy::Replace { probability: self.rottlr_p },
            TaskRot::Replace => TaskPolicy::Upright,
        }
    }

    /// How views of an evaluation are drawn (the published code, `datautils`): on CIFAR by the words of `augmentation`.
    /// `aug false` gives training the test views.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Rule`] for words of `augmentation` that are unknown or name two crops.
    pub fn eval_policies(&self) -> Result<EvalPolicies, ConfigError> {
        let (train, test) = match self.data {
            Family::Cifar => (self.cifar_eval_train()?, recipe::whole()),
            Family::Imagenet => (recipe::crop_and_mirror(self.scale_lower), recipe::centre()),
        };
        Ok(EvalPolicies { train: if self.aug { train } else { test }, test })
    }

    fn cifar_eval_train(&self) -> Result<ViewPolicy, ConfigError> {
        let has = |word| self.augmentation.contains(word);
        let rest = ["RandomResizedCrop", "RandomCrop", "color_distortion"]
            .iter()
            .fold(self.augmentation.clone(), |text, word| text.replace(word, ""));
        let crop = match (has("RandomResizedCrop"), has("RandomCrop")) {
            _ if rest.contains(char::is_alphanumeric) => None,
            (true, true) => None,
            (true, false) => Some(recipe::random_resized_crop(self.scale_lower)),
            (false, true) => Some(recipe::padded_crop_and_mirror().crop),
            (false, false) => Some(recipe::whole().crop),
        };
        let crop = crop.ok_or_else(|| ConfigError::Rule {
            origin: Origin::Default,
            key: "augmentation",
            value: self.augmentation.show(),
            rule: "it takes RandomResizedCrop or RandomCrop, and color_distortion, joined by +".to_owned(),
        })?;
        let distorted = has("color_distortion");
        Ok(ViewPolicy {
            mirror: 0.5,
            jitter: distorted.then(|| JitterPolicy::simclr(self.color_dist_s)),
            gray: if distorted { 0.2 } else { 0.0 },
            ..ViewPolicy::crop_only(crop)
        })
    }

    /// The head's temperature.
    pub fn temperature(&self) -> f64 {
        self.temperature.unwrap_or(match self.head {
            Head::Contrastive | Head::Svm => 10.0,
            Head::Pn => 0.2,
            Head::R2d2 => 0.1,
        })
    }

    /// What the temperature does to this head's logits, in words, for the start of a run.
    pub fn logit_scale(&self) -> String {
        let t = self.temperature();
        match self.head {
            _ if self.has_bootstrap_loss() => format!("{}: 2 - 2 cosine of prediction and target", self.problem.show()),
            Head::Contrastive => format!("head contrastive, temperature {t}: logits are {t} x cosine"),
            Head::Pn => {
                format!("head PN, temperature {t}: logits are -squared distance / {t}; one-shot: {} x cosine", 2.0 / t)
            }
            Head::R2d2 => format!("head R2D2, temperature {t}: inner products are {} x cosine", 1.0 / t),
            Head::Svm => format!("head SVM, temperature {t}: logits are {t} x the machine's scores"),
        }
    }

    /// How many processes this machine runs where torch can use the GPUs that `gpus` counts; it is asked only where that matters.
    pub fn processes(&self, gpus: impl FnOnce() -> u32) -> u32 {
        self.nproc.unwrap_or_else(|| match self.dist {
            Dist::Dp => 1,
            Dist::Ddp => gpus().max(1),
        })
    }

    /// How many machines run processes of this run: `world_size`, unless it is of one process.
    pub fn machines(&self) -> u32 {
        if self.dist == Dist::Ddp || self.nproc.is_some() { self.world_size } else { 1 }
    }

    /// Where processes meet; none: of one machine, anywhere.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Rule`] where there are several machines and no address.
    pub fn meeting_place(&self) -> Result<Option<(&str, u16)>, ConfigError> {
        let place = self.dist_address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        // The default is every run's: several on one machine would meet each other.
        let left_open = place.is_none() || self.dist_address == Config::default().dist_address;
        match (self.machines(), left_open) {
            (1, true) => Ok(None),
            (machines, _) if place.is_none() => Err(ConfigError::Rule {
                origin: Origin::Default,
                key: "dist_address",
                value: self.dist_address.show(),
                rule: format!(
                    "{machines} machines (world_size) meet there: give HOST:PORT of the first, or --world_size 1 for this one alone"
                ),
            }),
            _ => Ok(place),
        }
    }

    /// Images of a batch that each of `processes` (over all machines) takes in pre-training.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Rule`] where `batch_size` does not divide, or not into pairs that are mixed.
    pub fn batch_share(&self, processes: u64) -> Result<u64, ConfigError> {
        let share = self.batch_size.checked_div(processes).unwrap_or(0);
        let rule = if share == 0 || share.checked_mul(processes) != Some(self.batch_size) {
            format!("it must divide by the {processes} processes (world_size x nproc)")
        } else if self.qcm && processes > 1 && share % 2 == 1 {
            format!(
                "with qcm each of the {processes} processes needs an even number of images: it mixes two of its own"
            )
        } else {
            return Ok(share);
        };
        Err(ConfigError::Rule { origin: Origin::Default, key: "batch_size", value: self.batch_size.show(), rule })
    }

    /// The architecture of a network that starts from nothing: evaluation without `encoder_ckpt` judges a random ResNet-50.
    pub fn random_arch(&self) -> Arch {
        if self.arch == Arch::Linear { Arch::ResNet50 } else { self.arch }
    }
}
