//! A file that does not stay as it was opened: cut short, written to, or on a disk that fails.
//!
//! What is read then does not hold, or is zeros (`map/faults.rs`). Whether it is the file that changed is asked when something does not
//! hold, when a page was lost, and now and then.

use std::sync::PoisonError;

use super::ShardFile;
use crate::shard::change::{Change, Stamp};
use crate::shard::check::{self, Flaw};
use crate::shard::error::{Refusal, Section, ShardError};

impl ShardFile {
    /// Why what was read is not what was written: `flaw`, unless the file changed or the system could not read it.
    pub(super) fn explain(&self, flaw: Flaw) -> ShardError {
        if let Some(change) = self.change() {
            return change.into();
        }
        if !self.map.lost() {
            return self.fault(flaw).into();
        }
        // The sample's own fault only where it is its record that was lost, not its place in the index.
        let of_record = matches!(flaw.refusal, Refusal::Checksum { section: Section::Record, .. });
        let sample = flaw.sample.filter(|_| of_record);
        self.fault(Flaw { sample, refusal: Refusal::Unreadable, ..flaw }).into()
    }

    /// Whether a sample whose bytes were used is what was written; for callers that know a reason to doubt it, or do not compare checksums.
    ///
    /// A load of memory, unless a page of the file was lost or the caller has a `doubt`: then the file is looked at, and the record's
    /// checksum compared once more if it has lost pages.
    pub(in crate::shard) fn examine(&self, sample: u64, doubt: bool) -> Result<(), ShardError> {
        let lost = self.map.lost();
        if !lost && !doubt {
            return Ok(());
        }
        if let Some(change) = self.change() {
            return Err(change.into());
        }
        if lost {
            let spot = self.spot(sample)?;
            if let (bytes, false) = self.padded(&spot, true)? {
                return Err(self.damage(&spot, &bytes[..spot.entry.length as usize]));
            }
        }
        Ok(())
    }

    /// Looks at the file on disk. One that was written to since the last look is checked anew: its ends now, pages and records, of which
    /// some were found sound before, when they are read. A file of other content, or another length, is refused.
    pub(in crate::shard) fn look_again(&self) -> Result<(), ShardError> {
        let Some((opened, seen)) = &self.opened else { return Ok(()) };
        let Some(now) = Stamp::at(&self.path).filter(|now| now.inode == opened.inode) else {
            // Removed, or another file in its place: the one that is mapped stays as it was.
            return Ok(());
        };
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if now == *seen {
            return Ok(());
        }
        let same = now.length == opened.length
            && check::open(&self.map).is_ok_and(|(_, footer, _)| footer.identity == self.footer.identity);
        if !same {
            return Err(Change { path: self.path.clone(), was: *opened, now: Some(now) }.into());
        }
        self.checked_pages.clear();
        self.checked_records.clear();
        *seen = now;
        Ok(())
    }

    /// What happened to the file since it was opened, as far as the system says. A file that was removed, or replaced by another of its name,
    /// stays as it was for those who have it open, unless pages were lost.
    fn change(&self) -> Option<Change> {
        let (was, _) = self.opened.as_ref()?;
        let now = Stamp::at(&self.path);
        let changed = match now {
            Some(now) if now.inode == was.inode => now != *was,
            _ => self.map.lost(),
        };
        changed.then(|| Change { path: self.path.clone(), was: *was, now })
    }
}
