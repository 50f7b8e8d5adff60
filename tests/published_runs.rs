//! The published presets and the five commands of the published README, shrunk to a tiny dataset, run to a checkpoint or an accuracy.

#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod train_support;

use std::path::{Path, PathBuf};

use metacl::config::{self, Command};
use train_support::{dataset, lines, run};

/// What makes a run of days one of seconds: later flags win.
const SHRINK: &str = "--iters 2 --batch_size 4 --test_bs 8 --image_size 32 --eval_freq 2 --save_freq 2 --log_freq 1 --workers 1 --world_size 1";

const TRAIN: &str = "--config configs/imagenet_train_epochs100_bs512.yaml --dist_address 127.0.0.1:1672 --n_supp 1 --n_query 1 --multiplier 2 \
     --arch ResNet50 --seed 1234 --run_id 000001 --accu_iter 1 --batch_size 256 --lr 2.4 --iters 1000800 --eval_freq 100080 --save_freq 12510";

/// A checkpoint as the published commands name it; shrunk runs end at step 2.
const ENCODER: &str = "exman-configs/imagenet_train_epochs100_bs512.yaml/runs/000001/checkpoint-2.pth.tar";

/// Runs `command` shrunk on `data`; gives the run's folder.
fn shrunk(command: &str, data: &Path, logs: &Path) -> PathBuf {
    let mut arguments: Vec<String> =
        format!("{command} {SHRINK} --data_path").split_whitespace().map(str::to_owned).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    arguments[1] = root.join(&arguments[1]).display().to_string();
    arguments.push(data.display().to_string());
    let Command::Run(loaded) = config::load(&arguments, &|_| None).unwrap_or_else(|error| panic!("{command}: {error}"))
    else {
        panic!("{command} is no run")
    };
    run(&loaded, logs, "").unwrap_or_else(|error| panic!("{command}: {error}"));
    logs.join(&loaded.name).join("runs").join(loaded.config.run_id.unwrap())
}

/// The last logged value of `key`.
fn last(run: &Path, key: &str) -> f64 {
    lines(run)
        .iter()
        .rev()
        .find_map(|line| line[key].as_f64())
        .unwrap_or_else(|| panic!("no {key} in {}", run.display()))
}

#[test]
fn the_five_published_commands_run() {
    let folder = tempfile::tempdir().unwrap();
    let (data, logs) = (folder.path().join("data"), folder.path().join("logs"));
    dataset(&data);
    // R2D2 under another number, so that both stand side by side.
    for (head, id) in [("contrastive --temperature 10.", "000001"), ("R2D2 --temperature 0.1", "000002")] {
        let run = shrunk(&format!("{TRAIN} --head {head} --run_id {id}"), &data, &logs);
        assert!(run.join("checkpoint-2.safetensors").is_file() && last(&run, "train_loss").is_finite(), "{head}");
    }
    let encoder = logs.join(ENCODER);
    let encoder = encoder.display();
    let evaluations = [
        format!("--config configs/imagenet_eval.yaml --encoder_ckpt {encoder} --run_id 000001"),
        format!(
            "--config configs/imagenet_semi_eval.yaml --train_size 1 --encoder_ckpt {encoder} --eval_freq 100 --log_freq 100 --run_id 000001 \
             --iters 3000 --lr 0.05"
        ),
        format!(
            "--config configs/imagenet_semi_eval.yaml --encoder_ckpt {encoder} --eval_freq 100 --log_freq 100 --run_id 000002 --iters 60000 \
             --train_size 10 --lr 0.1"
        ),
    ];
    for command in evaluations {
        let run = shrunk(&command, &data, &logs);
        assert!((0.0..=1.0).contains(&last(&run, "test_acc")), "{command}");
    }
}

#[test]
fn the_seven_published_presets_run() {
    let folder = tempfile::tempdir().unwrap();
    let (data, logs) = (folder.path().join("data"), folder.path().join("logs"));
    dataset(&data);
    let presets = [
        "cifar_train_epochs1000_bs1024",
        "imagenet_train_epochs100_bs512",
        "imagenet_train_epochs200_bs2k",
        "imagenet_train_epochs600_bs2k",
    ];
    let mut newest = PathBuf::new();
    for preset in presets {
        let run = shrunk(&format!("--config configs/{preset}.yaml --run_id a"), &data, &logs);
        newest = run.join("checkpoint-2.safetensors");
        assert!(newest.is_file(), "{preset}");
    }
    for (preset, more) in [("cifar_eval", ""), ("imagenet_eval", ""), ("imagenet_semi_eval", "--train_size 10")] {
        let command = format!("--config configs/{preset}.yaml --run_id a --encoder_ckpt {} {more}", newest.display());
        let run = shrunk(&command, &data, &logs);
        assert!((0.0..=1.0).contains(&last(&run, "test_acc")), "{preset}");
    }
}
