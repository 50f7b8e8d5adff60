//! `metacl-shard` at URLs prints what it prints on disk.

use std::path::Path;
use std::process::{Command, Output};

use crate::remote_support::{Answer, Server, photos};

pub(crate) fn shard(cache: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metacl-shard"));
    command.args(arguments).arg("--cache-dir").arg(cache).output().unwrap()
}

/// What a command that succeeds prints.
fn printed(cache: &Path, arguments: &[&str]) -> String {
    let output = shard(cache, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_command_reads_a_url() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    photos(&folder.path().join("data/train"));
    photos(&folder.path().join("data/val"));
    let server = Server::start(folder.path());
    let disk = folder.path().join("data").display().to_string();
    let both = |arguments: &[&str]| {
        [&disk, &server.url("data")].map(|place| {
            let arguments: Vec<&str> =
                arguments.iter().map(|text| if *text == "DATA" { place } else { *text }).collect();
            printed(&cache, &arguments).replace(place.as_str(), "DATA")
        })
    };
    for command in [&["inspect", "DATA", "--json"][..], &["stats", "DATA", "--json"], &["verify", "DATA"]] {
        let [disk, url] = both(command);
        assert_eq!(disk, url, "{command:?}");
    }
    let [disk, url] = both(&["bench", "DATA", "--recipe", "cifar", "--samples", "200", "--workers", "2", "--json"]);
    let digest = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()["digest"].clone();
    assert!(digest(&disk).is_string());
    assert_eq!(digest(&disk), digest(&url));
    let out = folder.path().join("picture.ppm");
    printed(&cache, &["extract", &server.url("data/val/00000.mcs"), "--index", "2", "--out", out.to_str().unwrap()]);
    assert!(out.exists());
}

#[test]
fn what_fails_says_where_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    photos(&folder.path().join("train"));
    let server = Server::start(folder.path());
    let said = |url: &str, expected: &[&str]| {
        let output = shard(&cache, &["inspect", url]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        for word in expected {
            assert!(text.contains(word), "{word:?} is not in: {text}");
        }
    };
    said(&server.url("nowhere"), &["/nowhere", "00000.mcs", "check the URL"]);
    said("ftp://host/x", &["ftp://", "s3://"]);
    server.rule(|_, _| Answer::Status(403));
    said(&server.url("train/00000.mcs"), &["00000.mcs", "check the URL"]);
}
