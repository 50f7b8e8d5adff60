//! The optimizers and schedules give the published code's parameters and rates, and go on from their saved state as if never stopped.
#![cfg(feature = "torch")]

mod golden_support;

use std::collections::HashMap;

use golden_support::tensors::{Case, Goldens, close};
use golden_support::{nets, report};
use metacl::nn::{Arch, Encoder, EncoderSpec, Role, Stem};
use metacl::optim::{Adam, Lars, OptimError, Optimizer, Rule, Schedule, Sgd, schedule::Shape};
use tch::{Device, Kind, Reduction, Tensor};

/// Sets the gradient of `weight`: that of a loss which is linear in it.
fn give_gradient(weight: &Tensor, gradient: &Tensor) {
    (weight * gradient).sum(weight.kind()).backward();
}

fn leaf(values: &Tensor, kind: Kind) -> Tensor {
    // A copy: goldens of the wanted precision must not be written to.
    values.to_kind(kind).copy().set_requires_grad(true)
}

#[test]
fn golden_lars() {
    let goldens = Goldens::open("optim");
    for case in goldens.cases("lars") {
        for (kind, tolerance) in [(Kind::Double, 1e-10), (Kind::Float, 1e-5)] {
            lars_follows(&case, kind, tolerance);
        }
    }
}

fn lars_follows(case: &Case<'_>, kind: Kind, tolerance: f64) {
    let (momentum, trust) = (case.number("momentum"), case.number("trust"));
    let rule = Lars { momentum, weight_decay: case.number("weight_decay"), trust, exclude_all_bn: false };
    let adapted = case.count("n_adapted");
    let weights: Vec<_> = (0..).map_while(|i| Some(leaf(case.find(&format!("p{i}/init"))?, kind))).collect();
    let named = weights.iter().enumerate().map(|(i, weight)| {
        let name = if i < adapted { format!("p{i}.weight") } else { format!("p{i}.bias") };
        (name, weight.shallow_clone())
    });
    let mut optimizer = Optimizer::new(Rule::Lars(rule), named.collect());
    let rates = Vec::<f64>::try_from(case.tensor("lr")).expect("lr is a row of f64");
    for (step, lr) in rates.into_iter().enumerate() {
        optimizer.zero_grad();
        for (i, weight) in weights.iter().enumerate() {
            give_gradient(weight, &case.tensor(&format!("p{i}/grads")).get(step as i64).to_kind(kind));
        }
        optimizer.step(lr);
        for (i, weight) in weights.iter().enumerate() {
            let want = case.tensor(&format!("p{i}/after_f64")).get(step as i64);
            close(&format!("{}p{i} after step {step}", case.name), weight, &want, tolerance);
        }
    }
}

#[test]
fn golden_sgd_and_adam() {
    let goldens = Goldens::open("optim");
    for name in ["sgd", "adam"] {
        let case = goldens.case(name);
        let weight_decay = case.number("weight_decay");
        let rule = match name {
            "sgd" => Rule::Sgd(Sgd { momentum: 0.9, weight_decay }),
            _ => Rule::Adam(Adam { weight_decay }),
        };
        let weight = leaf(case.tensor("init"), Kind::Double);
        let mut optimizer = Optimizer::new(rule, vec![("weight".into(), weight.shallow_clone())]);
        let gradients = case.tensor("grads").to_kind(Kind::Double).unbind(0);
        report(&format!("{name} step"), gradients.len());
        for (step, gradient) in (0..).zip(&gradients) {
            optimizer.zero_grad();
            give_gradient(&weight, gradient);
            optimizer.step(case.number("lr"));
            close(&format!("{name} after step {step}"), &weight, &case.tensor("after_f64").get(step), 1e-10);
        }
    }
}

#[test]
fn golden_schedules() {
    let goldens = Goldens::open("optim");
    let kinds = goldens.groups("sched");
    report("kind of schedule", kinds.len());
    for kind in kinds {
        let shape: Shape = kind.parse().expect("goldens use published names");
        for case in goldens.cases(&format!("sched/{kind}")) {
            let iters = case.count("iters") as u64;
            let (base_lr, warmup) = (case.number("base_lr"), case.number("warmup"));
            let schedule = Schedule { shape, base_lr, iters, warmup };
            let rates: Vec<_> = (0..=iters).map(|e| schedule.lr(e)).collect();
            case.check("lr", &Tensor::from_slice(&rates), 1e-10);
        }
    }
}

#[test]
fn golden_linear_probe() {
    let goldens = Goldens::open("optim");
    let case = goldens.case("probe");
    let (x, y) = (case.tensor("x").to_kind(Kind::Double), case.tensor("y"));
    let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Double, Device::Cpu)).set_requires_grad(true);
    let weight = zeros(&case.tensor("weight_f64").size());
    let bias = zeros(&case.tensor("bias_f64").size());
    let named = [("weight", &weight), ("bias", &bias)].map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()));
    let mut optimizer = Optimizer::new(Rule::Sgd(Sgd { momentum: 0.9, weight_decay: 1e-4 }), named.into());
    let iters = case.tensor("loss_f64").size()[0] as u64;
    report("probe step", iters as usize);
    let schedule = Schedule { shape: Shape::Linear, base_lr: 0.1, iters, warmup: 0.0 };
    let losses = (0..iters).map(|e| {
        let logits = x.linear(&weight, Some(&bias));
        let loss = logits.cross_entropy_loss(y, None::<&Tensor>, Reduction::Mean, -100, 0.0);
        optimizer.zero_grad();
        loss.backward();
        optimizer.step(schedule.lr(e));
        loss.double_value(&[])
    });
    let losses: Vec<_> = losses.collect();
    case.check("loss_f64", &Tensor::from_slice(&losses), 1e-10);
    case.check("weight_f64", &weight, 1e-10);
    case.check("bias_f64", &bias, 1e-10);
}

/// Excluded by name means: all of one dimension but the scale of the shortcut's norm. Names and shapes are the published encoder's.
#[test]
fn golden_lars_exclusions() {
    let (lars, strict) = (Lars::published(0.0), Lars { exclude_all_bn: true, ..Lars::published(0.0) });
    for tag in nets::tags() {
        let [parameters, _] = nets::names(&tag);
        let mut shortcuts = 0;
        for (name, shape) in parameters {
            let tensor = Tensor::zeros(&shape, (Kind::Float, Device::Cpu));
            let (flat, trap) = (shape.len() == 1, name.ends_with("downsample.1.weight"));
            shortcuts += usize::from(trap);
            assert_eq!(lars.excludes(&name, &tensor), flat && !trap, "{tag}: {name}");
            assert_eq!(strict.excludes(&name, &tensor), flat, "{tag}: {name}");
        }
        assert!(shortcuts >= 3, "{tag} has {shortcuts} shortcuts");
    }
}

/// The list, by hand: what LARS decays and adapts in ResNet-50.
#[test]
fn lars_adapts_these_parameters_of_resnet50() {
    let blocks = [3, 4, 6, 3].into_iter().zip(1..).flat_map(|(count, layer)| (0..count).map(move |b| (layer, b)));
    let of_block = |(layer, block): (u32, u32)| {
        let parts: &[&str] = match block {
            0 => &["conv1", "conv2", "conv3", "downsample.0", "downsample.1"],
            _ => &["conv1", "conv2", "conv3"],
        };
        parts.iter().map(move |part| format!("convnet.layer{layer}.{block}.{part}.weight"))
    };
    let ends = ["projection.fc1.weight", "projection.fc2.weight", "rot_head.weight"].map(str::to_owned);
    let expected: Vec<_> =
        ["convnet.conv1.weight".to_owned()].into_iter().chain(blocks.flat_map(of_block)).chain(ends).collect();

    let spec = EncoderSpec { arch: Arch::ResNet50, stem: Stem::ImageNet };
    let encoder = Encoder::blank(spec, Kind::Float, Device::Cpu);
    let lars = Lars::published(1e-6);
    let trained = encoder.weights().iter().filter(|weight| weight.role == Role::Parameter);
    let adapted: Vec<_> = trained.filter(|w| !lars.excludes(&w.name, &w.tensor)).map(|w| w.name.clone()).collect();
    assert_eq!(adapted, expected);
}

const RULES: [Rule; 3] = [
    Rule::Sgd(Sgd { momentum: 0.9, weight_decay: 0.01 }),
    Rule::Adam(Adam { weight_decay: 0.01 }),
    Rule::Lars(Lars::published(0.01)),
];

fn small_network() -> Vec<(String, Tensor)> {
    let weight = Tensor::arange(6, (Kind::Float, Device::Cpu)).reshape([2, 3]) / 7.0 - 0.3;
    let bias = Tensor::from_slice(&[0.5f32, -0.25]);
    let leaf = |tensor: Tensor| tensor.set_requires_grad(true);
    vec![("fc.weight".into(), leaf(weight)), ("fc.bias".into(), leaf(bias))]
}

fn train(network: &[(String, Tensor)], optimizer: &mut Optimizer, steps: std::ops::Range<u32>) {
    for step in steps {
        optimizer.zero_grad();
        let x = (Tensor::arange(12, (Kind::Float, Device::Cpu)).reshape([4, 3]) * f64::from(step + 1)).sin();
        x.linear(&network[0].1, Some(&network[1].1)).square().mean(Kind::Float).backward();
        optimizer.step(0.1);
    }
}

fn clones(network: &[(String, Tensor)]) -> Vec<(String, Tensor)> {
    network.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
}

#[test]
fn a_saved_state_goes_on_to_the_bit() {
    for rule in RULES {
        let through = small_network();
        train(&through, &mut Optimizer::new(rule, clones(&through)), 0..7);

        let first = small_network();
        let mut optimizer = Optimizer::new(rule, clones(&first));
        train(&first, &mut optimizer, 0..4);
        let state: HashMap<_, _> = optimizer.state().into_iter().map(|(name, t)| (name, t.copy())).collect();
        let copied = |(name, t): &(String, Tensor)| (name.clone(), t.detach().copy().set_requires_grad(true));
        let second: Vec<_> = first.iter().map(copied).collect();
        let mut optimizer = Optimizer::new(rule, clones(&second));
        optimizer.load_state(&state).unwrap();
        train(&second, &mut optimizer, 4..7);

        for ((name, through), (_, resumed)) in through.iter().zip(&second) {
            assert_eq!(through, resumed, "{rule:?} {name}");
        }
    }
}

#[test]
fn a_foreign_state_is_refused_and_changes_nothing() {
    for rule in RULES {
        let network = small_network();
        let mut optimizer = Optimizer::new(rule, clones(&network));
        train(&network, &mut optimizer, 0..2);
        let own: HashMap<_, _> = optimizer.state().into_iter().map(|(name, t)| (name, t.copy())).collect();
        let moment = own.keys().find(|name| name.ends_with("fc.weight")).unwrap().clone();
        let foreign = |edit: &dyn Fn(&mut HashMap<String, Tensor>)| {
            let mut state: HashMap<_, _> = own.iter().map(|(name, t)| (name.clone(), t + 1)).collect();
            edit(&mut state);
            state
        };
        let lacking = foreign(&|state| drop(state.remove(&moment)));
        assert_eq!(optimizer.load_state(&lacking), Err(OptimError::Missing { name: moment.clone() }));
        let stepless = foreign(&|state| drop(state.remove("step")));
        assert_eq!(optimizer.load_state(&stepless), Err(OptimError::Missing { name: "step".into() }));
        let more = foreign(&|state| drop(state.insert("other".into(), Tensor::from(1.0))));
        assert_eq!(optimizer.load_state(&more), Err(OptimError::Unexpected { name: "other".into() }));
        let wide = foreign(&|state| drop(state.insert(moment.clone(), Tensor::zeros([9], (Kind::Float, Device::Cpu)))));
        assert!(matches!(optimizer.load_state(&wide), Err(OptimError::Shape { got, .. }) if got == [9]));
        assert!(optimizer.state().iter().all(|(name, t)| t == &own[name]), "{rule:?} was changed");
    }
}

#[test]
fn parameters_without_a_gradient_stay_and_gradients_are_summed() {
    for rule in RULES {
        let network = small_network();
        let idle = Tensor::ones([2, 2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let mut named = clones(&network);
        named.push(("idle.weight".into(), idle.shallow_clone()));
        let mut optimizer = Optimizer::new(rule, named);
        train(&network, &mut optimizer, 0..2);
        assert_eq!(idle, Tensor::ones([2, 2], (Kind::Float, Device::Cpu)), "{rule:?}");

        optimizer.zero_grad();
        let ones = Tensor::ones([2], (Kind::Float, Device::Cpu));
        give_gradient(&network[1].1, &ones);
        give_gradient(&network[1].1, &ones);
        assert_eq!(network[1].1.grad(), &ones * 2.0);
    }
}

/// A network whose two gradients have the joint norm 5.
fn with_gradients() -> Vec<(String, Tensor)> {
    let network = small_network();
    give_gradient(&network[0].1, &Tensor::from_slice(&[3.0f32, 0.0, 0.0, 0.0, 0.0, 0.0]).reshape([2, 3]));
    give_gradient(&network[1].1, &Tensor::from_slice(&[0.0f32, 4.0]));
    network
}

#[test]
fn clipping_shortens_long_gradients_by_one_factor_and_leaves_short_ones() {
    for (most, factor) in [(2.5, 0.5), (5.1, 1.0)] {
        let network = with_gradients();
        let rule = Rule::Sgd(Sgd { momentum: 0.0, weight_decay: 0.0 });
        Optimizer::new(rule, clones(&network)).clipped(Some(most)).step(1.0);
        let moved = |n: usize, at: &[i64]| (&small_network()[n].1 - &network[n].1).double_value(at);
        assert!((moved(0, &[0, 0]) - 3.0 * factor).abs() < 1e-5 && (moved(1, &[1]) - 4.0 * factor).abs() < 1e-5);
    }
}

#[test]
fn vectors_can_be_left_out_of_decay_and_adaptation() {
    for rule in RULES {
        let bias_after = |exclude: bool| {
            let network = with_gradients();
            let optimizer = Optimizer::new(rule, clones(&network));
            let mut optimizer = if exclude { optimizer.excluding_vectors() } else { optimizer };
            optimizer.step(0.1);
            network[1].1.double_value(&[0])
        };
        // Its first gradient is zero: only decay moves it. LARS leaves a bias out by its name.
        assert_eq!(bias_after(true), 0.5, "{rule:?}");
        assert_eq!(bias_after(false) == 0.5, matches!(rule, Rule::Lars(_)), "{rule:?}");
    }
}

#[test]
fn a_scaled_loss_gives_the_same_update_and_an_overflow_none() {
    for rule in RULES {
        let run = |scaled: bool, overflow: bool| {
            let network = small_network();
            let optimizer = Optimizer::new(rule, clones(&network)).clipped(Some(0.1));
            let mut optimizer = if scaled { optimizer.scaled() } else { optimizer };
            let x = Tensor::arange(12, (Kind::Float, Device::Cpu)).reshape([4, 3]).sin();
            for step in 0..3 {
                optimizer.zero_grad();
                let loss = x.linear(&network[0].1, Some(&network[1].1)).square().mean(Kind::Float);
                // Too large for f32 only once scaled.
                let loss = if overflow && step == 1 { loss * 1e38 } else { loss };
                optimizer.scale(&loss).backward();
                optimizer.step(0.1);
            }
            let state: HashMap<_, _> = optimizer.state().into_iter().collect();
            (network, state["step"].int64_value(&[]), state.get("loss_scale").map(|scale| scale.double_value(&[0])))
        };
        let (plain, steps, none) = run(false, false);
        let (scaled, same_steps, scale) = run(true, false);
        assert_eq!((steps, same_steps, none, scale), (3, 3, None, Some(65536.0)));
        // Powers of two: not a bit differs.
        assert_eq!(plain, scaled, "{rule:?}");
        let (skipped, steps, scale) = run(true, true);
        assert_eq!((steps, scale), (2, Some(32768.0)), "{rule:?}");
        assert!(skipped.iter().all(|(_, weight)| bool::try_from(weight.isfinite().all()).unwrap()));
    }
}
