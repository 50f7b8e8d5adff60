//! Multinomial logistic regression of many episodes at once (Tian et al., ECCV 2020, with scikit-learn's defaults, C = 1).
//!
//! ```text
//! minimise  1/2 |W|^2 + C sum_i CE(W x_i + b, y_i)       over W [d, ways] and b [ways], for each episode
//! ```
//! Rows have length 1, so the gradient's Lipschitz constant is at most `1 + C n` (`n` support rows): accelerated gradient descent
//! with that step and a restart where the momentum points uphill (O'Donoghue and Candes, "Adaptive Restart for Accelerated Gradient
//! Schemes", 2015) converges linearly, in some hundred matrix products, and needs no line search.

use tch::{Kind, Tensor};

use super::Task;

/// Weight of the data against the decay.
const C: f64 = 1.0;
/// An episode is solved where no element of its gradient is larger.
const TOLERANCE: f64 = 1e-7;
/// Most steps; a well-posed episode takes a tenth.
const MOST_STEPS: usize = 3000;
/// Steps between looks at the gradient, which wait for the device.
const LOOK: usize = 10;

/// Scores of the queries, `[episodes, queries * ways, ways]`, f64, from unit rows `x: [episodes, rows, d]` in view-major order.
pub fn scores(x: &Tensor, task: Task) -> Tensor {
    let (support, queries) = ((task.ways * task.shots) as i64, (task.ways * task.queries) as i64);
    let x = with_ones(&x.to_kind(Kind::Double));
    let weight = fit(&x.narrow(1, 0, support), task);
    x.narrow(1, support, queries).matmul(&weight)
}

/// A column of ones for the bias: `[episodes, rows, d + 1]`.
fn with_ones(x: &Tensor) -> Tensor {
    let ones = Tensor::ones([x.size()[0], x.size()[1], 1], (x.kind(), x.device()));
    Tensor::cat(&[x, &ones], 2)
}

/// `[episodes, d + 1, ways]`: the bias lies in the last row. `x: [episodes, support, d + 1]`.
fn fit(x: &Tensor, task: Task) -> Tensor {
    let (episodes, width) = (x.size()[0], x.size()[2]);
    let options = (x.kind(), x.device());
    let answers = Tensor::eye(task.ways as i64, options).repeat([task.shots as i64, 1]);
    // The bias is not decayed.
    let decay = Tensor::ones([1, width, 1], options);
    let _ = decay.narrow(1, width - 1, 1).zero_();
    let step = 1.0 / (1.0 + C * (task.ways * task.shots) as f64);
    let transposed = x.transpose(1, 2);
    let gradient = |weight: &Tensor| {
        let error = x.matmul(weight).softmax(-1, None) - &answers;
        weight * &decay + transposed.matmul(&error) * C
    };

    let zeros = || Tensor::zeros([episodes, width, task.ways as i64], options);
    // `t` is Nesterov's sequence, one for each episode.
    let (mut weight, mut ahead) = (zeros(), zeros());
    let mut t = Tensor::ones([episodes, 1, 1], options);
    for count in 1..=MOST_STEPS {
        let slope = gradient(&ahead);
        if count % LOOK == 0 && slope.abs().max().double_value(&[]) < TOLERANCE {
            break;
        }
        let next = &ahead - &slope * step;
        let moved = &next - &weight;
        let uphill = (&slope * &moved).sum_dim_intlist([1i64, 2].as_slice(), true, None).gt(0.0);
        let t_next = ((&t * &t * 4.0 + 1.0).sqrt() + 1.0) / 2.0;
        let momentum = ((&t - 1.0) / &t_next).masked_fill(&uphill, 0.0);
        ahead = &next + moved * momentum;
        t = t_next.masked_fill(&uphill, 1.0);
        weight = next;
    }
    ahead
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::head::unit_rows;
    use crate::rng::{Purpose, Stream};

    #[test]
    fn two_mirrored_samples_have_the_known_solution() {
        // x = 1 is class 0, x = -1 class 1: W = (w, -w), b = 0 with w = 2 / (1 + exp(2 w)).
        let x = Tensor::from_slice(&[1.0, -1.0]).view([1, 2, 1]);
        let task = Task { ways: 2, shots: 1, queries: 0 };
        let weight = fit(&with_ones(&x), task);
        let (mut low, mut high) = (0.0f64, 1.0f64);
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            if middle < 2.0 / (1.0 + (2.0 * middle).exp()) { low = middle } else { high = middle }
        }
        for (at, want) in [([0, 0, 0], low), ([0, 0, 1], -low), ([0, 1, 0], 0.0), ([0, 1, 1], 0.0)] {
            assert!((weight.double_value(&at) - want).abs() < 1e-7, "{at:?}: {} {want}", weight.double_value(&at));
        }
    }

    #[test]
    fn the_gradient_is_zero_at_the_solution_of_every_episode() {
        let stream = Stream::new(5, Purpose::Synthetic);
        let task = Task { ways: 5, shots: 5, queries: 0 };
        let values: Vec<f64> = (0..3 * 25 * 40).map(|i| stream.draw([i, 0, 0, 0]).between(-1.0, 1.0)).collect();
        let x = unit_rows(&Tensor::from_slice(&values).view([75, 40])).view([3, 25, 40]);
        let x = with_ones(&x);
        let weight = fit(&x, task);
        // W = C X^T (Y - P) and sum (Y - P) = 0.
        let error = Tensor::eye(5, (Kind::Double, x.device())).repeat([5, 1]) - x.matmul(&weight).softmax(-1, None);
        let pulled = x.transpose(1, 2).matmul(&error);
        let residual = |row, rows, with: f64| {
            (pulled.narrow(1, row, rows) - weight.narrow(1, row, rows) * with).abs().max().double_value(&[])
        };
        assert!(residual(0, 40, 1.0) < 1e-6, "{}", residual(0, 40, 1.0));
        assert!(residual(40, 1, 0.0) < 1e-6, "{}", residual(40, 1, 0.0));
        assert!(weight.narrow(1, 0, 40).abs().max().double_value(&[]) > 0.1);
    }
}
