//! A dataset folder under construction: splits are written beside their place and moved there when all are whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use metacl::shard::ShardSet;
use metacl::shard::ingest::LeftOut;
use serde::{Deserialize, Serialize};

use super::Failure;
use super::journal::Journal;
use super::stage::{Stage, sync};
use super::text::{count, one_line};

/// The list of what a split lacks, beside its shards.
pub(super) const REJECTED: &str = "rejected.tsv";

/// A file that was left out, and why: a line of the list.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Rejected {
    pub(super) name: String,
    pub(super) reason: String,
}

impl From<LeftOut> for Rejected {
    fn from(LeftOut { name, reason }: LeftOut) -> Self {
        Self { name, reason: reason.to_string() }
    }
}

/// The folder that a command fills. Dropped before [`finish`](Self::finish), it takes away all it made.
pub(super) struct Output {
    root: PathBuf,
    created_root: bool,
    stage: Stage,
    splits: Vec<String>,
    /// The stage is left for a later run.
    keep: bool,
}

impl Output {
    /// Makes `root` ready for new `splits` with `classes`.
    ///
    /// Refuses what exists: a split of the same name, a folder of shards, and splits that number other classes; the folder that
    /// another process fills; and finished files that an interrupted conversion left.
    pub(super) fn create(root: &Path, splits: &[&str], classes: &[String]) -> Result<(Self, Journal), Failure> {
        let (mut output, journal) = Self::take(root)?;
        let stage = output.stage.path().display();
        if journal.files() > 0 {
            output.keep = true;
            let what = "go on with it by the same `convert` and --resume, or delete the folder";
            let message =
                format!("an interrupted conversion left {} here", count(journal.files() as u64, "finished file"));
            return Err(Failure::Failed(format!("{stage}: {message}; {what}")));
        }
        refuse_existing(root, splits, classes)?;
        if output.stage.clear().map_err(|error| unwritable(output.stage.path(), &error))? {
            eprintln!("metacl-shard: note: {stage}: removed what an interrupted run left, no file of it was finished");
        }
        let journal = Journal::read(output.stage())?;
        Ok((output, journal))
    }

    /// As [`create`](Self::create), and what an interrupted conversion did, to go on with.
    pub(super) fn resume(root: &Path, splits: &[&str], classes: &[String]) -> Result<(Self, Journal), Failure> {
        let (mut output, mut journal) = Self::take(root)?;
        output.keep = journal.files() > 0;
        if !output.keep {
            output.stage.clear().map_err(|error| unwritable(output.stage.path(), &error))?;
            journal = Journal::read(output.stage.path())?;
        }
        // Some of them may have been moved to their places already.
        if !journal.is_whole() {
            refuse_existing(root, splits, classes)?;
        }
        Ok((output, journal))
    }

    fn take(root: &Path) -> Result<(Self, Journal), Failure> {
        let created_root = !root.exists();
        fs::create_dir_all(root).map_err(|error| unwritable(root, &error))?;
        let stage = Stage::take(root).inspect_err(|_| {
            if created_root {
                let _ = fs::remove_dir(root); // fails where somebody else works there, as it should
            }
        })?;
        let journal = Journal::read(stage.path())?;
        Ok((Self { root: root.to_owned(), created_root, stage, splits: Vec::new(), keep: false }, journal))
    }

    /// The folder where all is made.
    pub(super) fn stage(&self) -> &Path {
        self.stage.path()
    }

    /// Leaves what is made to a later run.
    pub(super) fn keep(&mut self) {
        self.keep = true;
    }

    /// The folder to write `split` into.
    pub(super) fn folder(&self, split: &str) -> PathBuf {
        self.stage.path().join(split)
    }

    /// Says that `split` is whole.
    pub(super) fn complete(&mut self, split: &str) {
        self.splits.push(split.to_owned());
    }

    /// Whether `split` was said to be whole.
    pub(super) fn is_complete(&self, split: &str) -> bool {
        self.splits.iter().any(|whole| whole == split)
    }

    /// Writes `rejected.tsv` (name, tab, reason) into `split`, unless the list is empty.
    pub(super) fn list_rejected(&self, split: &str, rejected: &[Rejected]) -> Result<(), Failure> {
        if rejected.is_empty() {
            return Ok(());
        }
        let path = self.folder(split).join(REJECTED);
        write_list(&path, rejected).map_err(|error| unwritable(&path, &error))
    }

    /// The list of `split`, which may have been moved to its place.
    pub(super) fn rejected(&self, split: &str) -> Result<Vec<Rejected>, Failure> {
        let places = [self.folder(split), self.place(split)].map(|folder| folder.join(REJECTED));
        let Some(path) = places.into_iter().find(|path| path.exists()) else { return Ok(Vec::new()) };
        let text = fs::read_to_string(&path)?;
        let line = |line: &str| line.split_once('\t').map(|(name, reason)| (name.to_owned(), reason.to_owned()));
        Ok(text.lines().filter_map(line).map(|(name, reason)| Rejected { name, reason }).collect())
    }

    /// Where `split` goes in the end.
    pub(super) fn place(&self, split: &str) -> PathBuf {
        self.root.join(split)
    }

    /// Moves all completed splits to their places: all, or none.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        let mut moved = Vec::new();
        for split in &self.splits {
            match self.publish(split) {
                Ok(()) => moved.push(split),
                Err(failure) => {
                    for split in moved {
                        // The first failure is the one to tell.
                        let _ = fs::rename(self.place(split), self.folder(split));
                    }
                    return Err(failure);
                }
            }
        }
        sync(&self.root)?;
        (self.created_root, self.keep) = (false, false);
        Ok(())
    }

    fn publish(&self, split: &str) -> Result<(), Failure> {
        let (from, place) = (self.folder(split), self.place(split));
        match (from.exists(), place.exists()) {
            // An interrupted run moved it.
            (false, true) => Ok(()),
            (_, true) => Err(exists(&place)),
            _ => fs::rename(from, &place).map_err(|error| unwritable(&place, &error)),
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        // Nothing more can be done about a failure here; the folder's name says what it is.
        let _ = self.stage.remove();
        if self.created_root {
            let _ = fs::remove_dir(&self.root);
        }
    }
}

fn refuse_existing(root: &Path, splits: &[&str], classes: &[String]) -> Result<(), Failure> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|error| unwritable(root, &error))?,
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".mcs") || splits.contains(&name.as_str()) {
            return Err(exists(&path));
        }
        if metacl::shard::ingest::SPLITS.contains(&name.as_str()) && ShardSet::open(&path)?.classes() != classes {
            let message = "its classes are others than those of the new split; choose another folder";
            return Err(Failure::Failed(format!("{}: {message}", path.display())));
        }
    }
    Ok(())
}

fn write_list(path: &Path, rejected: &[Rejected]) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for Rejected { name, reason } in rejected {
        writeln!(file, "{}\t{}", one_line(name), one_line(reason))?;
    }
    file.into_inner()?.sync_all()
}

fn exists(path: &Path) -> Failure {
    Failure::Failed(format!("{}: exists and is not overwritten; choose another folder or delete it", path.display()))
}

pub(super) fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let what = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room or choose another folder",
        _ => "choose another folder or change its permissions",
    };
    Failure::Failed(format!("{}: cannot be written ({error}); {what}", path.display()))
}
