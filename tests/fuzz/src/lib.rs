//! What is run on hostile bytes: a function for each kind of input that comes from outside.
//!
//! A target calls the public interface as the programs do. Whatever the bytes, it must return: no panic, no memory beyond the limits, no
//! endless loop; and where two ways lead to the same result, they must agree. `fuzz_targets/` hands them to libFuzzer, one binary each;
//! `corpus/NAME/` holds inputs worth keeping: seeds (`src/bin/seeds.rs`) and what once failed.
//!
//! - `files`: shards, archives, configs, which are read from a path. `coef`: coefficient records. `images`: JPEG, PNG, records of all
//!   codecs. `data`: pickles, checkpoints.

mod coef;
mod data;
mod files;
mod images;

/// A target: bytes in, nothing out.
pub type Target = fn(&[u8]);

/// Every target, by the name of its binary and of its folder in the corpus.
pub const TARGETS: [(&str, Target); 9] = [
    ("checkpoint", data::checkpoint),
    ("coef", coef::coef),
    ("config", files::config),
    ("jpeg", images::jpeg),
    ("pickle", data::pickle),
    ("png", images::png),
    ("record", images::record),
    ("shard", files::shard),
    ("tar", files::tar),
];

/// Runs the target `name`.
///
/// # Panics
/// Where there is none of this name, and where the target finds something wrong.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    target.unwrap_or_else(|| panic!("no target {name:?}")).1(bytes);
}

/// The first `N` bytes, which choose what is asked of the rest.
fn control<const N: usize>(bytes: &[u8]) -> Option<([u8; N], &[u8])> {
    bytes.split_first_chunk().map(|(control, rest)| (*control, rest))
}
