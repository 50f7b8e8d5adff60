//! Going on with a split whose writer was interrupted.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::part::ClosedPart;
use super::{SplitWriter, WriteOptions, part_name};
use crate::shard::error::ShardError;

/// A file that a writer has closed: all that a later writer has to know to take it up. What the file itself says in its ends is
/// rewritten when the split is finished, so a kill may have torn it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishedPart {
    /// Its temporary name.
    pub(super) file: String,
    pub(super) samples: u64,
    /// Where records and index pages end.
    pub(super) body_end: u64,
    /// The page table: offset, length and checksum of each index page.
    pub(super) pages: Vec<[u64; 3]>,
}

impl FinishedPart {
    /// Samples of the file.
    pub fn samples(&self) -> u64 {
        self.samples
    }
}

impl SplitWriter {
    /// Begins a split in `folder` that a later writer can go on with, or goes on with one: `parts` are what a writer before this
    /// had closed, in order, of the same samples with the same `options`. Each is read back whole. Beside the writer, what was wrong with the
    /// first that does not hold; it and those after it are not taken. [`closed`](Self::closed) says how many were.
    ///
    /// The folder is this writer's alone: whatever else lies there is removed. Files that it has closed stay when it is dropped.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn resume(
        folder: &Path,
        options: WriteOptions,
        parts: &[FinishedPart],
    ) -> Result<(Self, Option<ShardError>), ShardError> {
        let io = |doing| move |source| ShardError::Io { path: folder.to_owned(), doing, source };
        fs::create_dir_all(folder).map_err(io("make the folder"))?;
        // A name that no writer gives ends the list: it comes from outside.
        let ours = parts.iter().enumerate().take_while(|(number, part)| is_temporary(&part.file, *number)).count();
        let parts = &parts[..ours];
        for (number, part) in parts.iter().enumerate() {
            // An interrupted `finish` may have given the file its final name already.
            let (temporary, last) = (folder.join(&part.file), folder.join(part_name(number as u64)));
            if last.exists() && !temporary.exists() {
                fs::rename(last, temporary).map_err(io("rename a file"))?;
            }
        }
        let kept = |name: &str| parts.iter().any(|part| part.file == name);
        for entry in fs::read_dir(folder).map_err(io("read the folder"))? {
            let path = entry.map_err(io("read the folder"))?.path();
            if !path.file_name().and_then(|name| name.to_str()).is_some_and(kept) {
                fs::remove_file(path).map_err(io("remove a file of"))?;
            }
        }
        let mut writer = Self::create(folder, options)?;
        writer.keep_closed = true;
        let fault = parts.iter().try_for_each(|part| writer.take_up(part)).err();
        for part in &parts[writer.closed()..] {
            let path = folder.join(&part.file);
            if path.exists() {
                fs::remove_file(path).map_err(io("remove a file of"))?;
            }
        }
        Ok((writer, fault))
    }

    fn take_up(&mut self, part: &FinishedPart) -> Result<(), ShardError> {
        let closed = ClosedPart::take_up(part, &self.folder.path, self.options.page_entries, &self.meta)?;
        self.samples += part.samples;
        self.closed.push(closed);
        Ok(())
    }

    /// How many files are closed: whole, read back and on the disk, but for their place among the others.
    pub fn closed(&self) -> usize {
        self.closed.len()
    }

    /// What a later writer has to know of the file that was closed last.
    pub fn last_closed(&self) -> Option<FinishedPart> {
        self.closed.last().map(ClosedPart::finished)
    }

    /// Closes the file that is being filled, if any; the next sample begins another.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn close(&mut self) -> Result<(), ShardError> {
        self.refuse_broken()?;
        self.broken = true;
        self.close_part()?;
        self.broken = false;
        Ok(())
    }
}

/// Whether `name` is one that part `number` has while it is written: what a journal says may be anything.
fn is_temporary(name: &str, number: usize) -> bool {
    name.starts_with(&format!(".{}-", part_name(number as u64))) && !name.contains(['/', '\\'])
}
