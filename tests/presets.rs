//! Every preset is taken as it is, and a dry run of it says what it would do.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "test code fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Presets below `folder`, sorted.
fn presets(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> =
        entries.flat_map(|path| if path.is_dir() { presets(&path) } else { vec![path] }).collect();
    found.sort();
    found
}

/// What a dry run of `preset` prints.
fn dry_run(preset: &Path, folder: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metacl-train"));
    command.args(["--dry_run", "--config"]).arg(preset).current_dir(folder);
    if preset.ends_with("imagenet_semi_eval.yaml") {
        // As published, it leaves the share of the labels to the command.
        command.args(["--train_size", "1"]);
    }
    let output = command.env_remove("DATA_ROOT").env_remove("IMAGENET_PATH").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}: {}", preset.display(), String::from_utf8_lossy(&output.stderr));
    text
}

fn line<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in\n{text}")).trim()
}

#[test]
fn every_preset_has_a_dry_run() {
    let folder = tempfile::tempdir().unwrap();
    let all = presets(&Path::new(env!("CARGO_MANIFEST_DIR")).join("configs"));
    assert!(all.len() > 50, "{}", all.len());
    for preset in all {
        let text = dry_run(&preset, folder.path());
        for name in ["problem", "batch", "network"] {
            assert!(!line(&text, name).is_empty(), "{}: {text}", preset.display());
        }
        let name = preset.file_stem().unwrap().to_str().unwrap();
        let trains = !line(&text, "problem").contains("eval");
        if trains {
            assert!(line(&text, "memory").starts_with("about "), "{name}: {text}");
            let loss = line(&text, "loss");
            assert_eq!(
                loss.contains("mix"),
                name.ends_with("_qcm") || name.ends_with("_all") && !name.contains("byol"),
                "{name}: {loss}"
            );
            assert_eq!(loss.contains("rot"), name.ends_with("_rot") || name.ends_with("_all"), "{name}: {loss}");
            let turned = name.ends_with("_taskrot") || name.ends_with("_all");
            assert_eq!(line(&text, "batch").contains("turned with probability"), turned, "{name}: {text}");
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "a dry run wrote something");
}

/// Figures of the network that torchvision's model card gives: 11.69 M and 25.56 M parameters with the classifier's 0.51 M and 2.05 M.
#[test]
fn a_dry_run_counts_parameters_and_rows() {
    let folder = tempfile::tempdir().unwrap();
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/method");
    let text = dry_run(&configs.join("imagenet_r2d2_all.yaml"), folder.path());
    assert!(
        line(&text, "network").starts_with("ResNet50, 2048 features; 23.51 M parameters in the backbone"),
        "{text}"
    );
    assert!(
        text.contains("2048 mixed rows beside them") && text.contains("a second pass over 4096 turned rows"),
        "{text}"
    );
    let text = dry_run(&configs.join("cifar_pn.yaml"), folder.path());
    assert!(line(&text, "batch").ends_with("x 2 views (1 support, 1 query) = 1024 rows of 3 x 32 x 32"), "{text}");
    assert!(line(&text, "network").contains("11.17 M parameters in the backbone"), "{text}");
}
