//! The support vector head's dual problem is solved to optimality, and its gradient is that of the solved problem.
#![cfg(feature = "torch")]

use metacl::episode::RowLayout;
use metacl::nn::head::svm::dual::{self, Solution};
use metacl::nn::head::{Head, Shots};
use metacl::rng::{Purpose, Stream};
use tch::{Kind, Tensor};

/// What is asked of the solver's KKT residual.
const RESIDUAL: f64 = 1e-8;

/// The bound of the true class, as the method states it.
const C: f64 = 0.1;

/// `rows` unit vectors; the ones of a class (every `classes`-th) share a part as large as `spread` is small.
fn samples(stream: &Stream, task: u32, rows: usize, classes: usize, width: u32, spread: f64) -> Vec<Vec<f64>> {
    let draw = |row: usize, k: u32, own: u32| stream.draw([task, row as u32, k, own]).between(-1.0, 1.0);
    let vector = |row: usize| {
        let value = |k| draw(row % classes, k, 0) + spread * draw(row, k, 1);
        let values: Vec<f64> = (0..width).map(value).collect();
        let norm = values.iter().map(|v| v * v).sum::<f64>().sqrt();
        values.into_iter().map(|v| v / norm).collect()
    };
    (0..rows).map(vector).collect()
}

fn gram(samples: &[Vec<f64>]) -> Vec<f64> {
    let inner = |a: &Vec<f64>, b: &Vec<f64>| a.iter().zip(b).map(|(x, y)| x * y).sum();
    samples.iter().flat_map(|a| samples.iter().map(move |b| inner(a, b))).collect()
}

/// The worst violation of the KKT conditions, from the statement of the problem: with slopes `G = (K + I) A - Y` a row's multiplier `v`
/// must fit `G + v = 0` below the bound and `G + v <= 0` at it. Such a `v` exists where the row's slopes at bounds do not exceed, and
/// those below do not differ; so half the gap is the violation.
fn violation(gram: &[f64], classes: usize, duals: &[f64]) -> f64 {
    let rows = duals.len() / classes;
    let mut worst = 0.0_f64;
    for i in 0..rows {
        let mut below = (f64::INFINITY, f64::NEG_INFINITY);
        let (mut at_bound, mut sum) = (f64::NEG_INFINITY, 0.0);
        for class in 0..classes {
            let own = i % classes == class;
            let quadratic: f64 = (0..rows).map(|j| gram[i * rows + j] * duals[class * rows + j]).sum();
            let dual = duals[class * rows + i];
            let slope = quadratic + dual - if own { 1.0 } else { 0.0 };
            let slack = if own { C } else { 0.0 } - dual;
            worst = worst.max(-slack);
            sum += dual;
            if slack > 0.0 {
                below = (below.0.min(slope), below.1.max(slope));
            } else {
                at_bound = at_bound.max(slope);
            }
        }
        worst = worst.max(sum.abs()).max((below.1 - below.0) / 2.0).max((at_bound - below.0) / 2.0);
        assert!(sum.is_finite(), "row {i} sums to {sum}");
    }
    worst
}

fn check(what: &str, gram: &[f64], classes: usize) -> Solution {
    let solution = dual::solve(gram, classes);
    let found = violation(gram, classes, &solution.duals);
    assert!(found < RESIDUAL && solution.solver.converged(), "{what}: {found:.1e}, {:?}", solution.solver);
    solution
}

#[test]
fn two_hundred_random_tasks_are_solved() {
    let stream = Stream::new(5, Purpose::Synthetic);
    let (mut most, mut worst) = (0, 0.0_f64);
    for task in 0..200 {
        let [ways, shots, width, spread] = [0, 1, 2, 3].map(|at| stream.draw([task, at, 0, 3]).between(0.0, 1.0));
        // The large ones are rare: the test's own check costs rows^2 x ways.
        let ways = 5 + (60.0 * ways * ways * ways) as usize;
        let (shots, width) = (1 + (5.0 * shots) as usize, 4 + (124.0 * width) as u32);
        let gram = gram(&samples(&stream, task, ways * shots, ways, width, 4.0 * spread));
        let solution = check(&format!("{ways} ways, {shots} shots, {width} wide, spread {spread}"), &gram, ways);
        most = most.max(solution.solver.iterations);
        worst = worst.max(violation(&gram, ways, &solution.duals));
    }
    println!("at most {most} rounds, residual {worst:.1e}");
}

#[test]
fn the_largest_task_is_solved() {
    let stream = Stream::new(6, Purpose::Synthetic);
    for (spread, common) in [(0.1, 0.0), (1.0, 1.0), (10.0, 0.0)] {
        let mut samples = samples(&stream, 0, 320, 64, 128, spread);
        // A part that all samples share, as networks give before they are trained.
        for sample in &mut samples {
            sample[0] += common;
        }
        let solution = check(&format!("spread {spread}"), &gram(&samples), 64);
        println!("spread {spread}: {:?}", solution.solver);
    }
}

/// Tight classes with several shots: the true class's variable leaves its bound.
fn with_free_variables() -> (Vec<Vec<f64>>, usize) {
    (samples(&Stream::new(7, Purpose::Synthetic), 0, 24, 2, 6, 0.3), 2)
}

#[test]
fn the_true_class_may_be_below_its_bound() {
    let (samples, classes) = with_free_variables();
    let solution = check("tight classes", &gram(&samples), classes);
    let free = (0..samples.len()).filter(|i| solution.duals[i % classes * samples.len() + i] < C).count();
    assert!(free > 0 && free < samples.len(), "{free} of {} are free: both kinds are wanted", samples.len());
}

#[test]
fn degenerate_tasks_are_solved() {
    let stream = Stream::new(8, Purpose::Synthetic);
    let wide = samples(&stream, 0, 20, 5, 8, 1.0);
    let duplicates: Vec<_> = (0..20).map(|row| wide[row % 3].clone()).collect();
    let zeros = vec![vec![0.0; 8]; 20];
    let some_zeros: Vec<_> = (0..20).map(|row| if row % 3 == 0 { vec![0.0; 8] } else { wide[row].clone() }).collect();
    let collapsed: Vec<_> = (0..320).map(|_| wide[0].clone()).collect();
    check("duplicates", &gram(&duplicates), 5);
    check("zeros", &gram(&zeros), 5);
    check("some zeros", &gram(&some_zeros), 5);
    check("collapsed", &gram(&collapsed), 64);
    let alone = check("one class", &gram(&wide[..4]), 1);
    assert!(alone.duals.iter().all(|dual| *dual == 0.0), "{alone:?}");
    let single = check("one sample of one class", &[1.0], 1);
    assert_eq!(single.duals, [0.0]);
}

#[test]
fn what_is_no_number_ends_at_once() {
    let mut broken = gram(&samples(&Stream::new(9, Purpose::Synthetic), 0, 10, 5, 8, 1.0));
    for value in [f64::NAN, f64::INFINITY] {
        broken[7] = value;
        let solution = dual::solve(&broken, 5);
        assert!(solution.solver.residual.is_nan() && !solution.solver.converged(), "{solution:?}");
        assert_eq!(solution.solver.iterations, 0);
    }
}

/// Every element of the gradient, against differences of the loss with the problem solved anew.
fn gradient_is_the_slope(what: &str, embeddings: &[Vec<f64>], head: Head, rows: RowLayout) {
    const STEP: f64 = 1e-6;
    head.check(rows).expect("a valid task");
    let z = Tensor::from_slice(&embeddings.concat()).reshape([embeddings.len() as i64, -1]).set_requires_grad(true);
    head.judge(&z, rows).loss.backward();
    let gradient = z.grad();
    let _no_grad = tch::no_grad_guard();
    let largest = gradient.abs().max().double_value(&[]);
    assert!(largest > 1e-4, "{what}: a gradient of {largest:.1e} shows nothing");
    for (row, column) in (0..z.size()[0]).flat_map(|row| (0..z.size()[1]).map(move |column| (row, column))) {
        let loss = |step: f64| {
            let moved = z.detach().copy();
            let _ = moved.get(row).get(column).f_add_scalar_(step).expect("one element");
            head.judge(&moved, rows).loss.double_value(&[])
        };
        let slope = (loss(STEP) - loss(-STEP)) / (2.0 * STEP);
        let got = gradient.double_value(&[row, column]);
        // The solver's residual over the step, beside the second order.
        assert!((got - slope).abs() < 1e-5 * largest.max(1.0), "{what} [{row}, {column}]: {got} against {slope}");
    }
}

#[test]
fn gradient_is_that_of_the_solved_problem() {
    let stream = Stream::new(10, Purpose::Synthetic);
    for (ways, n_supp, n_query, tasks) in [(5, 1, 1, 1), (6, 2, 1, 2), (4, 3, 2, 1)] {
        let rows = RowLayout::new(ways, n_supp + n_query);
        let head = Head::Svm { temperature: 10.0, shots: Shots { n_supp, n_query }, tasks };
        let z = samples(&stream, ways as u32, rows.rows(), ways, 6, 2.0);
        gradient_is_the_slope(&format!("{ways} ways"), &z, head, rows);
    }
}

/// The general case of the active set: true classes both at their bound and below it.
#[test]
fn gradient_is_right_where_the_true_class_is_free() {
    let (mut z, classes) = with_free_variables();
    let n_supp = z.len() / classes;
    z.extend(samples(&Stream::new(11, Purpose::Synthetic), 0, 4, classes, 6, 1.0));
    let shots = Shots { n_supp, n_query: 2 };
    gradient_is_the_slope(
        "free",
        &z,
        Head::Svm { temperature: 10.0, shots, tasks: 1 },
        RowLayout::new(classes, n_supp + 2),
    );
}

/// All embeddings equal: the loss is that of guessing, the gradient finite.
#[test]
fn collapsed_embeddings_have_a_finite_gradient() {
    let z = Tensor::ones([64, 16], (Kind::Float, tch::Device::Cpu)).set_requires_grad(true);
    let head = Head::Svm { temperature: 10.0, shots: Shots { n_supp: 2, n_query: 2 }, tasks: 1 };
    let out = head.judge(&z, RowLayout::new(16, 4));
    out.loss.backward();
    assert!((out.loss.double_value(&[]) - 16_f64.ln()).abs() < 1e-5);
    assert!(bool::try_from(z.grad().isfinite().all()).expect("a flag"));
}
