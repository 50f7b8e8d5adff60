//! What a conversion has done so far, so that the same command goes on with it after a kill: `journal.jsonl` in the stage.
//!
//! A line a split that is begun, a line a finished file (which is on the disk by then), a line when all splits are whole. Each is synced
//! before anything that relies on it is done. A line that a kill cut short, and all behind it, count for nothing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use metacl::shard::FinishedPart;
use serde::{Deserialize, Serialize};

use super::Failure;
use super::output::unwritable;
use super::split::Report;
use super::stage::replace;

/// Its name.
pub(super) const NAME: &str = "journal.jsonl";

/// A line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Begun { split: String, options: BTreeMap<String, String> },
    Finished { split: String, file: Finished },
    Whole,
}

/// A finished file of a split.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Finished {
    /// The file.
    pub(super) part: FinishedPart,
    /// Index, in the order of the split, of the first sample that is behind it.
    pub(super) next: u64,
    /// What became of the samples before `next`; of those left out, it lists those that earlier lines do not.
    pub(super) report: Report,
}

/// A split as far as it is known.
#[derive(Default)]
struct Begun {
    /// All that decides what is written.
    options: BTreeMap<String, String>,
    files: Vec<Finished>,
}

/// The journal, open for more lines.
pub(super) struct Journal {
    path: PathBuf,
    splits: BTreeMap<String, Begun>,
    whole: bool,
}

impl Journal {
    /// Reads what an interrupted conversion left in `stage`; an empty journal where it left none.
    pub(super) fn read(stage: &Path) -> Result<Self, Failure> {
        let mut journal = Self { path: stage.join(NAME), splits: BTreeMap::new(), whole: false };
        let text = match fs::read(&journal.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(journal),
            text => text.map_err(|error| unwritable(&journal.path, &error))?,
        };
        let ends = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let lines = text[..ends].split_inclusive(|&byte| byte == b'\n');
        lines.map_while(|line| serde_json::from_slice(line).ok()).for_each(|line| journal.take(line));
        Ok(journal)
    }

    fn take(&mut self, line: Line) {
        match line {
            Line::Begun { split, options } => self.splits.entry(split).or_default().options = options,
            Line::Finished { split, file } => self.splits.entry(split).or_default().files.push(file),
            Line::Whole => self.whole = true,
        }
    }

    /// How many files are finished.
    pub(super) fn files(&self) -> usize {
        self.splits.values().map(|split| split.files.len()).sum()
    }

    /// Whether all splits are whole and have to be moved to their places only.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// The splits that are begun.
    pub(super) fn splits(&self) -> impl Iterator<Item = &str> {
        self.splits.keys().map(String::as_str)
    }

    /// The options that `split` was begun with.
    pub(super) fn options(&self, split: &str) -> Option<&BTreeMap<String, String>> {
        self.splits.get(split).map(|begun| &begun.options)
    }

    /// Samples of `split`, from its first on, that the finished files stand for.
    pub(super) fn done(&self, split: &str) -> u64 {
        self.splits.get(split).and_then(|begun| begun.files.last()).map_or(0, |file| file.next)
    }

    /// The finished files of `split`.
    pub(super) fn parts(&self, split: &str) -> Vec<FinishedPart> {
        self.splits.get(split).map_or(&[][..], |begun| &begun.files).iter().map(|file| file.part.clone()).collect()
    }

    /// What became of the samples of `split` that its finished files stand for.
    pub(super) fn report(&self, split: &str) -> Report {
        let files = self.splits.get(split).map_or(&[][..], |begun| &begun.files);
        let mut report = files.last().map_or_else(|| Report::of(split), |file| file.report.clone());
        report.left_out = files.iter().flat_map(|file| file.report.left_out.iter().cloned()).collect();
        report
    }

    /// Notes that the splits of `options` are begun; their finished files stay known.
    pub(super) fn begin(&mut self, options: BTreeMap<String, BTreeMap<String, String>>) -> Result<(), Failure> {
        let files = |split: &str| self.splits.get(split).map_or(Vec::new(), |begun| begun.files.clone());
        self.splits = options
            .into_iter()
            .map(|(split, options)| (split.clone(), Begun { options, files: files(&split) }))
            .collect();
        self.rewrite()
    }

    /// Forgets all but the first `count` finished files of `split`: the others do not hold.
    pub(super) fn cut(&mut self, split: &str, count: usize) -> Result<(), Failure> {
        if let Some(begun) = self.splits.get_mut(split) {
            begun.files.truncate(count);
        }
        self.rewrite()
    }

    /// Notes a finished file of `split`.
    pub(super) fn finished(&mut self, split: &str, file: Finished) -> Result<(), Failure> {
        self.add(Line::Finished { split: split.to_owned(), file })
    }

    /// Notes that all splits are whole, with their lists of what is left out.
    pub(super) fn whole(&mut self) -> Result<(), Failure> {
        self.add(Line::Whole)
    }

    fn add(&mut self, line: Line) -> Result<(), Failure> {
        let text = text(&line)?;
        let mut file = File::options().append(true).open(&self.path).map_err(|error| unwritable(&self.path, &error))?;
        let added = file.write_all(&text).and_then(|()| file.sync_data());
        added.map_err(|error| unwritable(&self.path, &error))?;
        self.take(line);
        Ok(())
    }

    /// Replaces the file by what is known now.
    fn rewrite(&self) -> Result<(), Failure> {
        let mut lines = Vec::new();
        for (split, Begun { options, files }) in &self.splits {
            lines.extend(text(&Line::Begun { split: split.clone(), options: options.clone() })?);
            for file in files {
                lines.extend(text(&Line::Finished { split: split.clone(), file: file.clone() })?);
            }
        }
        replace(&self.path, &lines)
    }
}

fn text(line: &Line) -> Result<Vec<u8>, Failure> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    Ok(text)
}
