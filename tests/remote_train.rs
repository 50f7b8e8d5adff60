//! Training from object storage is training from disk, byte for byte, by a plain server and by S3, faults included; and what a run
//! writes holds no credential.
#![cfg(all(feature = "torch", feature = "remote"))]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod remote_support;
#[path = "remote_support/s3.rs"]
mod s3;
mod train_support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use remote_support::{Answer, Server, bytes_below, files_below};
use s3::S3;
use train_support::{SHORT, dataset, lines};

const PASSWORD: &str = "pa55w0rd-of-tests";
const SIGNATURE: &str = "5ca1ab1e5ca1ab1e";

/// A run of the program with the short run's flags, of the name `id`.
fn command(folder: &Path, data: &str, id: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metacl-train"));
    command.args(SHORT).args(["--data_path", data, "--run_id", id, "--eval_freq", "6", "--cache_dir"]);
    command.arg(folder.join("cache").join(id)).args(["--cache_size", "64M"]).args(more);
    command.env("EXMAN_PATH", folder.join("logs")).current_dir(folder).stdin(Stdio::null());
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The folder of a run, which must have succeeded, and what it said.
fn run(folder: &Path, mut command: Command, id: &str) -> (PathBuf, String) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{id}: {}", text(&output));
    (folder.join("logs/default/runs").join(id), text(&output))
}

/// Log lines without the clock, and the weights.
fn result(run: &Path) -> (Vec<serde_json::Value>, Vec<(String, Vec<u8>)>) {
    let bytes = fs::read(run.join("checkpoint.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut weights: Vec<_> =
        tensors.tensors().into_iter().map(|(name, tensor)| (name, tensor.data().to_vec())).collect();
    weights.sort();
    (lines(run), weights)
}

fn copy(from: &Path, to: &Path) {
    for (path, _) in files_below(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&path, target).unwrap();
    }
}

#[test]
fn training_from_a_url_is_training_from_disk() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    dataset(&root.join("data"));
    let disk = root.join("data").display().to_string();
    let (disk, _) = run(root, command(root, &disk, "disk", &[]), "disk");
    let disk = result(&disk);
    assert!(disk.0.len() >= 12 && !disk.1.is_empty());

    let server = Server::start(root);
    let (plain, _) = run(root, command(root, &server.url("data"), "plain", &[]), "plain");
    assert_eq!(result(&plain), disk);

    let faults = [Answer::Status(503), Answer::Cut, Answer::Short, Answer::Elsewhere, Answer::Flipped, Answer::Slow];
    server.rule(move |request, _| if request % 2 == 1 { faults[request / 2 % faults.len()] } else { Answer::Right });
    let (faulty, _) = run(root, command(root, &server.url("data"), "faulty", &[]), "faulty");
    assert_eq!(result(&faulty), disk);

    let s3 = S3::start(&root.join("s3"));
    copy(&root.join("data"), &s3.bucket().join("sets/stripes"));
    let mut command = command(root, "s3://bucket/sets/stripes", "s3", &[]);
    command.envs(s3.variables());
    let (s3, _) = run(root, command, "s3");
    assert_eq!(result(&s3), disk);
    for id in ["plain", "faulty", "s3"] {
        let bytes = bytes_below(&root.join("cache").join(id));
        assert!((1..64 << 20).contains(&bytes), "{id}: {bytes}");
    }
}

#[test]
fn a_run_goes_on_from_another_place_and_writes_no_credential() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    dataset(&root.join("data"));
    let server = Server::start(root);
    let url = format!("http://tester:{PASSWORD}@{}/data?X-Amz-Signature={SIGNATURE}", server.address());
    let with_secrets = |id: &str, more: &[&str]| {
        let mut command = command(root, &url, id, more);
        command.env("AWS_SECRET_ACCESS_KEY", SIGNATURE);
        command
    };
    let (run_folder, mut said) = run(root, with_secrets("a", &["--dry_run"]), "a");
    assert!(said.contains("40 training images, 20 held out"), "{said}");
    let (_, text_of_run) = run(root, with_secrets("a", &["--final_eval", "--eval_samples", "20"]), "a");
    said.push_str(&text_of_run);
    // The same run, from disk: the dataset may have moved.
    let disk = root.join("data").display().to_string();
    run(root, command(root, &disk, "a", &["--final_eval", "--eval_samples", "20"]), "a");
    server.rule(|_, _| Answer::Status(403));
    let refused = with_secrets("b", &[]).output().unwrap();
    assert!(!refused.status.success());
    said.push_str(&text(&refused));
    assert!(said.contains(&format!("http://{}/data", server.address())), "{said}");

    let mut written = files_below(&run_folder).len();
    assert!(written > 5);
    for (path, _) in files_below(&root.join("logs")).into_iter().chain(files_below(&root.join("cache"))) {
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        for secret in [PASSWORD, SIGNATURE, "dGVzdGVyOnBhNTV3MHJkLW9mLXRlc3Rz"] {
            assert!(!text.contains(secret) && !said.contains(secret), "{secret} in {} or\n{said}", path.display());
        }
        written += 1;
    }
    assert!(written > 10);
}

#[test]
fn several_processes_share_a_cache() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    dataset(&root.join("data"));
    let server = Server::start(root);
    let of = |data: &str, id: &str| {
        let more = ["--nproc", "2", "--head", "contrastive", "--lr", "1e-5"];
        result(&run(root, command(root, data, id, &more), id).0).0
    };
    let url = of(&server.url("data"), "url");
    assert_eq!(url, of(&root.join("data").display().to_string(), "disk"));
}
