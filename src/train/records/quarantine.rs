//! `quarantine.jsonl`: the corrupt samples that the run met, a line each.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Records;
use crate::dist::Comm;
use crate::loader::{Corrupt, Quarantine};
use crate::train::TrainError;
use crate::train::log::LogError;

const NAME: &str = "quarantine.jsonl";

impl Records {
    /// Lists what `quarantine` gathers and has gathered, as for the run of another seed; it gets what the run met before it was resumed.
    ///
    /// # Errors
    /// Where the list cannot be read; [`LoadError::TooManyCorrupt`](crate::loader::LoadError::TooManyCorrupt).
    pub fn quarantine(&mut self, quarantine: Arc<Quarantine>) -> Result<(), TrainError> {
        let path = self.quarantine_path();
        let before = read(&path).map_err(|reason| LogError::Io { path, reason })?;
        let added = quarantine.add(before.iter().cloned());
        quarantine.list_but(&before);
        self.quarantine = Some(quarantine);
        Ok(added?)
    }

    /// Lists what all ranks met since the last call; every rank calls it after the same step.
    ///
    /// # Errors
    /// Where the list cannot be written, what [`Comm::exchange`] finds, and
    /// [`LoadError::TooManyCorrupt`](crate::loader::LoadError::TooManyCorrupt) where ranks together met too many.
    pub fn list_corrupt(&mut self, comm: &dyn Comm) -> Result<(), TrainError> {
        let Some(quarantine) = self.quarantine.clone() else { return Ok(()) };
        let mut added = Ok(());
        if comm.world().size() > 1 {
            let own = if self.following.is_some() { quarantine.take_fresh() } else { Vec::new() };
            let lines: String = own.iter().map(line).collect();
            let told = comm.exchange(lines.as_bytes())?;
            if self.following.is_none() {
                added = quarantine.add(told.iter().flat_map(|bytes| parse(bytes)));
            }
        }
        self.list_fresh_corrupt()?;
        Ok(added?)
    }

    /// Lists what this process met or was told of since the last call; one that follows keeps it for [`list_corrupt`](Self::list_corrupt).
    pub(super) fn list_fresh_corrupt(&mut self) -> Result<(), TrainError> {
        let (Some(quarantine), None) = (&self.quarantine, &self.following) else { return Ok(()) };
        let fresh = quarantine.take_fresh();
        let Some(first) = fresh.first() else { return Ok(()) };
        let path = self.quarantine_path();
        let lines: String = fresh.iter().map(line).collect();
        let append = |path: &Path| {
            let mut file = File::options().append(true).create(true).open(path)?;
            file.write_all(lines.as_bytes())?;
            file.sync_data()
        };
        append(&path).map_err(|reason| LogError::Io { path: path.clone(), reason })?;
        let (count, reason) = (fresh.len(), &first.reason);
        self.say(&format!(
            "warning: {count} more corrupt samples gave way to others, listed in {}: {reason}",
            path.display()
        ));
        Ok(())
    }

    fn quarantine_path(&self) -> PathBuf {
        self.run.path().join(NAME)
    }
}

fn line(corrupt: &Corrupt) -> String {
    // Strings and integers alone: this cannot fail.
    serde_json::to_string(corrupt).map(|text| text + "\n").unwrap_or_default()
}

/// The lines of `bytes`; one that a crash cut short is left out: what it told of is met again.
fn parse(bytes: &[u8]) -> Vec<Corrupt> {
    bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

fn read(path: &Path) -> io::Result<Vec<Corrupt>> {
    match fs::read(path) {
        Ok(bytes) => Ok(parse(&bytes)),
        Err(reason) if reason.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(reason) => Err(reason),
    }
}
