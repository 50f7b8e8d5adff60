//! Weights to and from other programs: files of real torch, round trips, hostile files.

#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod hostile;

use std::fs;
use std::path::{Path, PathBuf};

use metacl::config::Arch;
use metacl::nn::{Encoder, EncoderSpec, InitStyle, Mode, Stem};
use metacl::train::checkpoint::{self, Checkpoint, Meta};
use metacl::train::exchange::{TorchFile, export, import};
use safetensors::SafeTensors;
use tch::{Device, Kind, Tensor};

/// A file of `tools/torch_fixtures.py`.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torch_files").join(name)
}

fn encoder(arch: metacl::nn::Arch, stem: Stem, seed: u64) -> Encoder {
    Encoder::new(EncoderSpec { arch, stem }, Kind::Float, Device::Cpu, seed, InitStyle::Torch)
}

fn save(encoder: &Encoder, arch: &str, path: &Path) {
    let meta = Meta {
        iter: 7,
        arch: arch.to_owned(),
        head: "PN".to_owned(),
        config_digest: "0".repeat(32),
        seed: 3,
        extra: serde_json::json!({}),
    };
    checkpoint::write(path, &meta, &encoder.weights().state(), &[]).unwrap();
}

/// Largest difference of the features of fixed images.
fn apart(a: &Encoder, b: &Encoder) -> f64 {
    let images =
        Tensor::linspace(0.0, 1.0, 2 * 3 * 32 * 32, (Kind::Float, Device::Cpu)).reshape([2, 3, 32, 32]).square();
    let features = |encoder: &Encoder| tch::no_grad(|| encoder.features(&images, Mode::Eval));
    (features(a) - features(b)).abs().max().double_value(&[])
}

#[test]
fn both_layouts_of_real_torch_are_read() {
    for name in ["zip_of_21_letters.pth.tar", "legacy.pth.tar"] {
        let path = fixture(name);
        let mut file = TorchFile::read(&path, fs::read(&path).unwrap()).unwrap();
        assert_eq!(file.iter(), Some(1200));
        let mut numbers = |name: &str| {
            let tensor = file.tensor(name).unwrap();
            let flat = Vec::<f64>::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).unwrap();
            (tensor.kind(), tensor.size(), flat)
        };
        let small = f64::from(1e-3f32);
        assert_eq!(numbers("single"), (Kind::Float, vec![2, 3], vec![0.0, 1.5, -2.0, 3.0, 4.0, small]));
        assert_eq!(numbers("double"), (Kind::Double, vec![2], vec![1.0 / 3.0, -2.0]));
        assert_eq!(numbers("half"), (Kind::Half, vec![2], vec![0.5, 65504.0]));
        assert_eq!(numbers("brain"), (Kind::BFloat16, vec![2], vec![1.0, -3.0]));
        assert_eq!(numbers("count"), (Kind::Int64, vec![], vec![7.0]));
        assert_eq!(numbers("mask"), (Kind::Bool, vec![2], vec![1.0, 0.0]));
        let turned = vec![1.0, 5.0, 9.0, 2.0, 6.0, 10.0, 3.0, 7.0, 11.0];
        assert_eq!(numbers("turned"), (Kind::Float, vec![3, 3], turned));
        assert_eq!(numbers("parameter"), (Kind::Float, vec![1], vec![2.5]));
        assert_eq!(numbers("empty"), (Kind::Float, vec![0, 3], vec![]));
        assert_eq!(file.shapes().len(), 10);
    }
}

#[test]
fn an_exported_backbone_comes_back_with_the_same_features() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let archs = [
        (metacl::nn::Arch::ResNet18, Stem::Cifar, Arch::ResNet18, "ResNet18"),
        (metacl::nn::Arch::Conv4 { filters: 32 }, Stem::Cifar, Arch::Conv4, "Conv4"),
    ];
    for (arch, stem, found, name) in archs {
        let trained = encoder(arch, stem, 5);
        let [ckpt, bare, back] = ["ckpt", "bare", "back"].map(|part| at(&format!("{name}.{part}.safetensors")));
        save(&trained, name, &ckpt);
        let exported = export(&ckpt, &bare).unwrap();
        assert_eq!((exported.arch, exported.stem), (found, stem));
        let imported = import(&bare, &back, None).unwrap();
        assert_eq!((imported.arch, imported.stem, imported.taken), (found, stem, exported.tensors));
        assert!(imported.notes[0].contains("projector, rotation head"), "{:?}", imported.notes);

        let blank = Encoder::blank(EncoderSpec { arch, stem }, Kind::Float, Device::Cpu);
        assert!(apart(&trained, &blank) > 1e-3, "other weights give other features");
        blank.weights().load(&Checkpoint::read(&back).unwrap().model).unwrap();
        assert_eq!(apart(&trained, &blank), 0.0);
        assert!(import(&bare, &back, None).unwrap_err().to_string().contains("not overwritten"));
    }
}

#[test]
fn an_export_has_torchvisions_names_and_kinds() {
    let folder = tempfile::tempdir().unwrap();
    let (ckpt, bare) = (folder.path().join("a"), folder.path().join("b"));
    save(&encoder(metacl::nn::Arch::ResNet18, Stem::Cifar, 1), "ResNet18", &ckpt);
    export(&ckpt, &bare).unwrap();
    let bytes = fs::read(&bare).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let listed =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/names_r18_cifar.txt")).unwrap();
    let mut want: Vec<&str> =
        listed.lines().filter_map(|line| line.split_whitespace().next()?.strip_prefix("convnet.")).collect();
    let mut names = file.names();
    // The parameters are listed twice: alone, and within the whole state.
    want.sort_unstable();
    want.dedup();
    names.sort_unstable();
    assert_eq!(names, want);
    assert_eq!(names.len(), 122);
    let counter = file.tensor("bn1.num_batches_tracked").unwrap();
    assert_eq!((counter.dtype(), counter.shape()), (safetensors::Dtype::I64, &[][..]));
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let about: serde_json::Value =
        serde_json::from_str(&header.metadata().as_ref().unwrap()["metacl_backbone"]).unwrap();
    assert_eq!((&about["arch"], &about["stem"], &about["iter"]), (&"ResNet18".into(), &"Cifar".into(), &7.into()));
}

/// Against what `tools/check_torchvision.py` left in METACL_TORCHVISION_DIR.
#[test]
#[ignore = "needs the files of tools/check_torchvision.py"]
fn features_are_torchvisions() {
    let folder = PathBuf::from(std::env::var("METACL_TORCHVISION_DIR").expect("set METACL_TORCHVISION_DIR"));
    let cases = [("resnet18", metacl::nn::Arch::ResNet18), ("resnet50", metacl::nn::Arch::ResNet50)];
    for (name, arch) in cases {
        for (word, stem) in [("cifar", Stem::Cifar), ("imagenet", Stem::ImageNet)] {
            let read = |file: String| Tensor::read_safetensors(folder.join(file)).unwrap();
            let golden = read(format!("{name}-{word}.features.safetensors"));
            let of = |name: &str| golden.iter().find(|(known, _)| known == name).unwrap().1.shallow_clone();
            let encoder = Encoder::blank(EncoderSpec { arch, stem }, Kind::Float, Device::Cpu);
            let saved = Checkpoint::read(&folder.join(format!("{name}-{word}-zip.ckpt.safetensors"))).unwrap();
            encoder.weights().load(&saved.model).unwrap();
            let found = tch::no_grad(|| encoder.features(&of("images"), Mode::Eval));
            let apart = (found - of("features")).abs().max().double_value(&[]);
            println!("{name}-{word}: {apart:.2e}");
            assert!(apart < 1e-4, "{name}-{word}: {apart}");
        }
    }
}
