//! Evaluation of saved encoders on tiny datasets: few labels, fine-tuning, embeddings, seeds, episodes, other datasets; and resuming.

#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod train_support;

use std::path::{Path, PathBuf};

use metacl::config::{self, ConfigError, Loaded};
use metacl::eval::EvalError;
use metacl::image::Size;
use metacl::rng::{Purpose, Stream};
use metacl::shard::{Codec, NewSample, SplitWriter, WriteOptions};
use metacl::train::TrainError;
use metacl::train::checkpoint::Checkpoint;
use metacl::train::labels::LabelsError;
use serde_json::Value;
use train_support::{SHORT, lines, run};

/// Pictures of `classes` classes that differ in direction and width of their stripes, `each` of a class to train and half to test.
fn dataset(folder: &Path, classes: u32, each: u32, side: u32) {
    for (split, each) in [("train", each), ("test", each / 2)] {
        let names = (0..classes).map(|class| format!("class{class}")).collect();
        let mut writer =
            SplitWriter::create(&folder.join(split), WriteOptions { classes: names, ..Default::default() }).unwrap();
        for sample in 0..classes * each {
            let label = sample % classes;
            let shade = Stream::new(1, Purpose::Synthetic).draw([sample, 0, 0, 0]).integer(100) as u32;
            let along = |x: u32, y: u32| if label.is_multiple_of(2) { y } else { x };
            let pixel = |x: u32, y: u32| along(x, y) / (4 + 3 * (label / 2)) % 2 * 120 + shade;
            let bytes: Vec<u8> = (0..side * side).flat_map(|i| [pixel(i % side, i / side) as u8; 3]).collect();
            let name = format!("class{label}/{split}_{sample:03}.png");
            let size = Size::new(side, side);
            writer.append(&NewSample { bytes: &bytes, size, codec: Codec::Raw, label, name: &name }).unwrap();
        }
        writer.finish().unwrap();
    }
}

/// What makes a short run a short evaluation.
const EVAL: &[&str] =
    &["--problem", "eval", "--batch_size", "16", "--test_bs", "8", "--lr", "0.5", "--lr_schedule", "linear"];

struct Place {
    _folder: tempfile::TempDir,
    root: PathBuf,
}

impl Place {
    /// A folder with the dataset `data` of 6 classes.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        dataset(&root.join("data"), 6, 10, 32);
        Self { _folder: folder, root }
    }

    fn load(&self, more: &[&str]) -> Result<Loaded, ConfigError> {
        let data = self.root.join("data").display().to_string();
        let arguments: Vec<String> =
            SHORT.iter().chain(EVAL).chain(&["--data_path", &data]).chain(more).map(|&text| text.to_owned()).collect();
        match config::load(&arguments, &|_| None)? {
            config::Command::Run(loaded) => Ok(*loaded),
            other => panic!("{other:?}"),
        }
    }

    /// Runs, until the console shows `stop_at` where that is given; returns what was shown.
    fn run_until(&self, more: &[&str], stop_at: &str) -> Result<String, TrainError> {
        run(&self.load(more).unwrap(), &self.root.join("logs"), stop_at)
    }

    fn run(&self, more: &[&str]) -> String {
        self.run_until(more, "").unwrap()
    }

    fn folder(&self, id: &str) -> PathBuf {
        self.root.join("logs/default/runs").join(id)
    }

    fn summary(&self, id: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.folder(id).join("summary.json")).unwrap()).unwrap()
    }

    fn lines(&self, id: &str) -> Vec<Value> {
        lines(&self.folder(id))
    }

    /// A pre-trained encoder: the path of its checkpoint.
    fn encoder(&self, seed: &str) -> String {
        let id = format!("encoder{seed}");
        let more = ["--problem", "sim-clr", "--head", "PN", "--lr", "0.01", "--iters", "4", "--seed", seed];
        self.run(&[&more[..], &["--run_id", &id]].concat());
        self.folder(&id).join("checkpoint.safetensors").display().to_string()
    }
}

fn close(a: &Value, b: &Value) -> bool {
    (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-4
}

#[test]
fn embeddings_made_once_train_the_same_layer_as_images() {
    let place = Place::new();
    let encoder = place.encoder("1");
    let frozen = ["--encoder_ckpt", &encoder, "--aug", "false", "--lr", "0.1"];
    place.run(&frozen);
    place.run(&[&frozen[..], &["--precompute_emb_bs", "7", "--run_id", "b"]].concat());
    let (images, embedded) = (place.lines("a"), place.lines("b"));
    assert_eq!(images.len(), embedded.len());
    for (a, b) in images.iter().zip(&embedded) {
        for key in ["train_loss", "train_acc", "test_loss", "test_acc", "test_acc5"] {
            assert_eq!(a.get(key).is_some(), b.get(key).is_some());
            assert!(a.get(key).is_none_or(|number| close(number, &b[key])), "{key}: {a} {b}");
        }
    }
    let last = images.last().unwrap();
    assert!(last["test_acc5"].as_f64() >= last["test_acc"].as_f64(), "{last}");
    assert_eq!(place.summary("a")["linear_top5"], last["test_acc5"]);
}

#[test]
fn fine_tuning_moves_the_encoder_and_resumes_without_a_trace() {
    let place = Place::new();
    let encoder = place.encoder("1");
    // The second problem draws one image of each class: 1 % of ten, at least one.
    let semi: &[&str] = &["--problem", "semi-supervised-eval", "--train_size", "10", "--batch_size", "4"];
    for (id, problem) in [("tuned", &[][..]), ("semi", semi)] {
        let tuned = [&["--encoder_ckpt", &encoder, "--finetune", "true", "--lr", "0.05"], problem].concat();
        let broken = format!("{id}-broken");
        let shown = place.run(&[&tuned[..], &["--run_id", id]].concat());
        assert_eq!(shown.contains("labels of 6 training images, drawn by data_split_seed 42"), id == "semi", "{shown}");
        let more = [&tuned[..], &["--run_id", &broken]].concat();
        place.run_until(&more, "5/12").unwrap();
        let until = place.lines(&broken).len();
        assert!(until > 0 && until < 12, "{until}");
        place.run(&more);
        assert_eq!(place.lines(&broken), place.lines(id));

        // The checkpoint holds encoder and layer, both changed; it is an encoder_ckpt itself.
        let path = place.folder(id).join("checkpoint.safetensors");
        let (before, after) = (Checkpoint::read(Path::new(&encoder)).unwrap(), Checkpoint::read(&path).unwrap());
        for name in ["convnet.conv1.weight", "convnet.bn1.running_mean"] {
            assert!(!before.model[name].equal(&after.model[name]), "{name}");
        }
        assert_eq!(after.model["linear.weight"].size(), [6, 128]);
        assert!(!after.model.contains_key("projection.fc1.weight"));
        place.run(&["--encoder_ckpt", &path.display().to_string(), "--run_id", &format!("{id}-frozen")]);
    }
}

#[test]
fn a_list_names_the_images_that_are_trained_on() {
    let place = Place::new();
    let encoder = place.encoder("1");
    let list = place.root.join("list.txt");
    let path = list.display().to_string();
    let semi = ["--problem", "semi-supervised-eval", "--subset_list", &path, "--encoder_ckpt", &encoder];
    std::fs::write(&list, "train_002.png\ntrain_041.JPEG\ntrain_007.png\n").unwrap();
    let shown = place.run(&semi);
    assert!(shown.contains("labels of 3 training images") && shown.contains(&path), "{shown}");
    // Three images in batches of three: one epoch a step.
    assert_eq!(place.lines("a")[4]["train_epoch"], 5.0);

    std::fs::write(&list, "train_002.png\ntrain_041.JPEG\ntrain_008.png\n").unwrap();
    let error = place.run_until(&semi, "").unwrap_err();
    assert!(matches!(error, TrainError::Replaced { what: "labels", .. }), "{error}");
    std::fs::write(&list, "train_002.png\nn01.JPEG\n").unwrap();
    let error = place.run_until(&[&semi[..], &["--run_id", "c"]].concat(), "").unwrap_err();
    let TrainError::Labels(unmatched) = &error else { panic!("{error}") };
    assert!(matches!(**unmatched, LabelsError::Unmatched { missing: 1, lines: 2, .. }), "{error}");
    assert!(!place.folder("c").exists());
}

#[test]
fn another_encoder_under_the_same_name_is_noticed() {
    let place = Place::new();
    let (encoder, other) = (place.encoder("1"), place.encoder("2"));
    place.run(&["--encoder_ckpt", &encoder]);
    place.run(&["--encoder_ckpt", &encoder]);
    std::fs::copy(other, &encoder).unwrap();
    let error = place.run_until(&["--encoder_ckpt", &encoder], "").unwrap_err();
    assert!(matches!(error, TrainError::Replaced { what: "encoder", .. }), "{error}");
}

#[test]
fn several_seeds_are_several_runs_and_an_interval() {
    let place = Place::new();
    let encoder = place.encoder("1");
    let more = ["--encoder_ckpt", &encoder, "--iters", "3", "--aug", "false", "--precompute_emb_bs", "16"];
    let seeds = [&more[..], &["--seeds", "3", "--run_id", "many"]].concat();
    let shown = place.run(&seeds);
    assert!(shown.contains("test_acc over 3 seeds") && shown.contains("95 % +-"), "{shown}");
    let summary = place.summary("many");
    assert_eq!(summary["seeds"], serde_json::json!([3, 4, 5]));
    let values: Vec<f64> = serde_json::from_value(summary["test_loss"]["values"].clone()).unwrap();
    assert!((values.iter().sum::<f64>() / 3.0 - summary["test_loss"]["mean"].as_f64().unwrap()).abs() < 1e-12);
    assert!(summary["test_loss"]["ci95"].as_f64().unwrap() > 0.0, "{summary}");

    // A seed's run is the run of that seed alone.
    place.run(&[&more[..], &["--seed", "4", "--run_id", "alone"]].concat());
    assert_eq!(place.lines("many/runs/seed-4"), place.lines("alone"));
    // Again: each run is there already.
    place.run(&seeds);
    assert_eq!(place.summary("many"), summary);
}

#[test]
fn episodes_of_held_out_images_give_a_table() {
    let place = Place::new();
    dataset(&place.root.join("more"), 6, 20, 32);
    let (encoder, data) = (place.encoder("1"), place.root.join("more").display().to_string());
    let more = ["--problem", "few-shot-eval", "--data_path", &data, "--encoder_ckpt", &encoder];
    let shape = ["--ways", "3", "--shots", "1,5", "--eval_queries", "4", "--episodes", "50"];
    let shown = place.run(&[&more[..], &shape[..]].concat());
    assert!(shown.contains("3-way, 50 episodes") && shown.contains("5-shot"), "{shown}");
    let results = place.summary("a")["results"].as_array().unwrap().clone();
    let of = |head: &str, shots: u64| {
        let row = results.iter().find(|row| row["head"] == head && row["shots"] == shots).unwrap();
        (row["mean"].as_f64().unwrap(), row["ci95"].as_f64().unwrap())
    };
    for head in ["PN", "R2D2", "SVM", "logistic"] {
        for shots in [1, 5] {
            let (mean, half) = of(head, shots);
            assert!(mean > 0.5 && mean <= 1.0 && half < 0.1, "{head} {shots}: {mean} {half}");
        }
    }
    let line = &place.lines("a")[0];
    assert_eq!(line["few_shot_pn_3w5s"].as_f64(), Some(of("PN", 5).0));

    // The same command, the same figures.
    place.run(&[&more[..], &shape[..], &["--run_id", "b"]].concat());
    assert_eq!(place.lines("b"), place.lines("a"));
    let error = place.run_until(&[&more[..], &["--eval_queries", "10", "--run_id", "c"]].concat(), "").unwrap_err();
    assert!(matches!(error, TrainError::Evaluation(EvalError::FewShot(_))), "{error}");
    assert!(!place.folder("c").exists());
}

#[test]
fn an_encoder_is_judged_on_a_dataset_it_never_saw() {
    let place = Place::new();
    dataset(&place.root.join("other"), 3, 12, 48);
    let encoder = place.encoder("1");
    let other = place.root.join("other").display().to_string();
    let more = ["--aug", "false", "--lr", "1", "--iters", "60", "--log_freq", "20"];
    let transfer = [&["--data_path", &other, "--encoder_ckpt", &encoder, "--arch", "linear"], &more[..]].concat();
    place.run(&transfer);
    let last = place.lines("a").last().unwrap().clone();
    assert!(last["test_acc"].as_f64().unwrap() > 0.5 && last.get("test_acc5").is_none(), "{last}");
    let checkpoint = Checkpoint::read(&place.folder("a").join("checkpoint.safetensors")).unwrap();
    assert_eq!(checkpoint.model["linear.bias"].size(), [3]);

    // The stem is the encoder's, whatever `data` says about the images.
    let resnet =
        ["--problem", "sim-clr", "--arch", "ResNet18", "--iters", "1", "--batch_size", "2", "--run_id", "small"];
    place.run(&resnet);
    let path = place.folder("small").join("checkpoint.safetensors").display().to_string();
    let shown = place.run(&[
        "--data",
        "imagenet",
        "--image_size",
        "32",
        "--data_path",
        &other,
        "--encoder_ckpt",
        &path,
        "--run_id",
        "b",
        "--iters",
        "1",
    ]);
    assert!(shown.contains("3x3 stem"), "{shown}");

    // A linear layer alone is no encoder.
    let layer = place.folder("a").join("checkpoint.safetensors").display().to_string();
    let error = place.run_until(&["--encoder_ckpt", &layer, "--run_id", "c"], "").unwrap_err();
    assert!(error.to_string().contains("without a backbone"), "{error}");
}

#[test]
fn inputs_are_normalised_where_it_is_asked_for() {
    let place = Place::new();
    let encoder = place.encoder("1");
    let test_loss = |id: &str, more: &[&str]| {
        place.run(&[&["--encoder_ckpt", &encoder, "--run_id", id, "--iters", "2"], more].concat());
        place.lines(id).last().unwrap()["test_loss"].clone()
    };
    let plain = test_loss("a", &[]);
    assert_eq!(test_loss("b", &["--mean", "0,0,0", "--std", "1,1,1"]), plain);
    assert_ne!(test_loss("c", &["--mean", "0.5,0.4,0.3", "--std", "0.25,0.25,0.25"]), plain);
}

#[test]
fn neighbours_are_looked_at_as_often_as_asked() {
    let place = Place::new();
    let more = ["--problem", "sim-clr", "--head", "PN", "--lr", "0.01", "--iters", "6", "--eval_freq", "4"];
    place.run(&[&more[..], &["--knn_freq", "2"]].concat());
    let lines = place.lines("a");
    let with = |key: &str| -> Vec<u64> {
        lines.iter().filter(|line| line.get(key).is_some()).map(|line| line["iter"].as_u64().unwrap()).collect()
    };
    assert_eq!((with("knn_top1"), with("knn_top5")), (vec![2, 4, 6], vec![2, 4, 6]));
    assert_eq!((with("test_loss"), with("linear_top1")), (vec![4, 6], vec![4]));
}

#[test]
fn what_cannot_be_evaluated_is_refused_by_its_key() {
    let place = Place::new();
    let rows: &[(&[&str], &str)] = &[
        (&["--mean", "0.5,0.5,0.5"], "std"),
        (&["--mean", "0.5,0.5,0.5", "--std", "1,0,1"], "std"),
        (&["--std", "1,1,1"], "mean"),
        (&["--precompute_emb_bs", "8"], "precompute_emb_bs"),
        (&["--precompute_emb_bs", "8", "--aug", "false", "--finetune"], "precompute_emb_bs"),
        (&["--problem", "semi-supervised-eval"], "train_size"),
        (&["--problem", "semi-supervised-eval", "--train_size", "5"], "train_size"),
        (&["--subset_list", "list.txt"], "subset_list"),
        (&["--problem", "few-shot-eval", "--ways", "1"], "ways"),
        (&["--problem", "few-shot-eval", "--shots", "1,0"], "shots"),
        (&["--seeds", "0"], "seeds"),
    ];
    for (more, key) in rows {
        let error = place.load(more).unwrap_err();
        assert!(matches!(&error, ConfigError::Rule { key: named, .. } if named == key), "{more:?}: {error}");
    }
}
