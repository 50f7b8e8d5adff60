//! Reduced precision: the network computes in it, losses and gradients stay f32 and near the exact ones.
#![cfg(feature = "torch")]

use metacl::episode::RowLayout;
use metacl::nn::{Arch, Encoder, EncoderSpec, Head, InitStyle, Mode, Precision, Stem};
use tch::{Device, Kind, Tensor};

/// Loss and gradient by name of one step of `arch` on 8 waves, two views each.
fn step(arch: Arch, precision: Precision) -> (Tensor, Vec<(String, Tensor)>) {
    let spec = EncoderSpec { arch, stem: Stem::Cifar };
    let encoder = Encoder::new(spec, Kind::Float, Device::Cpu, 1, InitStyle::Torch).with_precision(precision);
    let images = (Tensor::arange(16 * 3 * 256, (Kind::Float, Device::Cpu)) * 0.37).sin() * 0.5 + 0.5;
    let h = encoder.features(&images.reshape([16, 3, 16, 16]), Mode::Train);
    let z = encoder.project(&h, Mode::Train);
    assert_eq!((h.kind(), z.kind()), (Kind::Float, Kind::Float));
    let loss = Head::Contrastive { temperature: 2.0 }.judge(&z, RowLayout::new(8, 2)).loss;
    loss.backward();
    let with_gradient = encoder.weights().trained().into_iter().filter(|(_, weight)| weight.grad().defined());
    (loss.detach(), with_gradient.map(|(name, weight)| (name, weight.grad())).collect())
}

#[test]
fn bf16_gradients_are_finite_f32_and_near_the_exact_ones() {
    for arch in [Arch::Conv4 { filters: 16 }, Arch::Conv4 { filters: 32 }] {
        let (exact, reduced) = (step(arch, Precision::F32), step(arch, Precision::Bf16));
        assert_eq!(reduced.0.kind(), Kind::Float);
        let (want, got) = (exact.0.double_value(&[]), reduced.0.double_value(&[]));
        assert!((want - got).abs() < 0.02 * want && want != got, "{arch:?}: {want}, {got}");
        let joint = |gradients: &[(String, Tensor)]| {
            Tensor::cat(&gradients.iter().map(|(_, gradient)| gradient.flatten(0, -1)).collect::<Vec<_>>(), 0)
        };
        assert_eq!(exact.1.len(), reduced.1.len());
        assert!(reduced.1.iter().all(|(_, gradient)| gradient.kind() == Kind::Float));
        let (want, got) = (joint(&exact.1), joint(&reduced.1));
        assert!(bool::try_from(got.isfinite().all()).expect("one truth"));
        let cosine = (&want * &got).sum(Kind::Double) / want.norm() / got.norm();
        // 8 bits a number, batch norms over 16 rows.
        assert!(cosine.double_value(&[]) > 0.95, "{arch:?}: cosine {cosine:?}");
    }
}

#[test]
fn evaluation_is_exact_whatever_the_precision() {
    let spec = EncoderSpec { arch: Arch::Conv4 { filters: 8 }, stem: Stem::Cifar };
    let encoder =
        |precision| Encoder::new(spec, Kind::Float, Device::Cpu, 1, InitStyle::Torch).with_precision(precision);
    let images = Tensor::ones([2, 3, 16, 16], (Kind::Float, Device::Cpu)) * 0.3;
    let features = |precision| encoder(precision).features(&images, Mode::Eval);
    assert_eq!(features(Precision::Bf16), features(Precision::F32));
}

/// Loss, gradients and network of one step in a memory layout; in f64, so that the order of sums does not show.
fn laid_out(arch: Arch, channels_last: bool) -> (f64, Vec<(String, Tensor)>, Encoder) {
    let spec = EncoderSpec { arch, stem: Stem::Cifar };
    let encoder = Encoder::new(spec, Kind::Double, Device::Cpu, 1, InitStyle::Torch);
    let encoder = encoder.with_channels_last(Some(channels_last));
    let images = (Tensor::arange(8 * 3 * 256, (Kind::Double, Device::Cpu)) * 0.37).sin() * 0.5 + 0.5;
    let z = encoder.project(&encoder.features(&images.reshape([8, 3, 16, 16]), Mode::Train), Mode::Train);
    let loss = Head::Contrastive { temperature: 2.0 }.judge(&z, RowLayout::new(4, 2)).loss;
    loss.backward();
    let trained = encoder.weights().trained().into_iter().filter(|(_, weight)| weight.grad().defined());
    let gradients = trained.map(|(name, weight)| (name, weight.grad())).collect();
    (loss.double_value(&[]), gradients, encoder)
}

#[test]
fn channels_last_changes_memory_and_not_values() {
    for arch in [Arch::ResNet18, Arch::Conv4 { filters: 16 }] {
        let (last, first) = (laid_out(arch, true), laid_out(arch, false));
        assert!((last.0 - first.0).abs() < 1e-9 * first.0, "{arch:?}: {} {}", last.0, first.0);
        assert_eq!(last.1.len(), first.1.len());
        for ((name, a), (_, b)) in last.1.iter().zip(&first.1) {
            let (off, most) = ((a - b).abs().max().double_value(&[]), b.abs().max().double_value(&[]));
            assert!(off <= 1e-9 + 1e-7 * most, "{arch:?} {name}: off by {off} of {most}");
        }
        let strides = |encoder: &Encoder| {
            let convolutions = encoder.weights().state().into_iter().filter(|(_, tensor)| tensor.dim() == 4);
            convolutions.map(|(_, tensor)| tensor.stride()[1] == 1).collect::<Vec<_>>()
        };
        assert!(strides(&last.2).into_iter().all(|innermost| innermost));
        assert!(strides(&first.2).contains(&false));
        // The optimizer holds the network's own tensors, whatever their layout.
        let trained = last.2.weights().trained();
        let at = trained.iter().position(|(name, _)| name == "convnet.conv1.weight").expect("every backbone has it");
        let _ = tch::no_grad(|| trained[at].1.shallow_clone().fill_(0.25));
        let (name, weight) = last.2.weights().state().swap_remove(0);
        assert_eq!((name.as_str(), weight.double_value(&[0, 0, 0, 0])), ("convnet.conv1.weight", 0.25));
    }
}
