//! Golden vectors: where they lie and what they were filled with.
//!
//! Tests that read them have `golden` in their names, take every case from the folder itself, print how many there were, and fail where a
//! file is missing or a family has no case.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

pub mod hash;
#[cfg(feature = "torch")]
pub mod tensors;

use std::path::PathBuf;

/// The folder named by `METACL_GOLDEN_DIR`, else `tests/golden`.
pub fn golden_dir() -> PathBuf {
    let own = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    std::env::var_os("METACL_GOLDEN_DIR").map_or_else(own, PathBuf::from)
}

/// A text file of that folder.
pub fn golden_text(file: &str) -> String {
    let path = golden_dir().join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `cases.json`: what tensor names alone do not say.
pub fn golden_cases() -> serde_json::Value {
    serde_json::from_str(&golden_text("cases.json")).expect("cases.json is JSON")
}

/// Names and shapes of a published encoder, from `names_{tag}.txt`: its parameters, then its whole state.
pub fn golden_names(tag: &str) -> [Vec<(String, Vec<i64>)>; 2] {
    let text = golden_text(&format!("names_{tag}.txt"));
    let mut sections = text.split("# ").skip(1).map(|section| section.lines().skip(1).map(parse_name).collect());
    [(); 2].map(|()| sections.next().unwrap_or_else(|| panic!("names_{tag}.txt has less than two sections")))
}

fn parse_name(line: &str) -> (String, Vec<i64>) {
    let (name, shape) = line.split_once(' ').unwrap_or_else(|| panic!("`{line}` is no name and shape"));
    let sides = shape.split('x').filter(|&side| side != "scalar");
    (name.to_owned(), sides.map(|side| side.parse().expect("a side of a shape is a number")).collect())
}

/// Tags of the published encoders in `cases.json`.
pub fn golden_net_tags() -> Vec<String> {
    let cases = golden_cases();
    let nets = cases["nets"].as_object().expect("cases.json lists nets");
    println!("{} cases of nets", nets.len());
    assert!(!nets.is_empty(), "cases.json lists no net");
    nets.keys().cloned().collect()
}
