//! The final judgement of an encoder: kNN and linear probe, beside the same encoder untrained and beside raw pixels.

use std::sync::Arc;

use tch::Tensor;

use super::TrainError;
use super::log::Accuracies;
use crate::eval::embed::EmbedSpec;
use crate::eval::{Knn, LinearProbe, embed, knn_top1, linear_top1};
use crate::nn::{Encoder, Mode};
use crate::shard::ShardSet;

/// Judges `trained`, and beside it `untrained` and raw pixels, on the labelled sets `train` and `test`.
///
/// # Errors
/// What the loader finds; a sample without a class.
pub fn judge(
    trained: &Encoder,
    untrained: &Encoder,
    train: &Arc<ShardSet>,
    test: &Arc<ShardSet>,
    spec: &EmbedSpec,
) -> Result<Accuracies, TrainError> {
    let top1 = |encode: &dyn Fn(&Tensor) -> Tensor| {
        top1(train, test, spec, encode).map(|(knn, linear)| (Some(knn), Some(linear)))
    };
    let (knn_top1, linear_top1) = top1(&|images| trained.features(images, Mode::Eval))?;
    let (knn_top1_untrained, linear_top1_untrained) = top1(&|images| untrained.features(images, Mode::Eval))?;
    let (knn_top1_pixels, linear_top1_pixels) = top1(&|images| images.flatten(1, -1))?;
    Ok(Accuracies {
        knn_top1,
        knn_top1_untrained,
        knn_top1_pixels,
        linear_top1,
        linear_top1_untrained,
        linear_top1_pixels,
    })
}

/// The lines of a table of `accuracies`; none where nothing was evaluated.
pub fn table(accuracies: &Accuracies) -> Vec<String> {
    let rows = [
        ("trained encoder", accuracies.knn_top1, accuracies.linear_top1),
        ("untrained encoder", accuracies.knn_top1_untrained, accuracies.linear_top1_untrained),
        ("raw pixels", accuracies.knn_top1_pixels, accuracies.linear_top1_pixels),
    ];
    let cell = |value: Option<f64>| value.map_or("-".into(), |value| format!("{:.1} %", 100.0 * value));
    let rows = rows.into_iter().filter(|(_, knn, linear)| knn.is_some() || linear.is_some());
    let mut lines: Vec<_> =
        rows.map(|(name, knn, linear)| format!("{name:<20}{:>10}{:>10}", cell(knn), cell(linear))).collect();
    if !lines.is_empty() {
        lines.insert(0, format!("{:<20}{:>10}{:>10}", "top-1, held out", "kNN", "linear"));
    }
    lines
}

/// Whether labels of `train` and `test` mean the same.
pub fn comparable(train: &ShardSet, test: &ShardSet) -> bool {
    !train.classes().is_empty() && train.classes() == test.classes()
}

/// kNN and linear accuracy of `encode` on `test`, learnt from `train`; fractions.
///
/// # Errors
/// As [`judge`].
pub fn top1(
    train: &Arc<ShardSet>,
    test: &Arc<ShardSet>,
    spec: &EmbedSpec,
    encode: &dyn Fn(&Tensor) -> Tensor,
) -> Result<(f64, f64), TrainError> {
    let classes = train.classes().len() as i64;
    let (train, test) = (embed(train, spec, encode)?, embed(test, spec, encode)?);
    let knn = knn_top1(&train, &test, classes, Knn::default());
    Ok((knn, linear_top1(&train, &test, classes, LinearProbe::default())))
}
