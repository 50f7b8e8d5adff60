//! The published encoders of a folder of golden vectors: their tags, names and shapes.

use super::{cases, golden_dir, report};

/// Names and shapes of a published encoder, from `names_{tag}.txt`: its parameters, then its whole state.
pub fn names(tag: &str) -> [Vec<(String, Vec<i64>)>; 2] {
    let path = golden_dir().join(format!("names_{tag}.txt"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut sections = text.split("# ").skip(1).map(|section| section.lines().skip(1).map(parse_name).collect());
    [(); 2].map(|()| sections.next().unwrap_or_else(|| panic!("names_{tag}.txt has less than two sections")))
}

fn parse_name(line: &str) -> (String, Vec<i64>) {
    let (name, shape) = line.split_once(' ').unwrap_or_else(|| panic!("`{line}` is no name and shape"));
    let sides = shape.split('x').filter(|&side| side != "scalar");
    (name.to_owned(), sides.map(|side| side.parse().expect("a side of a shape is a number")).collect())
}

/// Tags of the published encoders in `cases.json`; reported, at least one.
pub fn tags() -> Vec<String> {
    let cases = cases();
    let nets = cases["nets"].as_object().expect("cases.json lists nets");
    report("nets", nets.len());
    nets.keys().cloned().collect()
}
