//! Heads: embeddings of one task to a loss. One head a file, `(z, rows, parameters) -> HeadOut`.
//!
//! - [`nt_xent`]: contrastive, any number of views. [`proto`]: prototypes, any shots.
//!
//! `z` is `[rows, d]`, raw projector output in the order of [`RowLayout`], f32 or f64. Every head normalises its rows itself ([`unit_rows`]),
//! so embeddings gathered from several processes only have to be brought into [`RowLayout::joined`] order.
//!
//! **Temperature means different things**, as published: the contrastive head multiplies by it, the prototype head divides by it.

pub mod nt_xent;
pub mod proto;
#[cfg(test)]
mod testing;

use tch::{Kind, Tensor};

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
}

/// What a head gives for one batch.
#[derive(Debug)]
pub struct HeadOut {
    /// Scalar, differentiable.
    pub loss: Tensor,
    /// `[judged rows]`, bool: whether each row was recognised. Left on its device; reading it waits for the device.
    pub hits: Tensor,
}

impl HeadOut {
    /// Share of the judged rows that were recognised, as a scalar tensor on the device.
    pub fn accuracy(&self) -> Tensor {
        self.hits.to_kind(Kind::Float).mean(Kind::Float)
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
}

impl Head {
    /// Its published name.
    pub const fn name(&self) -> &'static str {
        match self {
            Head::Contrastive { .. } => "contrastive",
            Head::Proto { .. } => "PN",
        }
    }

    /// Whether the head can judge batches of `rows`.
    ///
    /// # Errors
    /// [`HeadError`] where views, shots or temperature do not fit.
    pub fn check(&self, rows: RowLayout) -> Result<(), HeadError> {
        let (head, views) = (self.name(), rows.views);
        let (Head::Contrastive { temperature } | Head::Proto { temperature, .. }) = *self;
        if !(temperature > 0.0 && temperature.is_finite()) {
            return Err(HeadError::Temperature { head, value: temperature.to_string() });
        }
        match *self {
            Head::Contrastive { .. } if views < 2 => Err(HeadError::Views { head, views }),
            Head::Proto { shots: Shots { n_supp, n_query }, .. }
                if n_supp == 0 || n_query == 0 || n_supp.checked_add(n_query) != Some(views) =>
            {
                Err(HeadError::Shots { head, n_supp, n_query, views })
            }
            _ => Ok(()),
        }
    }

    /// Judges embeddings `z` that [`check`](Self::check) allows.
    pub fn judge(&self, z: &Tensor, rows: RowLayout) -> HeadOut {
        match *self {
            Head::Contrastive { temperature } => nt_xent::judge(z, rows, temperature),
            Head::Proto { temperature, shots } => proto::judge(z, rows, shots, temperature),
        }
    }
}

/// `z / max(|z|, 1e-12)` for each row.
pub fn unit_rows(z: &Tensor) -> Tensor {
    let norms = z.norm_scalaropt_dim(2, [1], true);
    z / norms.clamp_min(1e-12)
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
