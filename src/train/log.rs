//! What a run writes down as it goes: `metrics.jsonl`, `metrics.csv`, `summary.json`; the same numbers for TensorBoard (`events`).
//!
//! Every JSON line has `iter`; training lines, and only they, have `train_loss`; names of evaluation lines begin with `test_`,
//! `knn_`, `linear_` or `few_shot_`. Numbers are printed in full: they read back as the same f64. JSON has no NaN and no infinity: both are
//! `null`. Lines are appended at once, not synced: a crash of the machine may lose the last ones, and a run that goes on cuts
//! what lies past its checkpoint, so write an iteration's lines before its checkpoint.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::csv;
use super::events::EventFile;
use crate::atomic;

/// Prefixes of the numbers of an evaluation.
const EVALUATION: [&str; 4] = ["test_", "knn_", "linear_", "few_shot_"];

/// Why a record cannot be written.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The system refuses.
    #[error("{}: cannot write the run's records: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// A line, not the last, is none of ours.
    #[error("{}:{line}: no line of numbers: the file was changed; move it away to go on", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A name that a line of its kind must not have.
    #[error("{name:?} cannot name a number of an {kind} line")]
    Name {
        /// The name.
        name: String,
        /// `training` or `evaluation`.
        kind: &'static str,
    },
}

/// One training line.
#[derive(Clone, Copy, Debug)]
pub struct TrainLine<'a> {
    /// Micro-batches done.
    pub iter: u64,
    /// The loss.
    pub train_loss: f64,
    /// The rate of this iteration.
    pub lr: f64,
    /// Images (not views) per second since the last line or checkpoint.
    pub images_per_s: f64,
    /// Share of that time spent waiting for data, 0..=1.
    pub data_wait_share: f64,
    /// Terms of the loss; `head` becomes `term_head`.
    pub terms: &'a [(&'a str, f64)],
    /// Anything else, by full name.
    pub others: &'a [(&'a str, f64)],
}

/// The growing records of a run.
#[derive(Debug)]
pub struct RunLog {
    lines_path: PathBuf,
    table_path: PathBuf,
    lines: File,
    events: Option<EventFile>,
    /// Columns of the table as it stands.
    columns: Vec<String>,
    /// Iteration of its last row.
    last_iter: Option<u64>,
}

impl RunLog {
    /// Opens the records in `folder`. A run that goes on from iteration `resumed` keeps what was written up to it and loses the
    /// rest; a new run (`None`) loses all.
    ///
    /// # Errors
    /// [`LogError::Io`], [`LogError::Malformed`].
    pub fn open(folder: &Path, resumed: Option<u64>) -> Result<RunLog, LogError> {
        let (lines_path, table_path) = (folder.join("metrics.jsonl"), folder.join("metrics.csv"));
        let text = match resumed {
            Some(iter) => kept(&lines_path, iter)?,
            None => String::new(),
        };
        atomic::replace_text(&lines_path, &text).map_err(|reason| io_error(&lines_path, reason))?;
        let lines = File::options().append(true).open(&lines_path).map_err(|reason| io_error(&lines_path, reason))?;
        let mut log = RunLog { lines_path, table_path, lines, events: None, columns: Vec::new(), last_iter: None };
        log.rebuild_table()?;
        Ok(log)
    }

    /// Writes every number to TensorBoard's event file in `folder` too; `resumed` as in [`open`](Self::open).
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn with_events(mut self, folder: &Path, resumed: Option<u64>) -> Result<RunLog, LogError> {
        let events = EventFile::open(folder, resumed).map_err(|(path, reason)| LogError::Io { path, reason })?;
        self.events = Some(events);
        Ok(self)
    }

    /// Appends a training line.
    ///
    /// # Errors
    /// [`LogError::Io`]; [`LogError::Name`] where a name needs quoting or belongs to evaluation lines.
    pub fn training(&mut self, line: &TrainLine<'_>) -> Result<(), LogError> {
        let terms = line.terms.iter().map(|(name, number)| (format!("term_{name}"), *number));
        let others = line.others.iter().map(|(name, number)| ((*name).to_owned(), *number));
        let more: Vec<(String, f64)> = terms.chain(others).collect();
        let bad = more.iter().find(|(name, _)| !csv::is_name(name) || is_evaluation(name));
        if let Some((name, _)) = bad {
            return Err(LogError::Name { name: name.clone(), kind: "training" });
        }
        let fixed = [
            ("train_loss", line.train_loss),
            ("lr", line.lr),
            ("images_per_s", line.images_per_s),
            ("data_wait_share", line.data_wait_share),
        ];
        self.append(line.iter, fixed.into_iter().chain(more.iter().map(|(name, number)| (name.as_str(), *number))))
    }

    /// Appends an evaluation line.
    ///
    /// # Errors
    /// [`LogError::Io`]; [`LogError::Name`] where a name does not begin as those of evaluations do.
    pub fn evaluation(&mut self, iter: u64, metrics: &[(String, f64)]) -> Result<(), LogError> {
        if let Some((name, _)) = metrics.iter().find(|(name, _)| !csv::is_name(name) || !is_evaluation(name)) {
            return Err(LogError::Name { name: name.clone(), kind: "evaluation" });
        }
        self.append(iter, metrics.iter().map(|(name, number)| (name.as_str(), *number)))
    }

    /// Waits until all lines are on the disk.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn sync(&self) -> Result<(), LogError> {
        self.lines.sync_data().map_err(|reason| io_error(&self.lines_path, reason))
    }

    fn append<'a>(&mut self, iter: u64, numbers: impl Iterator<Item = (&'a str, f64)>) -> Result<(), LogError> {
        let numbers: Vec<_> = numbers.collect();
        if let Some(events) = &mut self.events {
            let written = events.append(iter, numbers.iter().copied());
            written.map_err(|reason| io_error(events.path(), reason))?;
        }
        let numbers: String = numbers.iter().map(|(name, number)| format!(",\"{name}\":{}", json(*number))).collect();
        let line = format!("{{\"iter\":{iter}{numbers}}}");
        // One write, so that no other reader sees half a line.
        self.lines.write_all(format!("{line}\n").as_bytes()).map_err(|reason| io_error(&self.lines_path, reason))?;
        let cells = csv::cells(&line).unwrap_or_default();
        let known = cells.keys().all(|name| self.columns.iter().any(|column| column == name));
        if !known || self.last_iter == Some(iter) {
            return self.rebuild_table();
        }
        let row = csv::row(&self.columns, &cells);
        let table = File::options().append(true).open(&self.table_path);
        table
            .and_then(|mut table| table.write_all(row.as_bytes()))
            .map_err(|reason| io_error(&self.table_path, reason))?;
        self.last_iter = Some(iter);
        Ok(())
    }

    /// Writes the table anew from the lines: a new column, or a second line of an iteration, changes what stands already.
    fn rebuild_table(&mut self) -> Result<(), LogError> {
        let text = fs::read_to_string(&self.lines_path).map_err(|reason| io_error(&self.lines_path, reason))?;
        let lines = parsed(&self.lines_path, &text)?;
        self.columns = csv::columns(&lines).into_iter().map(str::to_owned).collect();
        self.last_iter = lines.last().map(iter_of);
        atomic::replace_text(&self.table_path, &csv::table(&lines)).map_err(|reason| io_error(&self.table_path, reason))
    }
}

/// What a finished run comes to; fractions, seconds. One row of a table over runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Summary {
    /// Which run it was, and the `test_*` numbers of its last test pass.
    #[serde(flatten)]
    pub about: serde_json::Map<String, serde_json::Value>,
    pub iter: u64,
    /// Of the last training line.
    pub train_loss: Option<f64>,
    /// Over the whole of the training.
    pub images_per_s: Option<f64>,
    /// Over the whole of the training.
    pub data_wait_share: Option<f64>,
    pub train_seconds: f64,
    /// Of torch's tensors on the GPU in training, since the run began or went on; absent on the CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
    /// Damaged or undecodable samples, of all splits, in whose place others stood.
    pub corrupt_samples: u64,
    #[serde(flatten)]
    pub accuracies: Accuracies,
}

/// What was evaluated, top-1 and (of more than five classes) top-5 as fractions; what was not is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Accuracies {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub knn_top1: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub knn_top1_untrained: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub knn_top1_pixels: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear_top1: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear_top1_untrained: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear_top1_pixels: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub knn_top5: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub knn_top5_untrained: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub knn_top5_pixels: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear_top5: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear_top5_untrained: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear_top5_pixels: Option<f64>,
}

impl Summary {
    /// Writes `summary.json` in `folder`, whole or not at all; a number that is none is `null`.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn write(&self, folder: &Path) -> Result<(), LogError> {
        write_summary(folder, self)
    }
}

/// Writes `summary` as `summary.json` in `folder`, whole or not at all.
pub(super) fn write_summary(folder: &Path, summary: &impl Serialize) -> Result<(), LogError> {
    let path = folder.join("summary.json");
    let text = serde_json::to_string_pretty(summary).map_err(|reason| io_error(&path, reason.into()))?;
    atomic::replace_text(&path, &(text + "\n")).map_err(|reason| io_error(&path, reason))
}

/// The complete lines of the file at `path` up to iteration `last`; a torn last line is dropped, a missing file is empty.
fn kept(path: &Path, last: u64) -> Result<String, LogError> {
    let text = match fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(reason) if reason.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(reason) => return Err(io_error(path, reason)),
    };
    let complete = text.rfind('\n').map_or("", |end| &text[..=end]);
    let lines = parsed(path, complete)?;
    let kept = complete.lines().zip(&lines).filter(|(_, cells)| iter_of(cells) <= last);
    Ok(kept.map(|(line, _)| format!("{line}\n")).collect())
}

fn parsed<'a>(path: &Path, text: &'a str) -> Result<Vec<BTreeMap<&'a str, &'a str>>, LogError> {
    let malformed = |index: usize| LogError::Malformed { path: path.to_owned(), line: index + 1 };
    text.lines().enumerate().map(|(index, line)| csv::cells(line).ok_or_else(|| malformed(index))).collect()
}

fn iter_of(cells: &BTreeMap<&str, &str>) -> u64 {
    // `csv::cells` gives no line without a whole `iter`.
    cells.get("iter").and_then(|iter| iter.parse().ok()).unwrap_or(0)
}

fn is_evaluation(name: &str) -> bool {
    EVALUATION.iter().any(|prefix| name.starts_with(prefix))
}

/// The shortest text that reads back as `number`; `null` where JSON has none.
fn json(number: f64) -> String {
    if number.is_finite() { format!("{number:?}") } else { "null".to_owned() }
}

fn io_error(path: &Path, reason: io::Error) -> LogError {
    LogError::Io { path: path.to_owned(), reason }
}
