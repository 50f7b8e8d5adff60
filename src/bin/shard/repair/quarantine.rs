//! What is lost: its bytes, and a list of where they were.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use metacl::shard::NO_LABEL;
use metacl::shard::salvage::Lost;
use serde::Serialize;

use crate::shard::Failure;
use crate::shard::output::unwritable;
use crate::shard::text;

/// The folder within the target.
pub(super) const FOLDER: &str = "quarantine";
/// The list in it.
pub(super) const LIST: &str = "quarantine.jsonl";
/// Pieces that are named on standard error; all are in the list.
const NAMED: u64 = 20;

/// A line of the list; fields as in a run's `quarantine.jsonl`, where they are known.
#[derive(Serialize)]
struct Line<'a> {
    split: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<u32>,
    file: String,
    /// First byte in the file.
    offset: u64,
    length: u64,
    reason: String,
    /// The file in the quarantine that holds the bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
}

/// The folder being filled.
pub(super) struct Quarantine {
    folder: PathBuf,
    list: BufWriter<File>,
    count: u64,
}

impl Quarantine {
    pub(super) fn create(folder: &Path) -> Result<Self, Failure> {
        let made = fs::create_dir(folder).and_then(|()| File::create(folder.join(LIST)));
        let list = BufWriter::new(made.map_err(|error| unwritable(folder, &error))?);
        Ok(Self { folder: folder.to_owned(), list, count: 0 })
    }

    /// Keeps the bytes of `lost`, a piece of `file`, and lists it.
    pub(super) fn add(&mut self, split: &str, file: &Path, lost: &Lost<'_>) -> Result<(), Failure> {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let bytes = format!("{split}-{stem}-{}.bin", lost.offset);
        let path = self.folder.join(&bytes);
        fs::write(&path, lost.bytes).map_err(|error| unwritable(&path, &error))?;
        self.list(&Line {
            split,
            name: lost.tag.map(|(name, _)| name),
            label: lost.tag.map(|(_, label)| label).filter(|&label| label != NO_LABEL),
            file: file.display().to_string(),
            offset: lost.offset,
            length: lost.bytes.len() as u64,
            reason: lost.reason.to_string(),
            bytes: Some(bytes),
        })
    }

    /// Lists a file that is not there.
    pub(super) fn add_missing(&mut self, split: &str, file: &Path) -> Result<(), Failure> {
        let (file, reason) = (file.display().to_string(), "the file is missing".to_owned());
        self.list(&Line { split, name: None, label: None, file, offset: 0, length: 0, reason, bytes: None })
    }

    fn list(&mut self, line: &Line<'_>) -> Result<(), Failure> {
        self.count += 1;
        if self.count <= NAMED {
            let name = line.name.map_or(String::new(), |name| format!("{name}, "));
            let Line { file, offset, reason, .. } = line;
            eprintln!("metacl-shard: lost: {}", text::one_line(&format!("{file}: {name}byte {offset}: {reason}")));
        }
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.list.write_all(&text).map_err(|error| unwritable(&self.folder, &error))
    }

    /// Ends the list; how many pieces there are.
    pub(super) fn close(self) -> Result<u64, Failure> {
        if self.count > NAMED {
            eprintln!("metacl-shard: lost: ... and {} more", text::thousands(self.count - NAMED));
        }
        let synced =
            self.list.into_inner().map_err(std::io::IntoInnerError::into_error).and_then(|list| list.sync_all());
        synced.map_err(|error| unwritable(&self.folder, &error))?;
        Ok(self.count)
    }
}
