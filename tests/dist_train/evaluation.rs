//! Accuracies of several ranks are those of one process, each image counted once.

use serde_json::Value;

use super::program::{Bench, Run, close};

/// Sums in another order; no training between.
const ROUNDING: f64 = 1e-5;
/// As `curves::TOLERANCE`.
const TRAINED: f64 = 2e-3;

/// A run for each number of ranks, one of which leaves ranks without a batch, with one's first.
fn runs(bench: &Bench, name: &str, more: &[&str]) -> [Run; 2] {
    ["1", "3"].map(|count| bench.run(&format!("{name}-{count}"), &[more, &["--nproc", count]].concat()))
}

/// What is said about accuracies, without what differs between runs: their folders, and seconds.
fn judged(run: &Run) -> Value {
    let mut summary = run.summary();
    for own in ["run", "train_seconds", "images_per_s", "data_wait_share"] {
        summary.as_object_mut().unwrap().remove(own);
    }
    summary
}

#[test]
fn an_encoder_is_judged_alike_by_any_number_of_processes() {
    let bench = Bench::new();
    let trained = bench.run("trained", &[]);
    let checkpoint = trained.folder.join("checkpoint.safetensors").display().to_string();
    let encoder = ["--arch", "linear", "--encoder_ckpt", &checkpoint];

    // Embeddings, neighbours and probes to the last bit.
    let only =
        ["--eval_only", "true", "--final_eval", "true", "--ckpt", &checkpoint, "--test_bs", "7", "--batch_size", "6"];
    let [one, three] = runs(&bench, "only", &only);
    let (judged_one, judged_three) = (judged(&one), judged(&three));
    assert!(judged_one["knn_top1"].is_f64() && judged_one["linear_top1_pixels"].is_f64(), "{judged_one}");
    assert_eq!(judged_three["test_contrast_acc"], judged_one["test_contrast_acc"]);
    close("test_loss", &three.all("test_loss"), &one.all("test_loss"), 1e-12);
    for key in judged_one.as_object().unwrap().keys().filter(|key| key.starts_with("knn") || key.starts_with("linear"))
    {
        assert_eq!(judged_three[key], judged_one[key], "{key}");
    }

    let few_shot = ["--problem", "few-shot-eval", "--ways", "2", "--eval_queries", "4", "--episodes", "100"];
    let [one, three] = runs(&bench, "few", &[&few_shot, &encoder[..], &["--test_bs", "7"]].concat());
    assert_eq!(one.summary(), three.summary());

    // 40 images in batches of 19: the last has two, so of three ranks one has none.
    let linear = ["--problem", "eval", "--batch_size", "19", "--iters", "6", "--eval_freq", "3", "--test_bs", "7"];
    let linear = [&linear, &encoder[..]].concat();
    let cases: [(&str, &[&str], f64); 4] = [
        ("frozen", &[], ROUNDING),
        ("embedded", &["--aug", "false", "--precompute_emb_bs", "16"], ROUNDING),
        ("finetuned", &["--finetune", "true", "--lr", "1e-4"], TRAINED),
        ("semi", &["--problem", "semi-supervised-eval", "--train_size", "10", "--batch_size", "3"], ROUNDING),
    ];
    for (name, more, tolerance) in cases {
        let [one, three] = runs(&bench, name, &[&linear, more].concat());
        assert_eq!(one.losses().len(), 6, "{name}");
        for key in ["train_loss", "test_loss", "test_acc", "train_acc", "train_loss_mean"] {
            close(&format!("{name} {key}"), &three.all(key), &one.all(key), tolerance);
        }
        assert_eq!(one.summary()["linear_top1"], three.summary()["linear_top1"], "{name}");
    }
}

#[test]
fn seeds_and_evaluations_on_the_way_are_made_by_all_ranks() {
    let bench = Bench::new();
    let on_the_way = ["--lr", "0", "--eval_freq", "6", "--knn_freq", "4", "--test_bs", "7"];
    let [one, three] = runs(&bench, "way", &[&on_the_way[..], &["--batch_size", "6"]].concat());
    for key in ["knn_top1", "linear_top1", "test_loss"] {
        let values = one.all(key);
        assert!(values.len() >= 2, "{key}: {values:?}");
        // Weights stay, running statistics of batch norm move.
        close(key, &three.all(key), &values, TRAINED);
    }

    let seeds = ["--problem", "eval", "--arch", "Conv4", "--iters", "3", "--seeds", "2", "--test_bs", "7"];
    let [one, three] = runs(&bench, "seeds", &seeds);
    let values = |run: &Run| -> Vec<f64> {
        let summary = run.summary();
        summary["test_loss"]["values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
    };
    assert_eq!(values(&one).len(), 2);
    close("seeds", &values(&three), &values(&one), ROUNDING);
}
