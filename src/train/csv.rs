//! `metrics.csv`: the same numbers as `metrics.jsonl`, one row an iteration, lines of one iteration joined.
//!
//! The table is a function of the JSON lines: columns in a fixed order, then by name; an absent number is an empty cell, a number
//! that is none (`null`) is `nan`, as pandas reads it.

use std::collections::{BTreeMap, BTreeSet};

/// Columns that come first, in this order.
const FIRST: &[&str] = &["iter", "train_loss", "lr", "images_per_s", "data_wait_share"];

/// The names and numbers of one JSON line, as text; `None` where it is not one of ours: a flat object of numbers and nulls.
pub(super) fn cells(line: &str) -> Option<BTreeMap<&str, &str>> {
    let inner = line.strip_prefix('{')?.strip_suffix('}')?;
    fn cell(pair: &str) -> Option<(&str, &str)> {
        let (name, number) = pair.split_once(':')?;
        let name = name.strip_prefix('"')?.strip_suffix('"')?;
        let fits = is_name(name) && (number == "null" || number.parse::<f64>().is_ok_and(f64::is_finite));
        fits.then_some((name, number))
    }
    let cells: BTreeMap<_, _> = inner.split(',').map(cell).collect::<Option<_>>()?;
    cells.get("iter").is_some_and(|iter| iter.parse::<u64>().is_ok()).then_some(cells)
}

/// Whether `name` may name a number: it needs no quoting in JSON or CSV.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_@.-".contains(&byte))
}

/// The columns of `lines`, in order.
pub(super) fn columns<'a>(lines: &[BTreeMap<&'a str, &'a str>]) -> Vec<&'a str> {
    let names: BTreeSet<&str> = lines.iter().flat_map(|line| line.keys().copied()).collect();
    let first = FIRST.iter().filter_map(|first| names.get(first).copied());
    let others = names.iter().copied().filter(|name| !FIRST.contains(name));
    first.chain(others).collect()
}

/// The header of `columns`, a line.
pub(super) fn header<S: AsRef<str>>(columns: &[S]) -> String {
    columns.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(",") + "\n"
}

/// The row of `cells` under `columns`, a line.
pub(super) fn row<S: AsRef<str>>(columns: &[S], cells: &BTreeMap<&str, &str>) -> String {
    let cell = |column: &S| match cells.get(column.as_ref()) {
        None => "",
        Some(&"null") => "nan",
        Some(number) => number,
    };
    columns.iter().map(cell).collect::<Vec<_>>().join(",") + "\n"
}

/// The whole table; lines of one iteration that follow each other are one row.
pub(super) fn table(lines: &[BTreeMap<&str, &str>]) -> String {
    let columns = columns(lines);
    if columns.is_empty() {
        return String::new();
    }
    let same = lines.chunk_by(|a, b| a.get("iter") == b.get("iter"));
    let rows =
        same.map(|lines| row(&columns, &lines.iter().flatten().map(|(name, number)| (*name, *number)).collect()));
    header(&columns) + &rows.collect::<String>()
}
