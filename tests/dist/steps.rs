//! A training step of several ranks against the same step of one process on the joined batch: loss, hits, gradients of all parameters,
//! running statistics of all batch norms. Every rank computes the other side by itself.

use std::sync::Arc;

use metacl::dist::{Comm, gradients, rows};
use metacl::episode::RowLayout;
use metacl::nn::head::{Shots, byol, rotation};
use metacl::nn::{
    Arch, Bootstrap, Encoder, EncoderSpec, Head, HeadOut, InitStyle, Mode, Precision, ProjectorSpec, Stem,
};
use tch::{Device, Kind, Tensor, no_grad};

use super::golden_support::tensors::{Goldens, close};

/// Classes of the joined batch: ranks hold 4 or 2 each.
const CLASSES: usize = 8;
const SIDE: i64 = 16;

#[derive(Clone, Copy, Debug)]
enum Loss {
    Head(Head),
    /// The head's, and rotation prediction on the first rows.
    Rotated(Head),
    Byol,
}

pub(crate) fn all(comm: Arc<dyn Comm>) {
    let shots = Shots { n_supp: 1, n_query: 1 };
    let more = Shots { n_supp: 2, n_query: 1 };
    let losses = [
        (Loss::Head(Head::Contrastive { temperature: 10.0 }), 2),
        (Loss::Head(Head::Proto { temperature: 0.2, shots: more }), 3),
        (Loss::Head(Head::R2d2 { temperature: 0.1, reg: 1.0, shots }), 2),
        (Loss::Head(Head::Svm { temperature: 10.0, shots, tasks: 1 }), 2),
        (Loss::Rotated(Head::Contrastive { temperature: 5.0 }), 2),
        (Loss::Byol, 2),
    ];
    for (kind, tolerance) in [(Kind::Double, 1e-10), (Kind::Float, 1e-5)] {
        for (loss, views) in losses {
            step(&comm, loss, views, kind, tolerance);
        }
    }
    several_updates(&comm);
    reduced_precision(&comm);
}

/// The networks of one side.
struct Side {
    encoder: Encoder,
    bootstrap: Bootstrap,
    /// None: one process with the joined batch.
    comm: Option<Arc<dyn Comm>>,
}

impl Side {
    fn new(kind: Kind, comm: Option<Arc<dyn Comm>>) -> Self {
        let spec = EncoderSpec { arch: Arch::Conv4 { filters: 4 }, stem: Stem::Cifar };
        let projector = ProjectorSpec { hidden: 12, outputs: 10, last_norm: true };
        let encoder = Encoder::blank_with(spec, projector, kind, Device::Cpu);
        encoder.weights().initialise(3, InitStyle::Torch);
        let encoder = match &comm {
            Some(comm) => encoder.synchronised(Arc::clone(comm)),
            None => encoder,
        };
        let bootstrap = Bootstrap::byol(&encoder, 11, 5, InitStyle::Torch);
        Self { encoder, bootstrap, comm }
    }

    /// Everybody's rows in the order of the joined batch.
    fn joined(&self, rows: &Tensor, layout: RowLayout) -> Tensor {
        match &self.comm {
            Some(comm) => rows::joined(comm.as_ref(), rows, layout).unwrap(),
            None => rows.shallow_clone(),
        }
    }

    fn judge(&self, loss: Loss, images: &Tensor, layout: RowLayout, ranks: usize) -> HeadOut {
        let joined = layout.joined(if self.comm.is_some() { ranks } else { 1 });
        match loss {
            Loss::Head(head) | Loss::Rotated(head) => {
                let z = self.encoder.project(&self.encoder.features(images, Mode::Train), Mode::Train);
                let mut out = head.judge(&self.joined(&z, layout), joined);
                if let Loss::Rotated(_) = loss {
                    out.loss = out.loss.g_add(&self.turns(images, layout));
                }
                out
            }
            Loss::Byol => {
                let [_, predictions, targets] = self.bootstrap.embed(&self.encoder, images, Mode::Train);
                byol::judge(&self.joined(&predictions, layout), &self.joined(&targets, layout), joined)
            }
        }
    }

    /// Rotation prediction on all rows, labelled by their class.
    fn turns(&self, images: &Tensor, layout: RowLayout) -> Tensor {
        let z = self.encoder.project(&self.encoder.features(images, Mode::Train), Mode::Train);
        let logits = self.encoder.rotation_logits(&z, 0.5);
        let own =
            Tensor::arange(images.size()[0], (Kind::Int64, Device::Cpu)).remainder(layout.classes as i64).remainder(2);
        match &self.comm {
            None => rotation::judge(&logits, &own).loss,
            Some(comm) => {
                let all = |rows| rows::stacked(comm.as_ref(), rows).unwrap();
                rotation::judge(&all(&logits), &all(&own)).loss
            }
        }
    }

    fn parameters(&self) -> Vec<(String, Tensor)> {
        self.encoder.weights().trained().into_iter().chain(self.bootstrap.trained()).collect()
    }

    fn backward(&self, loss: &Tensor) {
        for (_, parameter) in self.parameters() {
            no_grad(|| parameter.grad().defined().then(|| parameter.grad().zero_()));
        }
        loss.backward();
        if let Some(comm) = &self.comm {
            // Small buckets, so that there are several.
            gradients::sum(comm.as_ref(), &self.parameters(), 4096).unwrap();
        }
    }

    /// Running statistics, BYOL's target's too.
    fn buffers(&self) -> Vec<(String, Tensor)> {
        let all = self.encoder.weights().state().into_iter().chain(self.bootstrap.state());
        all.filter(|(name, _)| name.contains("running_") || name.contains("num_batches")).collect()
    }
}

/// `[CLASSES * views, 3, SIDE, SIDE]` of the joined batch, and the rows of one rank.
fn images(views: usize, kind: Kind, comm: &dyn Comm) -> (Tensor, Tensor, RowLayout) {
    let (rank, size) = (comm.world().rank() as usize, comm.world().size() as usize);
    let layout = RowLayout::new(CLASSES / size, views);
    let count = (CLASSES * views) as i64 * 3 * SIDE * SIDE;
    // Smooth, each plane with a wave of its own.
    let pixel = Tensor::arange(count, (Kind::Double, Device::Cpu));
    let plane = pixel.floor_divide_scalar(SIDE * SIDE);
    let length = (&plane * 0.61).sin() * 0.035 + 0.07;
    let wave = (pixel * length + &plane * 1.9).sin() * 0.5 + 0.5;
    let joined = wave.reshape([-1, 3, SIDE, SIDE]).to_kind(kind);
    let own: Vec<i64> = (0..layout.rows()).map(|row| layout.joined_row(size, rank, row) as i64).collect();
    let own = joined.index_select(0, &Tensor::from_slice(&own));
    (joined, own, layout)
}

fn step(comm: &Arc<dyn Comm>, loss: Loss, views: usize, kind: Kind, tolerance: f64) {
    let ranks = comm.world().size() as usize;
    let (joined, own, layout) = images(views, kind, comm.as_ref());
    let one = Side::new(kind, None);
    let many = Side::new(kind, Some(Arc::clone(comm)));
    let want = one.judge(loss, &joined, layout.joined(ranks), 1);
    let got = many.judge(loss, &own, layout, ranks);
    let what = format!("{loss:?} in {kind:?} on {ranks} ranks");
    close(&format!("{what}: loss"), &got.loss, &want.loss, tolerance);
    assert_eq!(got.hits, want.hits, "{what}");
    one.backward(&want.loss);
    many.backward(&got.loss);
    // What f32 makes of the joined batch in one process is itself this far from the truth: gradients of deep layers are sums that cancel.
    let rounding = (kind == Kind::Float).then(|| {
        let truth = Side::new(Kind::Double, None);
        let (joined, ..) = images(views, Kind::Double, comm.as_ref());
        truth.backward(&truth.judge(loss, &joined, layout.joined(ranks), 1).loss);
        truth
    });
    gradients_agree(&what, &many, &one, rounding.as_ref().unwrap_or(&one), tolerance);
    for ((name, got), (_, want)) in many.buffers().iter().zip(&one.buffers()) {
        close(&format!("{what}: {name}"), got, want, tolerance);
    }
}

/// Holds gradients of `many` to the `truth`, no farther off than `one` is and the tolerance.
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
    for (((name, many), (_, one)), (_, truth)) in many.iter().zip(&one).zip(&truth) {
        let allowed = tolerance * length(truth).max(least) + length(&(one - truth));
        let off = length(&(many - truth));
        // Not `>`: a NaN must fail.
        assert!(off <= allowed, "{what}: gradient of {name} is {off:.3e} off, allowed {allowed:.3e}");
    }
}

/// Ten updates of both sides stay together, and all ranks stay the same to the bit.
fn several_updates(comm: &Arc<dyn Comm>) {
    let ranks = comm.world().size() as usize;
    let loss = Loss::Head(Head::Contrastive { temperature: 10.0 });
    let (joined, own, layout) = images(2, Kind::Double, comm.as_ref());
    let one = Side::new(Kind::Double, None);
    let many = Side::new(Kind::Double, Some(Arc::clone(comm)));
    for _ in 0..10 {
        let want = one.judge(loss, &joined, layout.joined(ranks), 1);
        let got = many.judge(loss, &own, layout, ranks);
        close("loss after updates", &got.loss, &want.loss, 1e-8);
        one.backward(&want.loss);
        many.backward(&got.loss);
        for (_, parameter) in one.parameters().iter().chain(&many.parameters()).filter(|(_, p)| p.grad().defined()) {
            let _ = no_grad(|| parameter.shallow_clone().subtract_(&(parameter.grad() * 0.05)));
        }
    }
    for (name, tensor) in many.encoder.weights().state() {
        let mut first = tensor.detach().copy();
        comm.broadcast(&mut first, 0).unwrap();
        assert!(first.equal(&tensor), "{name} differs between ranks");
    }
}

/// The forward pass in bfloat16, whose norms see values of one kind and weights of another: about as far from f32 as one process is.
fn reduced_precision(comm: &Arc<dyn Comm>) {
    let ranks = comm.world().size() as usize;
    let loss = Loss::Head(Head::Contrastive { temperature: 2.0 });
    let (joined, own, layout) = images(2, Kind::Float, comm.as_ref());
    let side = |comm, precision| {
        let mut side = Side::new(Kind::Float, comm);
        side.encoder = side.encoder.with_precision(precision);
        side
    };
    let full = side(None, Precision::F32);
    let one = side(None, Precision::Bf16);
    let many = side(Some(Arc::clone(comm)), Precision::Bf16);
    for side in [&full, &one] {
        side.backward(&side.judge(loss, &joined, layout.joined(ranks), 1).loss);
    }
    many.backward(&many.judge(loss, &own, layout, ranks).loss);
    let gradient = |side: &Side| {
        let all: Vec<_> = side.encoder.weights().trained().into_iter().map(|(_, tensor)| tensor.grad()).collect();
        Tensor::cat(&all.iter().filter(|g| g.defined()).map(|g| g.flatten(0, -1)).collect::<Vec<_>>(), 0)
    };
    let [full, one, many] = [&full, &one, &many].map(gradient);
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
