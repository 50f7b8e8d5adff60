//! Lines of numbers to plots: which curves share one.

use std::collections::{BTreeMap, BTreeSet};

use super::plot::{Curve, Plot};

/// Most points of a curve; more are averaged in groups that follow each other.
const POINTS: usize = 600;
/// What is no curve.
const SKIPPED: [&str; 2] = ["iter", "train_epoch"];

/// Whether a number of this name belongs into a plot.
type Belongs = fn(&str) -> bool;

/// Plots and what belongs into them, in their order: names, or how they begin or end.
const PLOTS: [(&str, Belongs); 7] = [
    ("Loss", |name| name.ends_with("_loss") || name == "train_loss_mean"),
    ("Terms of the loss", |name| name.starts_with("term_")),
    ("Accuracy within the task", |name| name.ends_with("_acc")),
    ("Accuracy of features", |name| ["knn_", "linear_", "few_"].iter().any(|start| name.starts_with(start))),
    ("Learning rate", |name| name == "lr"),
    ("Images per second", |name| name == "images_per_s"),
    ("Share of time waiting for data", |name| name == "data_wait_share"),
];

/// The plots of `lines`; those without a number are left out.
pub(super) fn plots(lines: &[BTreeMap<&str, &str>]) -> Vec<Plot> {
    let names: BTreeSet<&str> = lines.iter().flat_map(|line| line.keys().copied()).collect();
    let names: Vec<&str> = names.into_iter().filter(|name| !SKIPPED.contains(name)).collect();
    let known = PLOTS.iter().map(|(title, belongs)| {
        let curves = names.iter().filter(|name| belongs(name)).map(|name| curve(lines, name));
        Plot { title: (*title).to_owned(), curves: curves.collect() }
    });
    let others = names.iter().filter(|name| !PLOTS.iter().any(|(_, belongs)| belongs(name)));
    let others = others.map(|name| Plot { title: (*name).to_owned(), curves: vec![curve(lines, name)] });
    let drawn = |plot: &Plot| plot.curves.iter().any(|curve| curve.points.iter().any(|(_, y)| y.is_finite()));
    // A lone term is the loss.
    let says_more = |plot: &Plot| plot.title != PLOTS[1].0 || plot.curves.len() > 1;
    known.chain(others).filter(|plot| drawn(plot) && says_more(plot)).collect()
}

/// The points of `name`; a number that is none is NaN, a gap.
fn curve(lines: &[BTreeMap<&str, &str>], name: &str) -> Curve {
    let point = |line: &BTreeMap<&str, &str>| {
        let x: f64 = line.get("iter")?.parse().ok()?;
        Some((x, line.get(name)?.parse().unwrap_or(f64::NAN)))
    };
    let points: Vec<(f64, f64)> = lines.iter().filter_map(point).collect();
    let group = points.len().div_ceil(POINTS).max(1);
    let mean = |points: &[(f64, f64)]| {
        let sum = points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (sum.0 / points.len() as f64, sum.1 / points.len() as f64)
    };
    let last = points.iter().rev().map(|point| point.1).find(|y| y.is_finite());
    Curve { name: name.to_owned(), last, points: points.chunks(group).map(mean).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_find_their_plots() {
        let lines: Vec<_> = [
            r#"{"iter":1,"train_loss":2.5,"lr":0.1,"term_head":2.5,"train_epoch":0.1}"#,
            r#"{"iter":2,"train_loss":null,"lr":0.1,"term_head":2.5,"train_epoch":0.2,"novelty":7}"#,
            r#"{"iter":2,"test_loss":2.25,"knn_top1":0.5}"#,
        ]
        .iter()
        .filter_map(|line| super::super::csv::cells(line))
        .collect();
        let plots = plots(&lines);
        let titles: Vec<&str> = plots.iter().map(|plot| plot.title.as_str()).collect();
        assert_eq!(titles, ["Loss", "Accuracy of features", "Learning rate", "novelty"]);
        let names: Vec<&str> = plots[0].curves.iter().map(|curve| curve.name.as_str()).collect();
        assert_eq!(names, ["test_loss", "train_loss"]);
        assert_eq!(plots[0].curves[1].last, Some(2.5));
        assert!(plots[0].curves[1].points[1].1.is_nan());
    }

    #[test]
    fn long_curves_are_averaged() {
        let text: Vec<String> = (0..1800).map(|i| format!("{{\"iter\":{i},\"lr\":{}}}", i % 3)).collect();
        let lines: Vec<_> = text.iter().filter_map(|line| super::super::csv::cells(line)).collect();
        let plot = &plots(&lines)[0];
        assert_eq!(plot.curves[0].points.len(), 600);
        assert_eq!(plot.curves[0].points[1], (4.0, 1.0));
        assert_eq!(plot.curves[0].last, Some(2.0));
    }
}
