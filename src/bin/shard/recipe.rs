//! `--recipe`.

use metacl::augment::recipe::Recipe;

/// The workloads that data loaders are compared by.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum RecipeName {
    /// One view of 224 px: crop 0.08..1, mirror
    Rrc,
    /// Two views of 224 px: crop, mirror, jitter 0.8 0.8 0.8 0.2, gray, blur
    Simclr,
    /// Two views of 32 px: crop, mirror, jitter 0.4 0.4 0.4 0.1, gray
    Cifar,
}

impl RecipeName {
    pub(super) fn recipe(self) -> Recipe {
        match self {
            Self::Rrc => Recipe::Rrc,
            Self::Simclr => Recipe::Simclr,
            Self::Cifar => Recipe::Cifar,
        }
    }
}
