//! A training step of several ranks against the same step of one process on the joined batch: loss and terms, hits, gradients of all
//! parameters, running statistics of all batch norms. Every rank computes the other side by itself.

use std::sync::Arc;

use metacl::augment::{TaskPolicy, ViewSpec};
use metacl::dist::gradients::Sums;
use metacl::dist::{Comm, Single, rows};
use metacl::episode::mix::draw_mix;
use metacl::episode::{EpisodeSpec, Order, RowLayout};
use metacl::nn::head::Shots;
use metacl::nn::{Arch, Bootstrap, Encoder, EncoderSpec, Head, InitStyle, Precision, ProjectorSpec, Stem};
use metacl::train::objective::Objective;
use metacl::train::pretrain::Learner;
use metacl::train::step::{Mixing, Rotation, Tricks};
use metacl::train::task::Forward;
use tch::{Device, Kind, Tensor, no_grad};

use super::golden_support::tensors::{Goldens, close};

const SIDE: u32 = 16;
const SEED: u64 = 3;

#[derive(Clone, Copy, Debug)]
enum Loss {
    Head(Head),
    Byol,
    Simsiam,
}

/// A step: what is minimised, with which tricks, on how many images of the joined batch.
#[derive(Clone, Copy, Debug)]
struct Case {
    loss: Loss,
    tricks: Tricks,
    images: usize,
    copies: usize,
    views: usize,
    /// Decides how queries are mixed.
    step: u64,
}

pub(crate) fn all(comm: Arc<dyn Comm>) {
    for (kind, tolerance) in [(Kind::Double, 1e-10), (Kind::Float, 1e-5)] {
        for case in cases() {
            step(&comm, case, kind, tolerance);
        }
    }
    several_updates(&comm);
    reduced_precision(&comm);
}

/// Every objective plain, with three images to each of four ranks; with all tricks at once, mixing by patch and by blend, a third of the rows
/// turned; with four classes of each image; and with so few turned rows that ranks have none.
fn cases() -> Vec<Case> {
    let shots = Shots { n_supp: 1, n_query: 1 };
    let more = Shots { n_supp: 2, n_query: 1 };
    let losses = [
        (Loss::Head(Head::Contrastive { temperature: 10.0 }), 2),
        (Loss::Head(Head::Proto { temperature: 0.2, shots: more }), 3),
        (Loss::Head(Head::R2d2 { temperature: 0.1, reg: 1.0, shots }), 2),
        (Loss::Head(Head::Svm { temperature: 10.0, shots, tasks: 2 }), 2),
        (Loss::Byol, 2),
        (Loss::Simsiam, 3),
    ];
    let step_where = |patch| (0..).find(|&step| draw_mix(SEED, step, SIDE).patch.is_some() == patch).unwrap();
    let turned = |divisor| Some(Rotation { weight: 0.4, divisor, decays_over: None });
    let tricks = |views: usize| Tricks {
        mixing: Some(Mixing { weight: 0.5, supports: views - 1 }),
        rotation: turned(3),
        ori_reg: 0.8,
    };
    let mut cases = Vec::new();
    for (loss, views) in losses {
        let plain = Case { loss, tricks: Tricks::default(), images: 12, copies: 1, views, step: 0 };
        let patched = Case { tricks: tricks(views), images: 8, step: step_where(true), ..plain };
        let blended = Case { copies: 4, step: step_where(false), ..patched };
        cases.extend([plain, patched, blended]);
    }
    let few = Tricks { rotation: turned(8), ori_reg: 1.0, ..Tricks::default() };
    cases.push(Case { tricks: few, images: 8, ..cases[0] });
    cases
}

/// The networks of one side.
struct Side(Learner);

impl Side {
    fn new(case: Case, kind: Kind, precision: Precision, comm: Arc<dyn Comm>) -> Self {
        let spec = EncoderSpec { arch: Arch::Conv4 { filters: 4 }, stem: Stem::Cifar };
        let projector = ProjectorSpec { hidden: 12, outputs: 10, last_norm: true };
        let encoder = Encoder::blank_with(spec, projector, kind, Device::Cpu).with_precision(precision);
        encoder.weights().initialise(SEED, InitStyle::Torch);
        let world = comm.world();
        let encoder = if world.size() > 1 { encoder.synchronised(Arc::clone(&comm)) } else { encoder };
        let networks = match case.loss {
            Loss::Head(_) => None,
            Loss::Byol => Some(Bootstrap::byol(&encoder, 11, 5, InitStyle::Torch)),
            Loss::Simsiam => Some(Bootstrap::simsiam(&encoder, 11, 5, InitStyle::Torch)),
        };
        let objective = match (case.loss, networks) {
            (Loss::Head(head), _) => Objective::Head(head),
            (_, networks) => Objective::Bootstrap { networks: networks.unwrap().into(), momentum: 0.9, iters: 10 },
        };
        let episodes = EpisodeSpec {
            seed: SEED,
            batch: case.images as u32,
            order: Order::Shuffled { seed: SEED },
            views: Vec::new(),
            task: TaskPolicy::Upright,
            view: ViewSpec::bicubic(SIDE),
            rank: (world.rank(), world.size()),
        };
        Self(Learner { encoder, objective, tricks: case.tricks, temperature: 0.5, episodes, comm })
    }

    /// One process with the joined batch.
    fn one(case: Case, kind: Kind) -> Self {
        Self::new(case, kind, Precision::F32, Arc::new(Single::default()))
    }

    fn many(case: Case, kind: Kind, comm: &Arc<dyn Comm>) -> Self {
        Self::new(case, kind, Precision::F32, Arc::clone(comm))
    }

    /// The step on this side's part of the joined images.
    fn forward(&self, case: Case, joined: &Tensor) -> Forward {
        let (rank, size) = self.0.episodes.rank;
        let (rank, size) = (rank as usize, size as usize);
        let layout = RowLayout::of_images(case.images / size, case.copies, case.views);
        let own: Vec<i64> = (0..layout.rows()).map(|row| layout.joined_row(size, rank, row) as i64).collect();
        self.0.forward(&joined.index_select(0, &Tensor::from_slice(&own)), None, layout, case.step)
    }

    fn parameters(&self) -> Vec<(String, Tensor)> {
        self.0.trained()
    }

    fn backward(&self, loss: &Tensor) {
        for (_, parameter) in self.parameters() {
            no_grad(|| parameter.grad().defined().then(|| parameter.grad().zero_()));
        }
        let sums = self.sums();
        sums.expect();
        loss.backward();
        sums.complete().unwrap();
    }

    /// Small buckets, so that there are several.
    fn sums(&self) -> Sums {
        Sums::over(Arc::clone(&self.0.comm), self.parameters(), 4096)
    }

    /// Running statistics, BYOL's target's too.
    fn buffers(&self) -> Vec<(String, Tensor)> {
        let all = self.0.encoder.weights().state().into_iter().chain(self.0.objective.state());
        all.filter(|(name, _)| name.contains("running_") || name.contains("num_batches")).collect()
    }
}

/// The images of the joined batch, `[rows, 3, SIDE, SIDE]`: smooth, each plane with a wave of its own.
fn images(case: Case, kind: Kind) -> Tensor {
    let (rows, side) = ((case.images * case.copies * case.views) as i64, i64::from(SIDE));
    let pixel = Tensor::arange(rows * 3 * side * side, (Kind::Double, Device::Cpu));
    let plane = pixel.floor_divide_scalar(side * side);
    let length = (&plane * 0.61).sin() * 0.035 + 0.07;
    let wave = (pixel * length + &plane * 1.9).sin() * 0.5 + 0.5;
    wave.reshape([-1, 3, side, side]).to_kind(kind)
}

fn step(comm: &Arc<dyn Comm>, case: Case, kind: Kind, tolerance: f64) {
    let joined = images(case, kind);
    let (one, many) = (Side::one(case, kind), Side::many(case, kind, comm));
    let (want, got) = (one.forward(case, &joined), many.forward(case, &joined));
    let what = format!("{case:?} in {kind:?} on {} ranks", comm.world().size());
    close(&format!("{what}: loss"), &got.loss, &want.loss, tolerance);
    close(&format!("{what}: hits"), &got.accuracy, &want.accuracy, 1e-6);
    for (got, want) in got.terms.iter().chain(&got.figures).zip(want.terms.iter().chain(&want.figures)) {
        // What says how a solver fared is no figure of the batch.
        if !got.0.starts_with("solver") {
            close(&format!("{what}: {}", got.0), &got.1, &want.1, tolerance);
        }
    }
    one.backward(&want.loss);
    many.backward(&got.loss);
    // What f32 makes of the joined batch in one process is itself this far from the truth: gradients of deep layers are sums that cancel.
    let rounding = (kind == Kind::Float).then(|| {
        let truth = Side::one(case, Kind::Double);
        truth.backward(&truth.forward(case, &images(case, Kind::Double)).loss);
        truth
    });
    gradients_agree(&what, &many, &one, rounding.as_ref().unwrap_or(&one), tolerance);
    for ((name, got), (_, want)) in many.buffers().iter().zip(&one.buffers()) {
        close(&format!("{what}: {name}"), got, want, tolerance);
    }
}

/// Holds gradients of `many` to the `truth`, no farther off than the tolerance and twice the worst of `one`, whose sums round by other luck.
fn gradients_agree(what: &str, many: &Side, one: &Side, truth: &Side, tolerance: f64) {
    let gradients = |side: &Side| -> Vec<(String, Tensor)> {
        let with = side.parameters().into_iter().map(|(name, tensor)| (name, tensor.grad()));
        with.filter(|(_, gradient)| gradient.defined()).map(|(name, g)| (name, g.to_kind(Kind::Double))).collect()
    };
    let [many, one, truth] = [many, one, truth].map(gradients);
    assert!(many.iter().map(|(name, _)| name).eq(truth.iter().map(|(name, _)| name)), "{what}");
    let length = |tensor: &Tensor| tensor.norm().double_value(&[]);
    // What is zero but for rounding (a bias before a batch norm) is held to the rounding of the largest gradient.
    let least = 0.1 * truth.iter().map(|(_, gradient)| length(gradient)).fold(0.0, f64::max);
    let worst = one.iter().zip(&truth).map(|((_, one), (_, truth))| length(&(one - truth))).fold(0.0, f64::max);
    for ((name, many), (_, truth)) in many.iter().zip(&truth) {
        let allowed = tolerance * length(truth).max(least) + 2.0 * worst;
        let off = length(&(many - truth));
        // Not `>`: a NaN must fail.
        assert!(off <= allowed, "{what}: gradient of {name} is {off:.3e} off, allowed {allowed:.3e}");
    }
}

/// Ten updates of both sides stay together, each of two passes, and all ranks stay the same to the bit. From the second on, sums begin while the
/// backward pass runs.
fn several_updates(comm: &Arc<dyn Comm>) {
    let case = Case { images: 8, ..cases()[0] };
    let joined = images(case, Kind::Double);
    let (one, many) = (Side::one(case, Kind::Double), Side::many(case, Kind::Double, comm));
    let sides = [&one, &many].map(|side| (side, side.sums()));
    for _ in 0..10 {
        for last in [false, true] {
            let [want, got] = sides.each_ref().map(|(side, sums)| {
                let loss = side.forward(case, &joined).loss;
                if last {
                    sums.expect();
                }
                loss.backward();
                loss
            });
            close("loss after updates", &got, &want, 1e-8);
        }
        for (side, sums) in &sides {
            sums.complete().unwrap();
            for (_, mut parameter) in side.parameters().into_iter().filter(|(_, p)| p.grad().defined()) {
                let _ = no_grad(|| parameter.subtract_(&(parameter.grad() * 0.05)));
                parameter.zero_grad();
            }
        }
    }
    for (name, tensor) in many.0.encoder.weights().state() {
        let mut first = tensor.detach().copy();
        comm.broadcast(&mut first, 0).unwrap();
        assert!(first.equal(&tensor), "{name} differs between ranks");
    }
}

/// The forward pass in bfloat16, whose norms see values of one kind and weights of another: about as far from f32 as one process is.
fn reduced_precision(comm: &Arc<dyn Comm>) {
    let case = Case { loss: Loss::Head(Head::Contrastive { temperature: 2.0 }), images: 8, ..cases()[0] };
    let joined = images(case, Kind::Float);
    let gradient = |side: Side| {
        side.backward(&side.forward(case, &joined).loss);
        let all: Vec<_> = side.parameters().into_iter().map(|(_, tensor)| tensor.grad()).collect();
        Tensor::cat(&all.iter().filter(|g| g.defined()).map(|g| g.flatten(0, -1)).collect::<Vec<_>>(), 0)
    };
    let full = gradient(Side::one(case, Kind::Float));
    let one = gradient(Side::new(case, Kind::Float, Precision::Bf16, Arc::new(Single::default())));
    let many = gradient(Side::new(case, Kind::Float, Precision::Bf16, Arc::clone(comm)));
    let off = |got: &Tensor| (got - &full).norm().double_value(&[]) / full.norm().double_value(&[]);
    assert!(off(&many) <= 1.5 * off(&one), "bf16: {} off, one process {}", off(&many), off(&one));
}

/// The published code's gradients on each rank, which have the number of ranks as a factor.
pub(crate) fn goldens(comm: Arc<dyn Comm>) {
    let file = Goldens::open("ranks");
    let all = file.root();
    let (rank, world) = (comm.world().rank(), all.count("world"));
    assert_eq!(comm.world().size() as usize, world);
    let layout = RowLayout::new(all.count("batch_per_rank"), 2);
    let shots = Shots { n_supp: 1, n_query: 1 };
    // Lambda of the ridge is published with the goldens, not stored among them.
    let ridge = Head::R2d2 { temperature: all.number("temperature_r2d2"), reg: 50.0, shots };
    let heads = [("ntxent", Head::Contrastive { temperature: all.number("temperature_ntxent") }), ("r2d2", ridge)];
    for (name, head) in heads {
        let z = all.tensor(&format!("rank{rank}/z")).to_kind(Kind::Double).set_requires_grad(true);
        let out = head.judge(&rows::joined(comm.as_ref(), &z, layout).unwrap(), layout.joined(world));
        out.loss.backward();
        // The goldens were stored from f32.
        all.check(&format!("rank{rank}/{name}_loss"), &out.loss, 1e-5);
        all.check(&format!("rank{rank}/{name}_acc"), &out.accuracy(), 1e-6);
        all.check(&format!("rank{rank}/{name}_grad_z"), &(z.grad() * world as f64), 1e-4);
    }
}
