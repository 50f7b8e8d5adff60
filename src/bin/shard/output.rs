//! A dataset folder under construction: splits are written beside their place and moved there when all are whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use metacl::shard::ShardSet;
use metacl::shard::ingest::LeftOut;

use super::Failure;
use super::text::one_line;

const STAGE: &str = ".unfinished-";
/// The list of what a split lacks, beside its shards.
pub(super) const REJECTED: &str = "rejected.tsv";

/// The folder that a command fills. Dropped before [`finish`](Self::finish), it takes away all it made.
pub(super) struct Output {
    root: PathBuf,
    stage: PathBuf,
    created_root: bool,
    splits: Vec<String>,
}

impl Output {
    /// Makes `root` ready for new `splits` with `classes`.
    ///
    /// Refuses what exists: a split of the same name, a folder of shards, and splits that number other classes.
    pub(super) fn create(root: &Path, splits: &[&str], classes: &[String]) -> Result<Self, Failure> {
        refuse_existing(root, splits, classes)?;
        let created_root = !root.exists();
        let failed = |error| unwritable(root, &error);
        fs::create_dir_all(root).map_err(failed)?;
        let stage = root.join(format!("{STAGE}{}", std::process::id()));
        let output = Self { root: root.to_owned(), stage, created_root, splits: Vec::new() };
        fs::create_dir(&output.stage).map_err(failed)?;
        Ok(output)
    }

    /// The folder to write `split` into; it must not exist yet.
    pub(super) fn folder(&self, split: &str) -> PathBuf {
        self.stage.join(split)
    }

    /// Says that `split` is whole, and lists what it had to leave out.
    pub(super) fn complete(&mut self, split: &str) {
        self.splits.push(split.to_owned());
    }

    /// Writes `rejected.tsv` (name, tab, reason) into `split`, unless the list is empty; its final path.
    pub(super) fn list_rejected(&self, split: &str, rejected: &[LeftOut]) -> Result<Option<PathBuf>, Failure> {
        if rejected.is_empty() {
            return Ok(None);
        }
        let path = self.folder(split).join(REJECTED);
        write_list(&path, rejected).map_err(|error| unwritable(&path, &error))?;
        Ok(Some(self.root.join(split).join(REJECTED)))
    }

    /// Moves all completed splits to their places.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        for split in &self.splits {
            let place = self.root.join(split);
            if place.exists() {
                return Err(exists(&place));
            }
            fs::rename(self.folder(split), &place).map_err(|error| unwritable(&place, &error))?;
            self.created_root = false;
        }
        #[cfg(unix)]
        File::open(&self.root).and_then(|folder| folder.sync_all()).map_err(|error| unwritable(&self.root, &error))?;
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Nothing more can be done about a failure here; the folder's name says what it is.
        let _ = fs::remove_dir_all(&self.stage);
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
        if name.starts_with(STAGE) {
            eprintln!(
                "metacl-shard: note: {}: left by an interrupted run; delete it if none is going on",
                path.display()
            );
        } else if metacl::shard::ingest::SPLITS.contains(&name.as_str()) && ShardSet::open(&path)?.classes() != classes
        {
            let message = "its classes are others than those of the new split; choose another folder";
            return Err(Failure::Failed(format!("{}: {message}", path.display())));
        }
    }
    Ok(())
}

fn write_list(path: &Path, rejected: &[LeftOut]) -> io::Result<()> {
    let mut file = BufWriter::new(File::create_new(path)?);
    for LeftOut { name, reason } in rejected {
        writeln!(file, "{}\t{}", one_line(name), one_line(&reason.to_string()))?;
    }
    file.flush()
}

fn exists(path: &Path) -> Failure {
    Failure::Failed(format!("{}: exists and is not overwritten; choose another folder or delete it", path.display()))
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::Failed(format!(
        "{}: cannot be written ({error}); choose another folder or change its permissions",
        path.display()
    ))
}
