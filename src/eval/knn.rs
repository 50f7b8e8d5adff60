//! Weighted k nearest neighbours (Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination",
//! CVPR 2018, section 3.4).
//!
//! `score(c) = Σ_{i in the k nearest} exp(cos(q, x_i) / T) [y_i = c]`; the class of the highest score is the answer.

use tch::Tensor;

use super::EvalError;
use super::embed::Embedding;
use super::shares::{Counter, Shares};
use crate::dist::Comm;
use crate::nn::head::unit_rows;

/// Queries compared at once: bounds the memory of the similarities.
const CHUNK: i64 = 512;

/// Neighbours and temperature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Knn {
    /// Neighbours that vote; at most as many as there are reference samples.
    pub k: i64,
    /// Temperature of the votes.
    pub temperature: f64,
}

impl Default for Knn {
    /// k = 200, T = 0.1, the usual choice.
    fn default() -> Self {
        Self { k: 200, temperature: 0.1 }
    }
}

/// Shares of `test` whose class the neighbours in `train` vote for.
///
/// `classes` is the number of classes; both embeddings are normalised here. Every rank of `comm` has both whole and takes a part of `test`.
///
/// # Errors
/// [`EvalError::Dist`] where a rank is gone.
pub fn knn(train: &Embedding, test: &Embedding, classes: i64, knn: Knn, comm: &dyn Comm) -> Result<Shares, EvalError> {
    let _no_grad = tch::no_grad_guard();
    let bank = unit_rows(&train.features);
    let queries = unit_rows(&test.features);
    let k = knn.k.min(bank.size()[0]);
    let mut counter = Counter::default();
    let chunks = comm.world().stretch((queries.size()[0] as u64).div_ceil(CHUNK as u64));
    for start in chunks.map(|chunk| chunk as i64 * CHUNK) {
        let length = CHUNK.min(queries.size()[0] - start);
        let similarity = queries.narrow(0, start, length).matmul(&bank.tr());
        let (nearest, index) = similarity.topk(k, 1, true, false);
        let votes = (nearest / knn.temperature).exp();
        let voted_for = train.labels.index_select(0, &index.flatten(0, -1)).view([length, k]);
        let score = Tensor::zeros([length, classes], (votes.kind(), votes.device())).scatter_add(1, &voted_for, &votes);
        counter.count(&score, &test.labels.narrow(0, start, length));
    }
    Ok(counter.of_all(comm, queries.device())?.shares())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::Single;

    fn top1(train: &Embedding, test: &Embedding, votes: Knn) -> f64 {
        knn(train, test, 2, votes, &Single::default()).unwrap().top1
    }

    fn embedding(features: &[[f32; 2]], labels: &[i64]) -> Embedding {
        let flat: Vec<f32> = features.concat();
        Embedding {
            features: Tensor::from_slice(&flat).view([features.len() as i64, 2]),
            labels: Tensor::from_slice(labels),
        }
    }

    #[test]
    fn near_neighbours_outvote_many_far_ones() {
        let train = embedding(&[[1.0, 0.01], [0.2, 1.0], [0.3, 1.0], [0.25, 1.0]], &[0, 1, 1, 1]);
        let test = embedding(&[[5.0, 0.0], [0.5, 2.0]], &[0, 1]);
        assert_eq!(top1(&train, &test, Knn::default()), 1.0);
        // With a flat temperature all four vote alike and the majority wins.
        assert_eq!(top1(&train, &test, Knn { k: 4, temperature: 1e6 }), 0.5);
    }
}
