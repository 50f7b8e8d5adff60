//! The final judgement of an encoder: kNN and linear probe, beside the same encoder untrained and beside raw pixels.

use std::sync::Arc;

use tch::Tensor;

use super::TrainError;
use super::log::Accuracies;
use super::task::Metrics;
use crate::eval::embed::EmbedSpec;
use crate::eval::{Knn, LinearProbe, Shares, embed, knn, linear_probe};
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
    let shares = |encode: &dyn Fn(&Tensor) -> Tensor| shares(train, test, spec, encode);
    let (knn, linear) = shares(&|images| trained.features(images, Mode::Eval))?;
    let (knn_untrained, linear_untrained) = shares(&|images| untrained.features(images, Mode::Eval))?;
    let (knn_pixels, linear_pixels) = shares(&|images| images.flatten(1, -1))?;
    Ok(Accuracies {
        knn_top1: Some(knn.top1),
        knn_top1_untrained: Some(knn_untrained.top1),
        knn_top1_pixels: Some(knn_pixels.top1),
        linear_top1: Some(linear.top1),
        linear_top1_untrained: Some(linear_untrained.top1),
        linear_top1_pixels: Some(linear_pixels.top1),
        knn_top5: knn.top5,
        knn_top5_untrained: knn_untrained.top5,
        knn_top5_pixels: knn_pixels.top5,
        linear_top5: linear.top5,
        linear_top5_untrained: linear_untrained.top5,
        linear_top5_pixels: linear_pixels.top5,
    })
}

/// The lines of a table of `accuracies`; none where nothing was evaluated, no top-5 where there are five classes or fewer.
pub fn table(accuracies: &Accuracies) -> Vec<String> {
    let Accuracies { knn_top1, knn_top5, linear_top1, linear_top5, .. } = *accuracies;
    let of = accuracies;
    let rows = [
        ("trained encoder", [knn_top1, linear_top1, knn_top5, linear_top5]),
        (
            "untrained encoder",
            [of.knn_top1_untrained, of.linear_top1_untrained, of.knn_top5_untrained, of.linear_top5_untrained],
        ),
        ("raw pixels", [of.knn_top1_pixels, of.linear_top1_pixels, of.knn_top5_pixels, of.linear_top5_pixels]),
    ];
    let columns = if knn_top5.is_some() || linear_top5.is_some() { 4 } else { 2 };
    let cell = |value: &Option<f64>| value.map_or("-".into(), |value| format!("{:.1} %", 100.0 * value));
    let line = |name: &str, cells: [String; 4]| {
        let cells: String = cells[..columns].iter().map(|cell| format!("{cell:>14}")).collect();
        format!("{name:<20}{cells}")
    };
    let rows = rows.iter().filter(|(_, values)| values.iter().any(Option::is_some));
    let mut lines: Vec<_> = rows.map(|(name, values)| line(name, values.each_ref().map(cell))).collect();
    if !lines.is_empty() {
        let heads = ["kNN", "linear", "kNN top-5", "linear top-5"].map(str::to_owned);
        lines.insert(0, line("top-1, held out", heads));
    }
    lines
}

/// Whether labels of `train` and `test` mean the same.
pub fn comparable(train: &ShardSet, test: &ShardSet) -> bool {
    !train.classes().is_empty() && train.classes() == test.classes()
}

/// kNN and linear probe on features of `encode`, learnt from `train`, on `test`.
///
/// # Errors
/// As [`judge`].
pub fn shares(
    train: &Arc<ShardSet>,
    test: &Arc<ShardSet>,
    spec: &EmbedSpec,
    encode: &dyn Fn(&Tensor) -> Tensor,
) -> Result<(Shares, Shares), TrainError> {
    let classes = train.classes().len() as i64;
    let (train, test) = (embed(train, spec, encode)?, embed(test, spec, encode)?);
    let nearest = knn(&train, &test, classes, Knn::default(), &*spec.comm)?;
    Ok((nearest, linear_probe(&train, &test, classes, LinearProbe::default())))
}

/// kNN alone, as [`shares`].
///
/// # Errors
/// As [`judge`].
pub fn nearest(
    train: &Arc<ShardSet>,
    test: &Arc<ShardSet>,
    spec: &EmbedSpec,
    encode: &dyn Fn(&Tensor) -> Tensor,
) -> Result<Shares, TrainError> {
    let classes = train.classes().len() as i64;
    let (train, test) = (embed(train, spec, encode)?, embed(test, spec, encode)?);
    Ok(knn(&train, &test, classes, Knn::default(), &*spec.comm)?)
}

/// `NAME_top1`, and `NAME_top5` where there is one, as numbers of a log line.
pub fn metrics(name: &str, shares: Shares) -> Metrics {
    let top5 = shares.top5.map(|top5| (format!("{name}_top5"), top5));
    [(format!("{name}_top1"), shares.top1)].into_iter().chain(top5).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_top_five_only_where_there_is_one() {
        let two = Accuracies { knn_top1: Some(0.5), linear_top1: Some(0.25), ..Default::default() };
        let lines = table(&two);
        assert_eq!(lines.len(), 2);
        assert!(lines[1].starts_with("trained encoder") && lines[1].ends_with("25.0 %"), "{lines:?}");
        let four = table(&Accuracies { linear_top5: Some(0.75), knn_top5: Some(1.0), ..two });
        assert!(four[0].ends_with("linear top-5") && four[1].ends_with("75.0 %"), "{four:?}");
        assert!(table(&Accuracies::default()).is_empty());
    }
}
