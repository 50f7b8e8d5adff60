//! Mapping a file: the crate's file-backed `unsafe`.

use std::fs::File;
use std::path::Path;

use memmap2::{Advice, Mmap};

use super::error::ShardError;

/// Maps `path` for reading in random order.
pub(super) fn map(path: &Path) -> Result<Mmap, ShardError> {
    let io = |doing| move |source| ShardError::Io { path: path.to_owned(), doing, source };
    let file = File::open(path).map_err(io("open"))?;
    // SAFETY: shard files are not changed after they got their final name (`format.md`, "Assumptions about the medium"); the bytes are read
    // as bytes only, and every use is behind a checksum.
    let map = unsafe { Mmap::map(&file) }.map_err(io("map"))?;
    // Without the advice the kernel reads ahead around every record, which is wasted where the order is random.
    let _ = map.advise(Advice::Random);
    Ok(map)
}
