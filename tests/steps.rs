//! The composed training step gives the published code's losses and gradients, with its own random choices fed in; and its gradient is
//! the slope of its loss.
#![cfg(feature = "torch")]

mod golden_support;

use std::cell::RefCell;

use golden_support::tensors::{Case, Goldens, close};
use metacl::device::rows::{turn_labels, turned};
use metacl::episode::mix::draw_mix;
use metacl::episode::{MixPlan, Patch, RowLayout};
use metacl::nn::HeadOut;
use metacl::nn::head::{Head, Shots, unit_rows};
use metacl::train::step::{Draws, Mixing, Networks, Rotation, Rows, Tricks};
use metacl::train::task::Forward;
use tch::{Device, Kind, Tensor};

/// Precision of the computation, tolerance of the loss, tolerance of the gradient.
const PRECISIONS: [(Kind, f64, f64); 2] = [(Kind::Double, 1e-10, 1e-10), (Kind::Float, 1e-5, 1e-4)];

/// The goldens' network: `z = (pixels - 0.5) W`, rotation logits `z / |z| / sqrt(temperature) R`. Keeps what it is given.
struct LinearNetwork {
    w: Tensor,
    r: Tensor,
    head: Head,
    temperature: f64,
    inputs: RefCell<Vec<Tensor>>,
}

impl LinearNetwork {
    fn of(case: &Case<'_>, head: Head, kind: Kind) -> Self {
        let leaf = |name: &str| case.tensor(name).to_kind(kind).set_requires_grad(true);
        Self { w: leaf("W"), r: leaf("R"), head, temperature: case.number("tau"), inputs: RefCell::default() }
    }

    fn z(&self, images: &Tensor) -> Tensor {
        self.inputs.borrow_mut().push(images.shallow_clone());
        (images.flatten(1, -1) - 0.5).matmul(&self.w)
    }
}

impl Networks for LinearNetwork {
    fn embed(&self, images: &Tensor, _layout: RowLayout) -> Rows {
        Rows(vec![self.z(images)])
    }

    fn judge(&self, rows: &Rows, layout: RowLayout) -> HeadOut {
        self.head.judge(&rows.0[0], layout)
    }

    fn turn_logits(&self, images: &Tensor) -> Tensor {
        (unit_rows(&self.z(images)) / self.temperature.sqrt()).matmul(&self.r)
    }

    fn sum(&self, part: Tensor) -> Tensor {
        part
    }
}

fn head(case: &Case<'_>) -> Head {
    let (temperature, shots) = (case.number("tau"), Shots { n_supp: 1, n_query: 1 });
    match case.count("head") {
        0 => Head::Contrastive { temperature },
        1 => Head::R2d2 { temperature, reg: 50.0, shots },
        2 => Head::Proto { temperature, shots },
        other => panic!("{}: no head has number {other}", case.name),
    }
}

fn tricks(case: &Case<'_>) -> Tricks {
    let or_one = |name: &str| case.find(name).map_or(1.0, |number| number.double_value(&[]));
    let mixing = (case.count("qcm") == 1).then(|| Mixing { weight: or_one("mix_reg"), supports: 1 });
    let rotation = case.find("rottlr").map(|weight| Rotation {
        weight: weight.double_value(&[]),
        divisor: or_one("rot_div") as usize,
        decays_over: (case.count("adpt") == 1).then(|| case.number("iters") as u64),
    });
    Tricks { mixing, rotation, ori_reg: or_one("ori_reg") }
}

/// The case's random choices; the patch is read off the mixed images.
fn draws(case: &Case<'_>, layout: RowLayout) -> Draws {
    let mix = (case.count("qcm") == 1).then(|| MixPlan {
        share: case.number("lam_used"),
        patch: (case.count("mix_is_global") == 0).then(|| patch(case, layout)),
    });
    let turns = case.find("rottlr").map(|_| turns(case));
    Draws { mix, turns }
}

fn turns(case: &Case<'_>) -> Vec<u8> {
    Vec::<i64>::try_from(case.tensor("rot_k")).expect("turns are integers").into_iter().map(|k| k as u8).collect()
}

/// The rectangle in which the mixed images differ from the queries.
fn patch(case: &Case<'_>, layout: RowLayout) -> Patch {
    let classes = layout.classes as i64;
    let mixed = case.tensor("model_input_0_z").narrow(0, 2 * classes, classes);
    let differs = mixed.ne_tensor(&case.tensor("x").narrow(0, classes, classes)).any_dim(0, false).any_dim(0, false);
    let span = |axis: i64| {
        let hit = differs.any_dim(axis, false).nonzero().flatten(0, -1);
        let hit = Vec::<i64>::try_from(hit).expect("places are integers");
        let start = hit.first().copied().unwrap_or(0);
        (start as u32, hit.last().map_or(0, |last| last + 1 - start) as u32)
    };
    let ((top, height), (left, width)) = (span(1), span(0));
    Patch { top, left, height, width }
}

fn run(case: &Case<'_>, network: &LinearNetwork, images: &Tensor, layout: RowLayout) -> Forward {
    tricks(case).step(network, images, None, layout, &draws(case, layout), case.number("it") as u64)
}

#[test]
fn golden_steps() {
    let goldens = Goldens::open("steps");
    for case in goldens.cases("step") {
        let head = head(&case);
        let layout = RowLayout::new(case.tensor("x").size()[0] as usize / 2, 2);
        for (kind, loss_tolerance, gradient_tolerance) in PRECISIONS {
            let images = task_turned(&case, layout).to_kind(kind);
            let network = LinearNetwork::of(&case, head, kind);
            let out = run(&case, &network, &images, layout);
            out.loss.backward();
            check_inputs(&case, &network);
            check_terms(&case, &out, loss_tolerance);
            // Where the published code overwrites its mixing loss, what it means counts.
            let intended = case.find("intended_loss_f64").map_or("", |_| "intended_");
            case.check(&format!("{intended}loss_f64"), &out.loss, loss_tolerance);
            case.check(&format!("{intended}grad_W_f64"), &network.w.grad(), gradient_tolerance);
            if let Some(gradient) = case.find("grad_R_f64") {
                close(&case.name, &network.r.grad(), gradient, gradient_tolerance);
            }
            if intended.is_empty() {
                case.check("acc_f64", &out.accuracy, 1e-6);
            }
        }
    }
}

/// The batch, with task rotation as the case drew it: in every view of an image by the same angle.
fn task_turned(case: &Case<'_>, layout: RowLayout) -> Tensor {
    let images = case.tensor("x").shallow_clone();
    let Some(probability) = case.find("rottlr_p") else { return images };
    let drawn = case.tensor("rot_uniform").le_tensor(probability).to_kind(Kind::Int64) * case.tensor("rot_k");
    turned(&images, &drawn.repeat([layout.views as i64]))
}

/// What the network saw, pixel for pixel.
fn check_inputs(case: &Case<'_>, network: &LinearNetwork) {
    for (name, input) in ["model_input_0_z", "model_input_1_rot"].into_iter().zip(network.inputs.borrow().iter()) {
        case.check(name, input, 1e-6);
    }
}

fn check_terms(case: &Case<'_>, out: &Forward, tolerance: f64) {
    let term = |name| out.terms.iter().find(|(known, _)| *known == name).map(|(_, loss)| loss);
    let Some(mix) = term("mix") else { return };
    let share = case.number("lam_used");
    let wanted = case.tensor("part_mix1_f64") * share + case.tensor("part_mix2_f64") * (1.0 - share);
    close(&case.name, mix, &wanted, tolerance);
    case.check("part_ori_f64", term("head").expect("the head has a term"), tolerance);
}

/// All tricks at once, several shots: the gradient against central differences in f64.
#[test]
fn the_gradient_of_the_composed_step_is_its_slope() {
    let (layout, size) = (RowLayout::new(3, 4), 4);
    let double = (Kind::Double, Device::Cpu);
    let images = Tensor::arange(12 * 48, double).reshape([12, 3, 4, 4]).sin() * 0.5 + 0.5;
    let shots = Shots { n_supp: 2, n_query: 2 };
    let rotation = Rotation { weight: 0.7, divisor: 2, decays_over: Some(50) };
    let heads = [
        (Head::Contrastive { temperature: 5.0 }, 3),
        (Head::Proto { temperature: 0.4, shots }, 2),
        (Head::R2d2 { temperature: 0.1, reg: 5.0, shots }, 2),
    ];
    for ((head, supports), step) in heads.into_iter().flat_map(|head| (0..4).map(move |step| (head, step))) {
        let mixing = Some(Mixing { weight: 0.6, supports });
        let tricks = Tricks { mixing, rotation: Some(rotation), ori_reg: 0.9 };
        let draws = Draws { mix: Some(draw_mix(3, step, size)), turns: Some(vec![0, 1, 2, 3, 1, 3]) };
        let loss = |w: &Tensor, r: &Tensor| {
            let (w, r) = (w.shallow_clone(), r.shallow_clone());
            let network = LinearNetwork { w, r, head, temperature: 5.0, inputs: RefCell::default() };
            tricks.step(&network, &images, None, layout, &draws, 20).loss
        };
        let w = ((Tensor::arange(48 * 3, double) * 1.7).cos() * 0.3).reshape([48, 3]).set_requires_grad(true);
        let r = ((Tensor::arange(12, double) * 0.9).sin() * 0.5).reshape([3, 4]).set_requires_grad(true);
        loss(&w, &r).backward();
        for (leaf, at) in [(&w, [0, 0]), (&w, [17, 1]), (&w, [47, 2]), (&r, [0, 3]), (&r, [2, 1])] {
            const STEP: f64 = 1e-5;
            let value = |shift: f64| {
                let moved = leaf.detach().copy();
                let _ = moved.get(at[0]).get(at[1]).g_add_scalar_(shift);
                let of = if leaf.size() == w.size() { loss(&moved, &r) } else { loss(&w, &moved) };
                of.double_value(&[])
            };
            let slope = (value(STEP) - value(-STEP)) / (2.0 * STEP);
            let got = leaf.grad().double_value(&at);
            assert!(
                (got - slope).abs() <= 1e-8 * slope.abs().max(1.0),
                "{head:?} {step} {at:?}: {got} against {slope}"
            );
        }
    }
}

/// Turns of task rotation and of the rotation loss are `torch.rot90`'s.
#[test]
fn golden_quarter_turns() {
    let goldens = Goldens::open("images");
    let all = goldens.root().tensor("rot90/chw_u8").shallow_clone();
    let upright = all.narrow(0, 0, 1).repeat([4, 1, 1, 1]);
    assert_eq!(turned(&upright, &turn_labels(&[0, 1, 2, 3], Device::Cpu)), all);
}
