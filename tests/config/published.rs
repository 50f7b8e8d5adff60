//! What the published code's users bring along: its files, its commands, its data where they were downloaded.

use std::fs;

use metacl::config::{
    Arch, ConfigError, Dist, Loaded, LrSchedule, Opt, Problem, check_data_path, looks_like_raw_images,
};

use super::{load_with, preset, run};

#[test]
fn published_training_presets_have_the_published_values() {
    let rows = [
        (
            "cifar_train_epochs1000_bs1024",
            Arch::ResNet50,
            1024,
            48_000,
            4.0,
            0.01,
            2.0,
            0.5,
            (4800, 12_000, 48),
            (2, 1),
        ),
        (
            "imagenet_train_epochs100_bs512",
            Arch::ResNet18,
            512,
            250_200,
            0.6,
            0.1,
            10.0,
            1.0,
            (50_040, 12_510, 100),
            (8, 1),
        ),
        (
            "imagenet_train_epochs200_bs2k",
            Arch::ResNet50,
            2048,
            125_100,
            2.4,
            0.1,
            10.0,
            1.0,
            (12_510, 12_510, 100),
            (8, 4),
        ),
        (
            "imagenet_train_epochs600_bs2k",
            Arch::ResNet50,
            2048,
            375_300,
            2.4,
            0.1,
            10.0,
            1.0,
            (12_510, 12_510, 100),
            (8, 4),
        ),
    ];
    for (name, arch, batch, iters, lr, warmup, temperature, strength, (eval, save, log), (workers, world)) in rows {
        let arguments = ["--config", &preset(name), "--world_size", "1"];
        let Loaded { config: c, name: run_name, notes } = run(&arguments).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(run_name, name);
        assert_eq!((c.arch, c.batch_size, c.iters, c.lr, c.warmup), (arch, batch, Some(iters), lr, warmup), "{name}");
        assert_eq!((c.temperature(), c.color_dist_s, c.weight_decay), (temperature, strength, 1e-6), "{name}");
        assert_eq!((c.eval_freq, c.save_freq, c.log_freq, c.workers), (eval, save, log, Some(workers)), "{name}");
        assert_eq!((c.problem, c.opt, c.lr_schedule), (Problem::SimClr, Opt::Lars, LrSchedule::WarmupAnneal), "{name}");
        assert_eq!((c.dist, c.views(), c.scale_lower, c.seed), (Dist::Ddp, 2, 0.08, None), "{name}");
        assert!(c.sync_bn && c.aug && !c.tmp, "{name}");
        let ignored: Vec<&String> = notes.iter().filter(|note| note.contains("verbose")).collect();
        assert_eq!(ignored.len(), 1, "{name}: {notes:?}");
        if world > 1 {
            let as_is = run(&["--config", &preset(name)]).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(as_is.config.machines(), 4, "{name}");
            assert!(as_is.config.meeting_place().is_err(), "{name}: published without an address");
        }
    }
}

#[test]
fn published_evaluation_presets_have_the_published_values() {
    let rows = [
        ("cifar_eval", 1024, 80_000, 0.1, 1e-4, 1000, 100_000_000),
        ("imagenet_eval", 4096, 28_080, 1.6, 0.0, 100, 10u64.pow(16)),
    ];
    for (name, batch, iters, lr, decay, eval, save) in rows {
        let c = run(&["--config", &preset(name)]).unwrap_or_else(|e| panic!("{name}: {e}")).config;
        assert_eq!(
            (c.batch_size, c.test_bs, c.iters, c.lr, c.weight_decay),
            (batch, batch, Some(iters), lr, decay),
            "{name}"
        );
        assert_eq!((c.eval_freq, c.save_freq, c.arch, c.opt), (eval, save, Arch::Linear, Opt::Sgd), "{name}");
        assert_eq!(
            (c.problem, c.lr_schedule, c.precompute_emb_bs),
            (Problem::Eval, LrSchedule::Linear, None),
            "{name}"
        );
    }
    let semi = |more: &[&str]| run(&[&["--config", &preset("imagenet_semi_eval")], more].concat());
    let c = semi(&["--train_size", "1"]).unwrap().config;
    assert_eq!((c.problem, c.finetune, c.batch_size), (Problem::SemiSupervisedEval, true, 240));
    assert!(matches!(semi(&[]), Err(ConfigError::Rule { key: "train_size", .. })));
    for (name, percent, iters, lr) in [("1percent", 1, 3000, 0.05), ("10percent", 10, 60_000, 0.1)] {
        let c = run(&["--config", &preset(&format!("imagenet_semi_eval_{name}"))]).unwrap().config;
        assert_eq!((c.train_size, c.iters, c.lr, c.finetune), (Some(percent), Some(iters), lr, true), "{name}");
        assert_eq!((c.batch_size, c.weight_decay, c.lr_schedule), (240, 0.0, LrSchedule::Linear), "{name}");
    }
}

#[test]
fn the_published_commands_are_taken() {
    let train = format!(
        "--config {} --dist_address 127.0.0.1:1672 --n_supp 1 --n_query 1 --multiplier 2 --arch ResNet50 --seed 1234 --run_id 000001 \
         --head contrastive --accu_iter 1 --batch_size 256 --lr 2.4 --iters 1000800 --eval_freq 100080 --save_freq 12510 --temperature 10.",
        preset("imagenet_train_epochs100_bs512")
    );
    let c = run(&train.split_whitespace().collect::<Vec<_>>()).unwrap().config;
    assert_eq!((c.seed, c.run_id.as_deref(), c.temperature()), (Some(1234), Some("000001"), 10.0));
    let published = "logs/exman-configs/imagenet_train_epochs100_bs512.yaml/runs/000001/checkpoint-1000800.pth.tar";
    let own = "logs/imagenet_train_epochs100_bs512/runs/000001/checkpoint-1000800.safetensors";
    let eval = run(&["--config", &preset("imagenet_eval"), "--encoder_ckpt", published, "--run_id", "000001"]).unwrap();
    assert_eq!(eval.config.encoder_ckpt, own);
    assert!(eval.notes.iter().any(|note| note.contains(published) && note.contains(own)), "{:?}", eval.notes);
}

#[test]
fn raw_images_are_refused_with_the_command_that_converts_them() {
    let root = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"x").unwrap();
    };
    for name in [
        "tree/train/cat/1.JPEG",
        "bare/cat/1.png",
        "tars/x.tar",
        "py/data_batch_1",
        "parent/cifar-10-batches-bin/a",
        "ok/train/00000.mcs",
    ] {
        file(name);
    }
    fs::create_dir(root.path().join("empty")).unwrap();
    for name in ["tree", "tree/train", "bare", "tars", "py", "parent"] {
        let path = root.path().join(name);
        let Err(ConfigError::RawData { command, target, .. }) = check_data_path(&path) else {
            panic!("{name} was taken")
        };
        assert_eq!(command, format!("metacl-shard convert {} {}", path.display(), target.display()));
    }
    for name in ["ok", "ok/train", "empty"] {
        assert_eq!(looks_like_raw_images(&root.path().join(name)), None, "{name}");
    }
    assert!(matches!(check_data_path(&root.path().join("absent")), Err(ConfigError::DataMissing { .. })));
}

#[test]
fn datasets_come_from_the_flag_or_else_the_variable() {
    let variables = [("DATA_ROOT", "/c"), ("IMAGENET_PATH", "/i")];
    let path = |arguments: &[&str]| load_with(arguments, &variables).unwrap().config.data_path.0;
    assert_eq!(path(&["--iters", "1"]), "/c");
    assert_eq!(path(&["--iters", "1", "--data", "imagenet"]), "/i");
    assert_eq!(path(&["--iters", "1", "--data_path", "/own"]), "/own");
    let none = run(&["--iters", "1"]).unwrap().config.data_location();
    assert!(matches!(none, Err(ConfigError::NoData { variable: "DATA_ROOT" })), "{none:?}");
}

#[test]
fn a_damaged_preset_is_taken_or_refused_in_one_line_without_a_panic() {
    let text = fs::read(preset("cifar_train_epochs1000_bs1024")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.yaml");
    let (mut taken, mut refused) = (0, 0);
    let mut read = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        match run(&["--config", path.to_str().unwrap()]) {
            Ok(_) => taken += 1,
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().contains('\n'), "{error}");
            }
        }
    };
    for at in 0..text.len() {
        read(&text[..at]);
    }
    // Each place with one of the bytes that mean something to YAML, in turn.
    let bytes = [b'[', b'{', b'*', b'&', b'\'', b'"', b'\t', b'\n', b':', b'%', 0, 0xff];
    for (at, byte) in (0..text.len()).zip(bytes.into_iter().cycle()) {
        let mut changed = text.clone();
        changed[at] = byte;
        read(&changed);
    }
    println!("taken {taken}, refused {refused}");
    assert!(taken > 0 && refused > 0);
}
