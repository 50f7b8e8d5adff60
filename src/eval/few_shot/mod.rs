//! Few-shot classification on frozen features: N-way K-shot episodes of labelled images, each solved by a head.
//!
//! - [`episodes`]: which images make an episode. [`logistic`]: multinomial regression, for many episodes at once.
//! - [`evaluate`]: mean accuracy over the episodes, with its 95 % interval.
//!
//! Features are normalised to length 1 and not centred: the heads see what they see in training. `PN`, `R2D2` and `SVM` are the
//! functions of [`nn::head`](crate::nn::head); `logistic` is the baseline of Tian et al. ("Rethinking Few-Shot Image
//! Classification: A Good Embedding Is All You Need?", ECCV 2020).
//!
//! Not here: embedding the images ([`mod@super::embed`]).

pub mod episodes;
pub mod logistic;

use tch::{Kind, Tensor};

pub use episodes::{Episodes, FewShotError, Task};

use super::{Embedding, EvalError, Interval};
use crate::dist::{Comm, gather};
use crate::episode::RowLayout;
use crate::nn::head::{Shots, proto, r2d2, svm, unit_rows};

/// Episodes solved at once: bounds the memory of their features.
const CHUNK: u64 = 32;

/// Temperature of the ridge regression, its default in training; only `RIDGE_TEMPERATURE * reg` matters.
const RIDGE_TEMPERATURE: f64 = 0.1;

/// What learns the classes of an episode from its support.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Solver {
    /// Nearest prototype (the temperature does not change the answer).
    Proto,
    /// Ridge regression.
    Ridge {
        /// Lambda, as in training.
        reg: f64,
    },
    /// Support vector machine (the temperature does not change the answer).
    Machine,
    /// Multinomial logistic regression.
    Logistic,
}

impl Solver {
    /// All, in the order of tables; `reg` is the ridge regression's.
    pub const fn all(reg: f64) -> [Solver; 4] {
        [Solver::Proto, Solver::Ridge { reg }, Solver::Machine, Solver::Logistic]
    }

    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Solver::Proto => "PN",
            Solver::Ridge { .. } => "R2D2",
            Solver::Machine => "SVM",
            Solver::Logistic => "logistic",
        }
    }

    /// Scores of the queries, `[episodes, queries * ways, ways]`, from unit rows `[episodes, rows, d]` in [`RowLayout`] order.
    fn scores(self, x: &Tensor, task: Task) -> Tensor {
        let rows = RowLayout::new(task.ways, task.shots + task.queries);
        let shots = Shots { n_supp: task.shots, n_query: task.queries };
        let each = |logits: &dyn Fn(&Tensor) -> Tensor| {
            let scores: Vec<_> = x.unbind(0).iter().map(logits).collect();
            Tensor::stack(&scores, 0)
        };
        match self {
            Solver::Proto => each(&|z| proto::logits(z, rows, shots, 1.0)),
            Solver::Ridge { reg } => each(&|z| r2d2::logits(z, rows, shots, RIDGE_TEMPERATURE, reg)),
            Solver::Machine => each(&|z| svm::logits(z, rows, shots, 1.0, 1)),
            Solver::Logistic => logistic::scores(x, task),
        }
    }
}

/// Accuracy of `solver` on each of `count` episodes, in order; fractions. Every rank of `comm` has the whole embedding and takes a part of
/// the episodes; all get all accuracies.
///
/// # Errors
/// [`FewShotError`] where the samples cannot fill an episode, [`EvalError::Dist`] where a rank is gone.
pub fn accuracies(
    embedding: &Embedding,
    task: Task,
    seed: u64,
    count: u64,
    solver: Solver,
    comm: &dyn Comm,
) -> Result<Vec<f64>, EvalError> {
    let _no_grad = tch::no_grad_guard();
    let labels =
        Vec::<i64>::try_from(embedding.labels.to_device(tch::Device::Cpu)).expect("labels are a vector of i64");
    let episodes = Episodes::new(&labels, task, seed)?;
    let features = unit_rows(&embedding.features);
    let device = features.device();
    let (ways, rows) = (task.ways as i64, task.rows() as i64);
    let answers = Tensor::arange(ways, (Kind::Int64, device)).repeat([task.queries as i64]);
    let mut accuracies = Vec::new();
    let chunks = comm.world().stretch(count.div_ceil(CHUNK));
    for first in chunks.map(|chunk| chunk * CHUNK) {
        let chunk = first..(first + CHUNK).min(count);
        let length = (chunk.end - chunk.start) as i64;
        let samples: Vec<i64> = chunk.flat_map(|episode| episodes.samples(episode)).collect();
        let samples = Tensor::from_slice(&samples).to_device(device);
        let x = features.index_select(0, &samples).view([length, rows, -1]);
        let right = solver.scores(&x, task).argmax(2, false).eq_tensor(&answers);
        let shares = right.to_kind(Kind::Double).mean_dim([1i64].as_slice(), false, Kind::Double);
        accuracies.extend(Vec::<f64>::try_from(shares.to_device(tch::Device::Cpu)).expect("a vector of f64"));
    }
    let all = gather::rows(comm, &Tensor::from_slice(&accuracies).to_device(device))?;
    Ok(Vec::<f64>::try_from(all.to_device(tch::Device::Cpu)).expect("a vector of f64"))
}

/// Mean accuracy of `solver` over `count` episodes and `1.96 s / sqrt(count)`.
///
/// # Errors
/// As [`accuracies`].
pub fn evaluate(
    embedding: &Embedding,
    task: Task,
    seed: u64,
    count: u64,
    solver: Solver,
    comm: &dyn Comm,
) -> Result<Interval, EvalError> {
    Ok(Interval::of_many(&accuracies(embedding, task, seed, count, solver, comm)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::Single;
    use crate::rng::{Purpose, Stream};

    /// 6 classes of 20 samples: class `c` points along axis `c`, with noise of the size `noise`.
    fn embedding(noise: f64) -> Embedding {
        let stream = Stream::new(3, Purpose::Synthetic);
        let value = |sample: u32, axis: u32| {
            let own = f64::from(u8::from(sample % 6 == axis));
            own + noise * stream.draw([sample, axis, 0, 0]).between(-1.0, 1.0)
        };
        let values: Vec<f64> = (0..120).flat_map(|sample| (0..8).map(move |axis| value(sample, axis))).collect();
        let labels: Vec<i64> = (0..120).map(|sample| sample % 6).collect();
        Embedding { features: Tensor::from_slice(&values).view([120, 8]), labels: Tensor::from_slice(&labels) }
    }

    #[test]
    fn separate_classes_are_all_recognised_and_noise_is_at_chance() {
        let (task, one) = (Task { ways: 5, shots: 1, queries: 4 }, &Single::default());
        for solver in Solver::all(50.0) {
            assert_eq!(evaluate(&embedding(0.05), task, 1, 40, solver, one).unwrap().mean, 1.0, "{}", solver.name());
            let noise = evaluate(&embedding(1e3), task, 1, 200, solver, one).unwrap();
            assert!((noise.mean - 0.2).abs() < 0.04, "{}: {noise:?}", solver.name());
            assert!(noise.ci95.unwrap() > 0.0 && noise.ci95.unwrap() < 0.03, "{noise:?}");
        }
    }

    #[test]
    fn an_episode_does_not_depend_on_how_many_there_are() {
        let (task, one) = (Task { ways: 5, shots: 2, queries: 5 }, &Single::default());
        for solver in Solver::all(50.0) {
            let some = accuracies(&embedding(0.6), task, 1, 7, solver, one).unwrap();
            let more = accuracies(&embedding(0.6), task, 1, 40, solver, one).unwrap();
            assert_eq!(some, more[..7]);
        }
    }
}
