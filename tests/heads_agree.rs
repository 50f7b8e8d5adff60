//! The heads give the published code's losses, accuracies and gradients.
#![cfg(feature = "torch")]

mod golden_support;

use golden_support::report;
use golden_support::tensors::{Case, Goldens, close};
use metacl::episode::RowLayout;
use metacl::nn::head::{Head, HeadOut, Shots, proto, r2d2, rotation, svm};
use tch::{Kind, Reduction, Tensor};

/// Precision of the computation, tolerance of the loss, tolerance of the gradient.
const PRECISIONS: [(Kind, f64, f64); 2] = [(Kind::Double, 1e-10, 1e-10), (Kind::Float, 1e-5, 1e-4)];

/// Relative in f64. In f32 absolute below 1: the logarithm of a probability near 1 is only known to an ulp of 1, in the published code too
/// (pn/0: loss 5e-4, its own f32 run is 1.3e-5 of that off).
fn check_loss(case: &Case<'_>, loss: &Tensor, tolerance: f64) {
    let relaxed = if loss.kind() == Kind::Float { case.number("loss_f64").min(1.0) } else { 1.0 };
    case.check("loss_f64", loss, tolerance / relaxed);
}

/// Judges `z` and holds loss, accuracy and gradient to the case's.
fn check(case: &Case<'_>, head: Head, rows: RowLayout) {
    head.check(rows).expect("goldens are valid tasks");
    check_judged(case, |z| head.judge(z, rows));
}

fn check_judged(case: &Case<'_>, judge: impl Fn(&Tensor) -> HeadOut) {
    for (kind, loss, gradient) in PRECISIONS {
        let z = case.tensor("z").to_kind(kind).set_requires_grad(true);
        let out = judge(&z);
        out.loss.backward();
        check_loss(case, &out.loss, loss);
        case.check("grad_f64", &z.grad(), gradient);
        if case.find("acc_f64").is_some() {
            check_accuracy(case, &out);
        }
    }
}

fn shots(case: &Case<'_>) -> Shots {
    Shots { n_supp: case.count("n_supp"), n_query: case.count("n_query") }
}

fn check_accuracy(case: &Case<'_>, out: &HeadOut) {
    // A mean of 0 and 1 in f32.
    case.check("acc_f64", &out.accuracy(), 1e-6);
    if let Some(hits) = case.find("acc_rows_f64").filter(|hits| hits.size() == out.hits.size()) {
        close(&case.name, &out.hits, hits, 0.0);
    }
}

#[test]
fn golden_contrastive() {
    let goldens = Goldens::open("heads");
    for case in ["ntxent", "ntxent_m3"].iter().flat_map(|family| goldens.cases(family)) {
        let head = Head::Contrastive { temperature: case.number("temperature") };
        check(&case, head, RowLayout::new(case.count("n_way"), case.count("multiplier")));
    }
}

#[test]
fn golden_prototypes() {
    let goldens = Goldens::open("heads");
    for case in ["pn", "pn_multi"].iter().flat_map(|family| goldens.cases(family)) {
        let (shots, temperature) = (shots(&case), case.number("temperature"));
        let rows = RowLayout::new(case.count("n_way"), shots.n_supp + shots.n_query);
        check(&case, Head::Proto { temperature, shots }, rows);
        if let Some(logits) = case.find("logits_f64") {
            let z = case.tensor("z").to_kind(Kind::Double);
            close(&case.name, &proto::logits(&z, rows, shots, temperature), logits, 1e-10);
        }
    }
}

#[test]
fn golden_ridge() {
    let goldens = Goldens::open("heads");
    for case in goldens.cases("r2d2") {
        let (shots, temperature, reg) = (shots(&case), case.number("temperature"), case.number("reg"));
        let rows = RowLayout::new(case.count("n_way"), shots.n_supp + shots.n_query);
        check(&case, Head::R2d2 { temperature, reg, shots }, rows);
        let z = case.tensor("z").to_kind(Kind::Double);
        case.check("logits_f64", &r2d2::logits(&z, rows, shots, temperature, reg), 1e-10);
    }
}

/// The published class with mixed labels, which no published run constructs: temperature times the ridge's logits, two sets of labels.
#[test]
fn golden_ridge_with_mixed_labels() {
    let goldens = Goldens::open("heads");
    for case in goldens.cases("r2d2_qcm") {
        let (shots, ways, lambda) = (shots(&case), case.count("n_way"), case.number("lam"));
        let labels = Tensor::arange(ways as i64, (Kind::Int64, tch::Device::Cpu)).repeat([shots.n_query as i64]);
        let partners = labels.index_select(0, case.tensor("rand_index"));
        for (kind, loss, gradient) in PRECISIONS {
            let z = case.tensor("z").to_kind(kind).set_requires_grad(true);
            let rows = RowLayout::new(ways, shots.n_supp + shots.n_query);
            let logits = r2d2::logits(&z, rows, shots, 1.0, case.number("reg")) * case.number("temperature");
            let entropy = |labels| logits.cross_entropy_loss(labels, None::<&Tensor>, Reduction::Mean, -100, 0.0);
            let mixed = entropy(&labels) * lambda + entropy(&partners) * (1.0 - lambda);
            mixed.backward();
            check_loss(&case, &mixed, loss);
            case.check("grad_f64", &z.grad(), gradient);
        }
    }
}

/// Against the published code's solver at convergence, whose own precision bounds the comparison.
#[test]
fn golden_support_vectors() {
    let goldens = Goldens::open("heads");
    let one_shot = goldens.cases("svm").into_iter().map(|case| (case, "conv_"));
    let several = goldens.cases("svm_multi").into_iter().map(|case| (case, ""));
    for (case, prefix) in one_shot.chain(several) {
        let (shots, temperature) = (shots(&case), case.number("temperature"));
        let tasks = if case.find("tasks").is_some() { case.count("tasks") } else { 1 };
        assert_eq!(case.number("C_reg"), svm::dual::C);
        let rows = RowLayout::new(tasks * case.count("n_way"), shots.n_supp + shots.n_query);
        let head = Head::Svm { temperature, shots, tasks };
        head.check(rows).expect("goldens are valid tasks");
        let golden = |name: &str| format!("{prefix}{name}_f64");
        for (kind, loss, gradient) in [(Kind::Double, 1e-6, 1e-6), (Kind::Float, 1e-5, 1e-4)] {
            let z = case.tensor("z").to_kind(kind).set_requires_grad(true);
            let out = head.judge(&z, rows);
            out.loss.backward();
            assert!(out.solver.expect("it iterates").converged(), "{}", case.name);
            case.check(&golden("loss"), &out.loss, loss);
            case.check(&golden("grad"), &z.grad(), gradient);
            case.check(&golden("acc"), &out.accuracy(), 1e-6);
        }
        let wanted = case.tensor(&golden("logits"));
        let logits = svm::logits(&case.tensor("z").to_kind(Kind::Double), rows, shots, 1.0, tasks);
        case.check(&golden("logits"), &logits.reshape(wanted.size()), 1e-6);
    }
}

#[test]
fn golden_rotation() {
    let goldens = Goldens::open("heads");
    for case in goldens.cases("rot_xent") {
        let labels = case.tensor("labels");
        check_judged(&case, |z| HeadOut {
            loss: rotation::loss(z, labels, labels.numel()),
            hits: z.detach().argmax(1, false).eq_tensor(labels),
            solver: None,
        });
    }
}

/// Rows of several processes, joined: every process sees the global loss, and the world times its gradient reaches its rows.
#[test]
fn golden_ranks() {
    let goldens = Goldens::open("ranks");
    let all = goldens.root();
    let (world, local) = (all.count("world"), RowLayout::new(all.count("batch_per_rank"), 2));
    report("ranks", usize::from(world > 1));
    let joined = local.joined(world);

    // Row `place[k]` of the joined batch is the k-th of the processes' rows laid end to end.
    let ends = |rank| (0..local.rows()).map(move |row| local.joined_row(world, rank, row) as i64);
    let place = Tensor::from_slice(&(0..world).flat_map(ends).collect::<Vec<_>>());
    let laid: Vec<_> = (0..world).map(|rank| all.tensor(&format!("rank{rank}/z")).to_kind(Kind::Double)).collect();

    // Lambda of the ridge is published with the goldens, not stored among them.
    let ridge =
        Head::R2d2 { temperature: all.number("temperature_r2d2"), reg: 50.0, shots: Shots { n_supp: 1, n_query: 1 } };
    let heads = [("ntxent", Head::Contrastive { temperature: all.number("temperature_ntxent") }), ("r2d2", ridge)];
    for (name, head) in heads {
        let z = Tensor::cat(&laid, 0).index_select(0, &place.argsort(0, false)).set_requires_grad(true);
        let out = head.judge(&z, joined);
        out.loss.backward();
        let gradients = (z.grad() * world as f64).index_select(0, &place).chunk(world as i64, 0);
        for (rank, gradient) in gradients.iter().enumerate() {
            // The goldens were stored from f32.
            all.check(&format!("rank{rank}/{name}_loss"), &out.loss, 1e-5);
            all.check(&format!("rank{rank}/{name}_acc"), &out.accuracy(), 1e-6);
            all.check(&format!("rank{rank}/{name}_grad_z"), gradient, 1e-4);
        }
    }
}
