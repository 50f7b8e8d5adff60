//! Heads: embeddings of one task to a loss. One head a file, `(z, rows, parameters) -> HeadOut`.
//!
//! - [`nt_xent`]: contrastive, any number of views. [`proto`]: prototypes, [`r2d2`]: ridge regression, [`svm`]: support vectors, any shots.
//! - [`byol`]: predictions against targets, any number of views. [`rotation`]: the loss of rotation prediction, on logits.
//!
//! `z` is `[rows, d]`, raw projector output in the order of [`RowLayout`], f32 or f64. Every head normalises its rows itself ([`unit_rows`]),
//! so embeddings gathered from several processes only have to be brought into [`RowLayout::joined`] order.
//!
//! **Temperature means different things**, as published: the contrastive head and the support vector head multiply by it, the
//! prototype head and the ridge head divide by it.

pub mod byol;
pub mod nt_xent;
pub mod proto;
pub mod r2d2;
pub mod rotation;
pub mod svm;
#[cfg(test)]
mod testing;

use tch::{Device, Kind, Reduction, Tensor};

use crate::episode::RowLayout;

/// What can be wrong about a head.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadError {
    /// One view has no positive.
    #[error("{head} needs at least 2 views of an image, multiplier is {views}; set multiplier to 2 or more")]
    Views {
        /// Published name of the head.
        head: &'static str,
        /// Views of each class.
        views: usize,
    },
    /// Support and query do not add up to the views.
    #[error(
        "{head} needs n_supp + n_query = multiplier with both at least 1; n_supp is {n_supp}, n_query {n_query}, multiplier {views}"
    )]
    Shots {
        /// Published name of the head.
        head: &'static str,
        /// Support views of each class.
        n_supp: usize,
        /// Query views of each class.
        n_query: usize,
        /// Views of each class.
        views: usize,
    },
    /// The temperature is zero, negative or no number.
    #[error("{head} needs a positive temperature, got {value}")]
    Temperature {
        /// Published name of the head.
        head: &'static str,
        /// The temperature, as printed.
        value: String,
    },
    /// The ridge is negative or no number.
    #[error("{head} needs reg of at least 0, got {value}")]
    Reg {
        /// Published name of the head.
        head: &'static str,
        /// The ridge, as printed.
        value: String,
    },
    /// The classes do not fall into groups of one size with at least two ways.
    #[error(
        "{head} cuts a batch into tasks of one size with at least 2 classes; {tasks} tasks do not fit {classes} classes; set svm_tasks to a divisor of at most half of them"
    )]
    Tasks {
        /// Published name of the head.
        head: &'static str,
        /// Tasks of a batch.
        tasks: usize,
        /// Classes of a batch.
        classes: usize,
    },
}

/// What a head gives for one batch.
#[derive(Debug)]
pub struct HeadOut {
    /// Scalar, differentiable.
    pub loss: Tensor,
    /// `[judged rows]`, bool: whether each row was recognised. Left on its device; reading it waits for the device.
    pub hits: Tensor,
    /// How a head with an iterative solver fared; `None`: closed form.
    pub solver: Option<Solver>,
}

impl HeadOut {
    /// Mean cross-entropy of `logits: [judged rows, classes]` against `labels: [judged rows]`, int64; a row is recognised where the largest
    /// logit is its label's.
    fn of_logits(logits: &Tensor, labels: &Tensor) -> Self {
        let loss = logits.cross_entropy_loss(labels, None::<&Tensor>, Reduction::Mean, -100, 0.0);
        Self { loss, hits: logits.detach().argmax(1, false).eq_tensor(labels), solver: None }
    }

    /// Share of the judged rows that were recognised, as a scalar tensor on the device.
    pub fn accuracy(&self) -> Tensor {
        self.hits.to_kind(Kind::Float).mean(Kind::Float)
    }
}

/// How an iterative solver ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Solver {
    /// Its iterations; of several tasks, the most.
    pub iterations: u32,
    /// Largest violation of the optimality conditions; of several tasks, the largest. NaN where the input was not finite.
    pub residual: f64,
}

impl Solver {
    /// Whether the solution is good for exact gradients: a residual below 1e-8.
    pub fn converged(&self) -> bool {
        self.residual < 1e-8
    }

    /// Both at their worst; NaN is worse than any number.
    fn or_worse(self, other: Self) -> Self {
        // Not `f64::max`, which drops a NaN.
        let residual = if self.residual <= other.residual || other.residual.is_nan() { other } else { self }.residual;
        Self { iterations: self.iterations.max(other.iterations), residual }
    }
}

/// Support and query views of each class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shots {
    /// The first views.
    pub n_supp: usize,
    /// The views after them.
    pub n_query: usize,
}

/// A head with its parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Head {
    /// `contrastive`: [`nt_xent`].
    Contrastive {
        /// Cosines are multiplied by it.
        temperature: f64,
    },
    /// `PN`: [`proto`].
    Proto {
        /// Squared distances are divided by it.
        temperature: f64,
        /// Roles of the views.
        shots: Shots,
    },
    /// `R2D2`: [`r2d2`].
    R2d2 {
        /// Inner products are divided by it.
        temperature: f64,
        /// Lambda of the ridge, at least 0.
        reg: f64,
        /// Roles of the views.
        shots: Shots,
    },
    /// `SVM`: [`svm`].
    Svm {
        /// Logits are multiplied by it.
        temperature: f64,
        /// Roles of the views.
        shots: Shots,
        /// Contiguous groups of classes, each a task of its own.
        tasks: usize,
    },
}

impl Head {
    /// Its published name.
    pub const fn name(&self) -> &'static str {
        match self {
            Head::Contrastive { .. } => "contrastive",
            Head::Proto { .. } => "PN",
            Head::R2d2 { .. } => "R2D2",
            Head::Svm { .. } => "SVM",
        }
    }

    /// Whether the head can judge batches of `rows`.
    ///
    /// # Errors
    /// [`HeadError`] where views, shots, temperature, ridge or tasks do not fit.
    pub fn check(&self, rows: RowLayout) -> Result<(), HeadError> {
        let (head, RowLayout { classes, views, .. }) = (self.name(), rows);
        let (temperature, shots) = match *self {
            Head::Contrastive { temperature } => (temperature, None),
            Head::Proto { temperature, shots }
            | Head::R2d2 { temperature, shots, .. }
            | Head::Svm { temperature, shots, .. } => (temperature, Some(shots)),
        };
        if !(temperature > 0.0 && temperature.is_finite()) {
            return Err(HeadError::Temperature { head, value: temperature.to_string() });
        }
        match shots {
            None if views < 2 => return Err(HeadError::Views { head, views }),
            Some(Shots { n_supp, n_query })
                if n_supp == 0 || n_query == 0 || n_supp.checked_add(n_query) != Some(views) =>
            {
                return Err(HeadError::Shots { head, n_supp, n_query, views });
            }
            _ => {}
        }
        match *self {
            Head::R2d2 { reg, .. } if !(reg >= 0.0 && reg.is_finite()) => {
                Err(HeadError::Reg { head, value: reg.to_string() })
            }
            Head::Svm { tasks, .. } if tasks == 0 || !classes.is_multiple_of(tasks) || classes / tasks < 2 => {
                Err(HeadError::Tasks { head, tasks, classes })
            }
            _ => Ok(()),
        }
    }

    /// Judges embeddings `z` that [`check`](Self::check) allows.
    pub fn judge(&self, z: &Tensor, rows: RowLayout) -> HeadOut {
        match *self {
            Head::Contrastive { temperature } => nt_xent::judge(z, rows, temperature),
            Head::Proto { temperature, shots } => proto::judge(z, rows, shots, temperature),
            Head::R2d2 { temperature, reg, shots } => r2d2::judge(z, rows, shots, temperature, reg),
            Head::Svm { temperature, shots, tasks } => svm::judge(z, rows, shots, temperature, tasks),
        }
    }
}

/// `z / max(|z|, 1e-12)` for each row.
pub fn unit_rows(z: &Tensor) -> Tensor {
    let norms = z.norm_scalaropt_dim(2, [1], true);
    z / norms.clamp_min(1e-12)
}

/// Classes of the query rows in row order, `[n_query * classes]`, int64.
fn query_labels(classes: usize, shots: Shots, device: Device) -> Tensor {
    Tensor::arange(classes as i64, (Kind::Int64, device)).repeat([shots.n_query as i64])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_it_cannot_judge() {
        let rows = RowLayout::new(4, 3);
        let proto = |n_supp, n_query| Head::Proto { temperature: 0.2, shots: Shots { n_supp, n_query } };
        assert_eq!(proto(1, 2).check(rows), Ok(()));
        for (n_supp, n_query) in [(1, 1), (0, 3), (3, 0), (usize::MAX, 4)] {
            assert!(matches!(proto(n_supp, n_query).check(rows), Err(HeadError::Shots { views: 3, .. })));
        }
        let contrastive = Head::Contrastive { temperature: 10.0 };
        assert_eq!(contrastive.check(rows), Ok(()));
        assert!(matches!(contrastive.check(RowLayout::new(4, 1)), Err(HeadError::Views { views: 1, .. })));
        for temperature in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let refused = Head::Contrastive { temperature }.check(rows);
            assert!(matches!(refused, Err(HeadError::Temperature { .. })));
        }
        let shots = Shots { n_supp: 1, n_query: 2 };
        for (reg, fits) in [(0.0, true), (50.0, true), (-1.0, false), (f64::NAN, false), (f64::INFINITY, false)] {
            let checked = Head::R2d2 { temperature: 0.1, reg, shots }.check(rows);
            assert!(if fits { checked.is_ok() } else { matches!(checked, Err(HeadError::Reg { .. })) }, "{reg}");
        }
        for (tasks, fits) in [(1, true), (2, true), (4, false), (3, false), (0, false), (8, false)] {
            let checked = Head::Svm { temperature: 10.0, shots, tasks }.check(rows);
            assert!(if fits { checked.is_ok() } else { matches!(checked, Err(HeadError::Tasks { .. })) }, "{tasks}");
        }
    }

    #[test]
    fn the_worst_solver_is_reported() {
        let solver = |iterations, residual| Solver { iterations, residual };
        assert_eq!(solver(3, 1e-9).or_worse(solver(5, 1e-12)), solver(5, 1e-9));
        assert_eq!(solver(3, 1e-9).or_worse(solver(2, 1e-3)), solver(3, 1e-3));
        assert!(solver(3, f64::NAN).or_worse(solver(2, 0.0)).residual.is_nan());
        assert!(solver(2, 0.0).or_worse(solver(3, f64::NAN)).residual.is_nan());
        assert!(solver(1, 9e-9).converged() && !solver(1, 1e-8).converged() && !solver(1, f64::NAN).converged());
    }

    #[test]
    fn a_zero_row_stays_zero_and_has_a_finite_gradient() {
        let z = Tensor::from_slice(&[0.0, 0.0, 3.0, 4.0]).reshape([2, 2]).set_requires_grad(true);
        let unit = unit_rows(&z);
        unit.sum(Kind::Double).backward();
        assert_eq!(Vec::<f64>::try_from(unit.flatten(0, -1)).unwrap(), [0.0, 0.0, 0.6, 0.8]);
        assert!(bool::try_from(z.grad().isfinite().all()).unwrap());
    }
}
