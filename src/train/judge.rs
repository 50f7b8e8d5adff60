//! The final judgement of an encoder: kNN and linear probe, beside the same encoder untrained and beside raw pixels.

use std::sync::Arc;

use tch::Tensor;

use super::TrainError;
use crate::eval::embed::{EmbedSpec, Embedding};
use crate::eval::{Knn, LinearProbe, embed, knn_top1, linear_top1};
use crate::nn::{Encoder, Mode};
use crate::shard::ShardSet;

/// Top-1 accuracies of one kind of feature, fractions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accuracies {
    /// Weighted kNN, k = 200, T = 0.1.
    pub knn: f64,
    /// Linear probe.
    pub linear: f64,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// The encoder as it is.
    pub trained: Accuracies,
    /// An encoder of the same kind and seed before its first step.
    pub untrained: Accuracies,
    /// The views themselves, flattened.
    pub pixels: Accuracies,
}

/// Judges `trained` and `untrained` on the labelled sets `train` and `test`.
///
/// # Errors
/// What the loader finds; a sample without a class.
pub fn judge(
    trained: &Encoder,
    untrained: &Encoder,
    train: &Arc<ShardSet>,
    test: &Arc<ShardSet>,
    spec: &EmbedSpec,
) -> Result<Judgement, TrainError> {
    let classes = train.classes().len() as i64;
    let accuracies = |encode: &dyn Fn(&Tensor) -> Tensor| -> Result<Accuracies, TrainError> {
        let (train, test) = both(train, test, spec, encode)?;
        Ok(Accuracies {
            knn: knn_top1(&train, &test, classes, Knn::default()),
            linear: linear_top1(&train, &test, classes, LinearProbe::default()),
        })
    };
    Ok(Judgement {
        trained: accuracies(&|images| trained.features(images, Mode::Eval))?,
        untrained: accuracies(&|images| untrained.features(images, Mode::Eval))?,
        pixels: accuracies(&|images| images.flatten(1, -1))?,
    })
}

/// kNN accuracy of `encode` on `test` with `train` as its bank, a fraction.
///
/// # Errors
/// As [`judge`].
pub fn knn(
    train: &Arc<ShardSet>,
    test: &Arc<ShardSet>,
    spec: &EmbedSpec,
    encode: impl Fn(&Tensor) -> Tensor,
) -> Result<f64, TrainError> {
    let (bank, queries) = both(train, test, spec, &encode)?;
    Ok(knn_top1(&bank, &queries, train.classes().len() as i64, Knn::default()))
}

fn both(
    train: &Arc<ShardSet>,
    test: &Arc<ShardSet>,
    spec: &EmbedSpec,
    encode: &dyn Fn(&Tensor) -> Tensor,
) -> Result<(Embedding, Embedding), TrainError> {
    Ok((embed(train, spec, encode)?, embed(test, spec, encode)?))
}
