//! The published recipes by name (Ni et al., ICLR 2022, code; DALI and FFCV benchmarks use the first).

use super::ViewSpec;
use super::policy::{BlurPolicy, CropPolicy, JitterPolicy, ViewPolicy};

/// Width over height of every random crop.
const RATIO: (f64, f64) = (3.0 / 4.0, 4.0 / 3.0);

/// torchvision's `RandomResizedCrop` from `scale_lower` of the area to all of it.
pub fn random_resized_crop(scale_lower: f64) -> CropPolicy {
    CropPolicy::RandomResized { scale: (scale_lower, 1.0), ratio: RATIO }
}

/// Crop and mirror: ImageNet's training transform for evaluation, and `rrc` of the benches.
pub fn crop_and_mirror(scale_lower: f64) -> ViewPolicy {
    ViewPolicy { mirror: 0.5, ..ViewPolicy::crop_only(random_resized_crop(scale_lower)) }
}

/// Self-supervised views of CIFAR: crop, mirror, jitter of strength `s`, gray; no blur.
pub fn ssl_cifar(scale_lower: f64, s: f64) -> ViewPolicy {
    ViewPolicy { jitter: Some(JitterPolicy::simclr(s)), gray: 0.2, ..crop_and_mirror(scale_lower) }
}

/// Self-supervised views of ImageNet: CIFAR's, and blur of sigma 0.2..2 with probability 0.5.
pub fn ssl_imagenet(scale_lower: f64, s: f64) -> ViewPolicy {
    ViewPolicy { blur: Some(BlurPolicy { probability: 0.5, sigma: (0.2, 2.0) }), ..ssl_cifar(scale_lower, s) }
}

/// CIFAR's training transform for evaluation: reflect-pad 4, random crop, mirror.
pub fn padded_crop_and_mirror() -> ViewPolicy {
    ViewPolicy { mirror: 0.5, ..ViewPolicy::crop_only(CropPolicy::RandomPadded { pad: 4 }) }
}

/// ImageNet's test transform: centre crop of 0.875 of each side, resized without keeping the aspect.
pub fn centre() -> ViewPolicy {
    ViewPolicy::crop_only(CropPolicy::Centre { fraction: 0.875 })
}

/// CIFAR's test transform: the image as it is.
pub fn whole() -> ViewPolicy {
    ViewPolicy::crop_only(CropPolicy::Whole)
}

/// The workloads that data loaders are compared by, as the `--recipe` of `metacl-shard`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// One view of 224 px: crop 0.08..1 and mirror.
    Rrc,
    /// Two views of 224 px: the self-supervised ImageNet recipe at strength 1.
    Simclr,
    /// Two views of 32 px: the self-supervised CIFAR recipe at strength 0.5.
    Cifar,
}

impl Recipe {
    /// One policy for each view of an image.
    pub fn views(self) -> Vec<ViewPolicy> {
        match self {
            Recipe::Rrc => vec![crop_and_mirror(0.08)],
            Recipe::Simclr => vec![ssl_imagenet(0.08, 1.0); 2],
            Recipe::Cifar => vec![ssl_cifar(0.08, 0.5); 2],
        }
    }

    /// Size and filter of the views.
    pub fn spec(self) -> ViewSpec {
        ViewSpec::bicubic(if self == Recipe::Cifar { 32 } else { 224 })
    }
}
