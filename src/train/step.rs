//! One training step: forward passes, and the loss as a list of weighted terms.
//!
//! ```text
//! loss = ori_reg * head  +  mix_reg * mix  +  r(it) * rot           (a plain step: head alone, weight 1)
//! mix  = share * head([support, mixed]) + (1 - share) * head([support, mixed with its classes reversed])
//! rot  = cross-entropy of the quarter turns, from a second forward on the first rows, turned
//! r(it) = rottlr, or with adpt rottlr * (1 + cos(pi it / iters)) / 2     (it counts from 1)
//! ```
//! Source: Ni et al., ICLR 2022, published code, with its mixing loss as the combined branch forms it. Mixing works on the query views
//! of any task: each is mixed with the same view of the class opposite, and one forward sees the batch and the mixed rows.
//!
//! Of several processes each sends its own rows through the network; everything after that is computed from everybody's embeddings, on each
//! alike, as one process does. The rotation loss is a mean over rows, to which each adds its own.
//!
//! Lives here: which rows go where. Not here: pixels (`device::rows`), draws (`episode::mix`), heads (`nn::head`).

use std::f64::consts::PI;

use tch::{Kind, Tensor};

use super::task::Forward;
use crate::device::rows::{mixed, reversed_classes, turn_labels, turned};
use crate::episode::mix::{draw_mix, draw_turns};
use crate::episode::{EpisodeSpec, MixPlan, RowLayout};
use crate::nn::HeadOut;
use crate::nn::head::{Solver, rotation, unit_rows};

/// The networks in training mode, as a step sees them.
pub trait Networks {
    /// Embeds this process's images, `[rows, 3, size, size]` in the order of `layout`: the rows of all processes in that of
    /// [`RowLayout::joined`].
    fn embed(&self, images: &Tensor, layout: RowLayout) -> Rows;

    /// The loss of a task whose rows are laid out as `layout`.
    fn judge(&self, rows: &Rows, layout: RowLayout) -> HeadOut;

    /// Images to logits of the four quarter turns, `[rows, 4]`.
    fn turn_logits(&self, images: &Tensor) -> Tensor;

    /// The sum over processes of `part`, a summand of the loss.
    fn sum(&self, part: Tensor) -> Tensor;
}

/// What the loss needs of each image: tensors `[rows, ..]` of equally many rows, embeddings `z` first.
#[derive(Debug)]
pub struct Rows(pub Vec<Tensor>);

impl Rows {
    /// How many rows there are.
    fn count(&self) -> usize {
        self.0[0].size()[0] as usize
    }

    /// Rows `start..start + count`.
    fn part(&self, start: usize, count: usize) -> Self {
        Self(self.0.iter().map(|tensor| tensor.narrow(0, start as i64, count as i64)).collect())
    }

    /// These, then `below`.
    fn over(&self, below: &Self) -> Self {
        Self(self.0.iter().zip(&below.0).map(|(a, b)| Tensor::cat(&[a, b], 0)).collect())
    }

    fn reversed_classes(&self, classes: usize) -> Self {
        Self(self.0.iter().map(|tensor| reversed_classes(tensor, classes)).collect())
    }
}

/// Which tricks are on, and what their terms weigh.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tricks {
    /// Query mixing.
    pub mixing: Option<Mixing>,
    /// Rotation prediction.
    pub rotation: Option<Rotation>,
    /// Weight of the head's own loss where a trick is on.
    pub ori_reg: f64,
}

/// Query mixing.
#[derive(Clone, Copy, Debug)]
pub struct Mixing {
    /// Its weight, `mix_reg`.
    pub weight: f64,
    /// Views of each class that stay as they are; the later ones are mixed.
    pub supports: usize,
}

impl Mixing {
    /// Mixed rows of a batch of `layout`.
    pub const fn rows(&self, layout: RowLayout) -> usize {
        layout.rows() - layout.support(self.supports).end
    }
}

/// Rotation prediction.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// Its weight, `rottlr`.
    pub weight: f64,
    /// One row in so many is turned, the first ones: `rot_div`.
    pub divisor: usize,
    /// The steps over which the weight falls to zero, `adpt`; none: it stays.
    pub decays_over: Option<u64>,
}

impl Rotation {
    /// How many rows of a batch of `layout` are turned.
    pub const fn rows(&self, layout: RowLayout) -> usize {
        layout.rows() / self.divisor
    }

    /// The weight at step `it`, from 1.
    fn weight_at(&self, it: u64) -> f64 {
        let fall = |iters| (1.0 + (PI * it as f64 / iters as f64).cos()) / 2.0;
        self.weight * self.decays_over.map_or(1.0, fall)
    }
}

/// What is random about a step besides its views.
#[derive(Clone, Debug, PartialEq)]
pub struct Draws {
    /// How queries are mixed.
    pub mix: Option<MixPlan>,
    /// Quarter turns of this process's first rows.
    pub turns: Option<Vec<u8>>,
}

impl Tricks {
    /// Weight of the head's own loss: `ori_reg` where a trick is on, else 1.
    pub fn head_weight(&self) -> f64 {
        if self.mixing.is_some() || self.rotation.is_some() { self.ori_reg } else { 1.0 }
    }

    /// Rows that pass through the network besides those of the batch.
    pub fn more_rows(&self, layout: RowLayout) -> usize {
        self.mixing.map_or(0, |mixing| mixing.rows(layout)) + self.rotation.map_or(0, |rotation| rotation.rows(layout))
    }

    /// The draws of `step` (0-based) of a run, for the rows of this process, laid out as `layout`.
    pub fn draw(&self, episodes: &EpisodeSpec, layout: RowLayout, step: u64) -> Draws {
        let (seed, size, rank) = (episodes.seed, episodes.view.size, episodes.rank);
        let count = |rotation: Rotation| rotation.rows(layout.joined(rank.1 as usize));
        let turns = |rotation: Rotation| draw_turns(seed, step, layout, rank, count(rotation));
        Draws { mix: self.mixing.map(|_| draw_mix(seed, step, size)), turns: self.rotation.map(turns) }
    }

    /// The step `it` (from 1) on this process's `images`, `[rows, 3, size, size]` in the order of `layout`.
    /// `mixed_below`: the images and the mixed rows below them, where the kernels that rendered the one have made the other.
    pub fn step(
        &self,
        networks: &dyn Networks,
        images: &Tensor,
        mixed_below: Option<Tensor>,
        layout: RowLayout,
        draws: &Draws,
        it: u64,
    ) -> Forward {
        // What waits for the device comes before the network's work is queued.
        let turned = self.rotation.zip(draws.turns.as_ref()).map(|(rotation, turns)| {
            let labels = turn_labels(turns, images.device());
            (rotation, turned(&images.narrow(0, 0, turns.len() as i64), &labels), labels)
        });
        let mixing = self.mixing.zip(draws.mix.as_ref());

        let images = mixed_below.unwrap_or_else(|| with_mixed(images, layout, mixing));
        // Mixed rows are further views of the same classes.
        let views = images.size()[0] as usize / layout.classes;
        let rows = networks.embed(&images, RowLayout { views, ..layout });
        let layout = layout.joined(rows.count() / (views * layout.classes));
        let original = rows.part(0, layout.rows());
        let head = networks.judge(&original, layout);
        let accuracy = head.accuracy();
        let mut figures = vec![("feature_std", spread(&original))];
        if let Some(Solver { iterations, residual }) = head.solver {
            figures.extend([("solver_iterations", f64::from(iterations).into()), ("solver_residual", residual.into())]);
        }
        let warning = head.solver.filter(|solver| !solver.converged()).map(|Solver { iterations, residual }| {
            format!("the head's solver stopped after {iterations} rounds with a residual of {residual:.1e}; gradients are inexact")
        });
        let mut terms = vec![Term { name: "head", weight: self.head_weight(), loss: head.loss }];
        if let Some((mixing, plan)) = mixing {
            let loss = mixing_loss(networks, &rows, layout, mixing.supports, plan.share);
            terms.push(Term { name: "mix", weight: mixing.weight, loss });
        }
        if let Some((rotation, images, labels)) = turned {
            let part = rotation::loss(&networks.turn_logits(&images), &labels, rotation.rows(layout));
            let loss = networks.sum(part);
            terms.push(Term { name: "rot", weight: rotation.weight_at(it), loss });
        }
        Forward { loss: total(&terms), accuracy, terms: logged(&terms), figures, warning }
    }
}

/// One summand of the loss.
struct Term {
    name: &'static str,
    weight: f64,
    loss: Tensor,
}

fn total(terms: &[Term]) -> Tensor {
    terms.iter().map(|term| &term.loss * term.weight).reduce(|sum, term| sum + term).expect("the head's term is there")
}

/// Each term without its weight.
fn logged(terms: &[Term]) -> Vec<(&'static str, Tensor)> {
    terms.iter().map(|term| (term.name, term.loss.detach())).collect()
}

/// The batch, and below it the mixed copies of its query views.
fn with_mixed(images: &Tensor, layout: RowLayout, mixing: Option<(Mixing, &MixPlan)>) -> Tensor {
    let Some((Mixing { supports, .. }, plan)) = mixing else { return images.shallow_clone() };
    let first = layout.support(supports).end as i64;
    let queries = images.narrow(0, first, layout.rows() as i64 - first);
    Tensor::cat(&[images, &mixed(&queries, layout.classes, plan)], 0)
}

/// `rows`: those of the batch, then the mixed ones.
fn mixing_loss(networks: &dyn Networks, rows: &Rows, layout: RowLayout, supports: usize, share: f64) -> Tensor {
    let support = rows.part(0, layout.support(supports).end);
    let mixed = rows.part(layout.rows(), layout.rows() - layout.support(supports).end);
    let major = networks.judge(&support.over(&mixed), layout);
    // Reversed, each class meets the rows of which it is the minor part.
    let minor = networks.judge(&support.over(&mixed.reversed_classes(layout.classes)), layout);
    major.loss * share + minor.loss * (1.0 - share)
}

/// Standard deviation of the normalised embeddings over the rows, mean over the dimensions: near `1 / sqrt(d)` where they fill the sphere, 0
/// where they have collapsed to a point (Chen and He, CVPR 2021, figure 2).
fn spread(rows: &Rows) -> Tensor {
    unit_rows(&rows.0[0].detach()).std_dim([0].as_slice(), false, false).mean(None::<Kind>)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rotation_weight_falls_to_zero_with_half_a_cosine() {
        let rotation = Rotation { weight: 0.4, divisor: 2, decays_over: Some(200) };
        assert!((rotation.weight_at(50) - 0.4 * (1.0 + (PI / 4.0).cos()) / 2.0).abs() < 1e-15);
        assert!(rotation.weight_at(200).abs() < 1e-15);
        assert_eq!(Rotation { decays_over: None, ..rotation }.weight_at(200), 0.4);
        assert_eq!(rotation.rows(RowLayout::new(5, 3)), 7);
    }
}
