//! The list of unsafe code in ARCHITECTURE.md, section 8, is complete and has no row too many.
//!
//! A row's first column names files below `src`, folders with all that lies in them, `*` for the rest of a name, `{a,b}` for either.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};

#[test]
fn every_file_with_unsafe_code_has_a_row_and_every_row_a_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    unsafe_files(&root.join("src"), "", &mut files);
    let rows = rows(&fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap());
    assert!(files.len() > 20 && rows.len() > 10, "{} files, {} rows", files.len(), rows.len());

    let missing: Vec<_> = files.iter().filter(|file| !rows.iter().any(|row| covers(row, file))).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md, section 8, says nothing of the unsafe code in {missing:?}");
    let idle: Vec<_> = rows.iter().filter(|row| !files.iter().any(|file| covers(row, file))).collect();
    assert!(idle.is_empty(), "ARCHITECTURE.md, section 8, lists {idle:?}, where there is no unsafe code");
}

/// Files below `folder` whose code says `unsafe`, as paths from `src` without `.rs`.
fn unsafe_files(folder: &Path, prefix: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{prefix}{}", path.file_stem().unwrap().to_str().unwrap());
        if path.is_dir() {
            unsafe_files(&path, &format!("{name}/"), found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source: TokenStream =
                fs::read_to_string(&path).unwrap().parse().expect("the sources compile, so they lex");
            if says_unsafe(source) {
                found.push(name);
            }
        }
    }
}

/// Comments, strings and `unsafe_code` in a lint do not count.
fn says_unsafe(source: TokenStream) -> bool {
    source.into_iter().any(|token| match token {
        TokenTree::Group(group) => says_unsafe(group.stream()),
        TokenTree::Ident(word) => word == "unsafe",
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// Every pattern in the first column of the table of section 8.
fn rows(document: &str) -> Vec<String> {
    let section = document.split("## 8. Unsafe code").nth(1).expect("there is a section 8");
    let table = section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let first_columns = table.skip(2).filter_map(|line| line.split('|').nth(1));
    first_columns.flat_map(|column| column.split('`').skip(1).step_by(2).flat_map(either).collect::<Vec<_>>()).collect()
}

/// `a/{b,c}` as `a/b` and `a/c`; endings go.
fn either(pattern: &str) -> Vec<String> {
    let pattern = pattern.trim_end_matches(".rs");
    let Some((before, rest)) = pattern.split_once('{') else { return vec![pattern.to_owned()] };
    let (choices, after) = rest.split_once('}').expect("a closed brace");
    choices.split(',').map(|choice| format!("{before}{choice}{after}")).collect()
}

fn covers(pattern: &str, file: &str) -> bool {
    match pattern.split_once('*') {
        Some((start, end)) => file.starts_with(start) && file.ends_with(end),
        None => file.strip_prefix(pattern).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
    }
}

#[test]
fn patterns_cover_what_they_say() {
    let covered = [("shard/map", "shard/map"), ("stage", "stage/queue"), ("decode/turbo*", "decode/turbo_x")];
    let not = [("stage", "stages"), ("shard/map", "shard"), ("decode/turbo*", "decode/zune")];
    assert!(covered.iter().all(|(pattern, file)| covers(pattern, file)));
    assert!(!not.iter().any(|(pattern, file)| covers(pattern, file)));
    assert_eq!(
        rows("## 8. Unsafe code\n\n| where | why |\n| --- | --- |\n| `a/{b,c}.rs`, `d` | `e` |\n"),
        ["a/b", "a/c", "d"]
    );
    let says = |source: &str| says_unsafe(source.parse().unwrap());
    assert!(says("fn f() { unsafe { g() } }"));
    assert!(!says("#![forbid(unsafe_code)] // unsafe\nconst S: &str = \"unsafe\";"));
}
