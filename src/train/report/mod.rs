//! `report.html`: a run on one page that needs nothing else, drawn from the files of its folder.
//!
//! Read are `metrics.jsonl`, `summary.json`, `config.yaml`, `environment.json` and `views.png`; what is missing is left out. So the page
//! can be drawn again at any time, also for a run that is under way.
//!
//! - [`write()`]: folder to page. `curves`: lines of numbers to plots. `plot`: a plot as SVG. `page`: sections, tables, style.
//!
//! Not here: who writes those files (`log`, `run_dir`, `setup`).

mod curves;
mod page;
mod plot;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::csv;
use crate::atomic;
use page::Page;

/// What the run was made on, in a run's folder.
pub(super) const ENVIRONMENT: &str = "environment.json";
/// Training views, in a run's folder.
pub(super) const VIEWS: &str = "views.png";

/// Why there is no report.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ReportError {
    /// A file of the run, or the page, cannot be had.
    #[error("{}: cannot {action} it: {reason}", path.display())]
    Io { path: PathBuf, action: &'static str, reason: io::Error },
    /// There is nothing to report.
    #[error("{}: no run's folder: neither metrics.jsonl nor config.yaml lies there", path.display())]
    NoRun { path: PathBuf },
    /// A file of the run was changed.
    #[error("{}: not as the run wrote it: {reason}", path.display())]
    Malformed { path: PathBuf, reason: String },
}

/// Draws `report.html` in the run's `folder`; gives its path.
///
/// # Errors
/// See [`ReportError`].
pub fn write(folder: &Path) -> Result<PathBuf, ReportError> {
    let metrics = text(folder, "metrics.jsonl")?;
    let config = text(folder, "config.yaml")?;
    if metrics.is_none() && config.is_none() {
        return Err(ReportError::NoRun { path: folder.to_owned() });
    }
    // A torn last line is no line yet.
    let metrics = metrics.unwrap_or_default();
    let complete = metrics.rfind('\n').map_or("", |end| &metrics[..=end]);
    let lines: Vec<_> = complete.lines().filter_map(csv::cells).collect();
    let page = Page {
        title: title(folder),
        plots: curves::plots(&lines),
        summary: object(folder, "summary.json")?,
        environment: object(folder, ENVIRONMENT)?,
        config: config.as_deref().map(settings).unwrap_or_default(),
        views: read(folder, VIEWS)?,
    };
    let path = folder.join("report.html");
    let written = atomic::replace_text(&path, &page.html());
    written.map_err(|reason| ReportError::Io { path: path.clone(), action: "write", reason })?;
    Ok(path)
}

/// `quickstart / 000001` of `logs/quickstart/runs/000001`.
fn title(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let parts: Vec<_> = whole.iter().map(|part| part.to_string_lossy()).collect();
    match parts[..] {
        [.., ref config, ref kind, ref id] if kind == "runs" || kind == "tmp" => format!("{config} / {id}"),
        [.., ref id] => id.to_string(),
        [] => "run".to_owned(),
    }
}

/// Keys and values of a resolved config.
fn settings(yaml: &str) -> Vec<(String, String)> {
    let lines = yaml.lines().filter_map(|line| line.split_once(": "));
    lines.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn object(folder: &Path, name: &str) -> Result<Map<String, Value>, ReportError> {
    let Some(text) = text(folder, name)? else { return Ok(Map::new()) };
    serde_json::from_str(&text)
        .map_err(|reason| ReportError::Malformed { path: folder.join(name), reason: reason.to_string() })
}

fn text(folder: &Path, name: &str) -> Result<Option<String>, ReportError> {
    Ok(read(folder, name)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

fn read(folder: &Path, name: &str) -> Result<Option<Vec<u8>>, ReportError> {
    let path = folder.join(name);
    match fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(reason) if reason.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(reason) => Err(ReportError::Io { path, action: "read", reason }),
    }
}
