//! A target within the source, or the other way round.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::Args;
use crate::shard::Failure;
use crate::shard::destination::Destination;

/// The next conversion would read its own output.
pub(super) fn refuse_nested(args: &Args, destination: &Destination, format: Option<&str>) -> Result<(), Failure> {
    if !destination.is_disk() {
        return Ok(());
    }
    let (Ok(src), Some(dst)) = (fs::canonicalize(&args.src), resolve(&args.dst)) else { return Ok(()) };
    // In other formats, a folder more beside the archives is not looked into.
    let in_tree = format == Some("folder") && dst.starts_with(&src);
    if src.starts_with(&dst) || in_tree {
        let [src, dst] = [args.src.display(), args.dst.display()];
        return Err(Failure::Usage(format!(
            "{dst}: DST and SRC ({src}) lie in one another; choose a folder beside SRC"
        )));
    }
    Ok(())
}

/// `path` without links, though its last parts need not exist yet; `None` where that cannot be told.
fn resolve(path: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(path).ok()?;
    let mut missing = Vec::new();
    let mut existing = absolute.as_path();
    loop {
        if let Ok(real) = fs::canonicalize(existing) {
            return Some(missing.iter().rev().fold(real, |path, part| path.join(part)));
        }
        match existing.components().next_back()? {
            Component::Normal(part) => missing.push(part),
            _ => return None,
        }
        existing = existing.parent()?;
    }
}
