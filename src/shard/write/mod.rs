//! Writing a split: append, then index, sync, read back, rename.
//!
//! - here: [`SplitWriter`] cuts the samples into files and names them. `part`: one file under a temporary name. `resume`: going on with a
//!   split whose writer was interrupted.

mod part;
mod resume;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use part::{ClosedPart, OpenPart, Place};
pub use resume::FinishedPart;
use xxhash_rust::xxh3::Xxh3;

use super::check::storable;
use super::error::{Refusal, ShardError};
use super::file::ShardFile;
use super::format::{self, Meta, PAGE_ENTRIES};
use super::{Codec, EXTENSION, MAX_SAMPLES, parts};
use crate::atomic;
use crate::image::Size;

/// What all files of a split share.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// Most bytes of a file. A sample that needs more even alone gets a file of its own.
    pub shard_size: u64,
    /// Names of the classes, by label.
    pub classes: Vec<String>,
    /// Free metadata.
    pub metadata: BTreeMap<String, String>,
    /// Samples of an index page, 1..=4096; small ones are for tests.
    pub page_entries: u32,
}

impl Default for WriteOptions {
    /// Files of a gibibyte, no classes.
    fn default() -> Self {
        Self { shard_size: 1 << 30, classes: Vec::new(), metadata: BTreeMap::new(), page_entries: PAGE_ENTRIES }
    }
}

/// A sample to append.
#[derive(Clone, Copy, Debug)]
pub struct NewSample<'a> {
    /// The record.
    pub bytes: &'a [u8],
    /// Width and height in pixels.
    pub size: Size,
    /// What the bytes are.
    pub codec: Codec,
    /// Class, or [`NO_LABEL`](super::NO_LABEL).
    pub label: u32,
    /// Path in the source.
    pub name: &'a str,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteSummary {
    /// Samples of the split.
    pub samples: u64,
    /// Files of the split.
    pub files: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Writes a split of many files. Nothing has a final name before [`finish`](Self::finish); dropped earlier, it leaves nothing, the
/// folder included where it made that; one that can be [resumed](Self::resume) leaves the files that it has closed.
pub struct SplitWriter {
    closed: Vec<ClosedPart>,
    open: Option<OpenPart>,
    // After the parts: their temporary files have to be gone when it removes itself.
    folder: Folder,
    options: WriteOptions,
    meta: Vec<u8>,
    samples: u64,
    /// A write failed, so that samples may be missing.
    broken: bool,
    /// Closed files stay when this is dropped.
    keep_closed: bool,
}

impl SplitWriter {
    /// Begins a split in `folder`, which is made if need be.
    ///
    /// # Errors
    /// [`ShardError::Exists`] where the folder holds shard files; [`ShardError::Unstorable`] for options that the format cannot
    /// hold; [`ShardError::Io`].
    pub fn create(folder: &Path, options: WriteOptions) -> Result<Self, ShardError> {
        let refuse = |refusal| ShardError::Unstorable { name: folder.display().to_string(), refusal };
        let found = options.page_entries;
        if !(1..=PAGE_ENTRIES).contains(&found) {
            return Err(refuse(Refusal::PageEntries { found }));
        }
        let meta = encode_meta(&options).map_err(refuse)?;
        let folder = Folder::make(folder)?;
        if let Some(path) = parts::shard_files(&folder.path)?.into_iter().next() {
            return Err(ShardError::Exists { path });
        }
        Ok(Self {
            closed: Vec::new(),
            open: None,
            folder,
            options,
            meta,
            samples: 0,
            broken: false,
            keep_closed: false,
        })
    }

    /// Adds or replaces a pair of metadata, for what is known only once all samples are through; files may grow past `shard_size` by it.
    ///
    /// # Errors
    /// [`ShardError::Unstorable`] where the metadata becomes longer than the format can hold: it stays as it was.
    pub fn set_metadata(&mut self, key: &str, value: &str) -> Result<(), ShardError> {
        let mut options = self.options.clone();
        options.metadata.insert(key.to_owned(), value.to_owned());
        let refuse = |refusal| ShardError::Unstorable { name: key.to_owned(), refusal };
        self.meta = encode_meta(&options).map_err(refuse)?;
        self.options = options;
        Ok(())
    }

    /// Appends a sample.
    ///
    /// # Errors
    /// [`ShardError::Unstorable`] for a sample that the format cannot hold: nothing is written, the writer can go on. Any other
    /// error (system, number of files, read-back of a full file) ends the writer: later calls give [`ShardError::Broken`].
    pub fn append(&mut self, sample: &NewSample<'_>) -> Result<(), ShardError> {
        self.refuse_broken()?;
        self.check(sample).map_err(|refusal| ShardError::Unstorable { name: sample.name.to_owned(), refusal })?;
        self.broken = true;
        let full = |part: &OpenPart| part.length_with(sample, self.meta.len()) > self.options.shard_size;
        if self.open.as_ref().is_some_and(full) {
            self.close_part()?;
        }
        let part = match &mut self.open {
            Some(part) => part,
            none => none.insert(OpenPart::create(&self.folder.path, self.closed.len(), self.options.page_entries)?),
        };
        part.append(sample)?;
        self.samples += 1;
        self.broken = false;
        Ok(())
    }

    /// Appends all samples of a file of another split with the same classes, as a file of this one: bytes are copied, not looked at,
    /// and read back as those of a full file are.
    ///
    /// # Errors
    /// As [`append`](Self::append); [`ShardError::OtherClasses`].
    pub fn append_file(&mut self, file: &ShardFile) -> Result<(), ShardError> {
        self.refuse_broken()?;
        if file.meta().classes != self.options.classes {
            return Err(ShardError::OtherClasses { path: file.path().to_owned() });
        }
        self.broken = true;
        self.close_part()?;
        self.refuse_more_parts()?;
        let samples = self.samples + file.samples();
        if samples > MAX_SAMPLES {
            let (name, refusal) = (file.path().display().to_string(), Refusal::TooManySamples { found: samples });
            return Err(ShardError::Unstorable { name, refusal });
        }
        self.closed.push(ClosedPart::copy_of(file, &self.folder.path, self.closed.len())?);
        self.samples = samples;
        self.broken = false;
        Ok(())
    }

    /// Completes all files, each read back whole, and gives them their final names.
    ///
    /// # Errors
    /// [`ShardError::Empty`] where nothing was appended; [`ShardError::Exists`] where a name was taken meanwhile; what the system
    /// refuses; what reading back finds; [`ShardError::Broken`]. Nothing is left then but what a later writer can take up.
    pub fn finish(mut self) -> Result<WriteSummary, ShardError> {
        self.refuse_broken()?;
        self.close_part()?;
        if self.closed.is_empty() {
            return Err(ShardError::Empty { path: self.folder.path.clone() });
        }
        let split_id = self.split_id();
        let parts = self.closed.len() as u32; // at most MAX_PARTS
        let (mut first, mut bytes) = (0, 0);
        for (number, part) in (0..).zip(&mut self.closed) {
            part.complete(Place { part: number, parts, first, total: self.samples, split_id }, &self.meta)?;
            first += part.header().samples;
            bytes += part.header().file_length;
        }
        publish(&self.folder.path, std::mem::take(&mut self.closed), self.keep_closed)?;
        self.folder.keep()?;
        Ok(WriteSummary { samples: self.samples, files: parts.into(), bytes })
    }

    /// Digest over the content of all parts.
    fn split_id(&self) -> u64 {
        let mut id = Xxh3::new();
        for part in &self.closed {
            id.update(part.table());
        }
        id.update(&self.meta);
        id.digest()
    }

    fn refuse_broken(&self) -> Result<(), ShardError> {
        if self.broken { Err(ShardError::Broken { folder: self.folder.path.clone() }) } else { Ok(()) }
    }

    fn check(&self, sample: &NewSample<'_>) -> Result<(), Refusal> {
        let NewSample { bytes, size, codec, label, name } = *sample;
        storable(size, codec, bytes.len() as u64, label, self.options.classes.len() as u64)?;
        let length = name.len() as u64;
        if length > format::MAX_NAME {
            return Err(Refusal::NameLength { length });
        }
        let found = self.samples + 1;
        if found > MAX_SAMPLES { Err(Refusal::TooManySamples { found }) } else { Ok(()) }
    }

    fn close_part(&mut self) -> Result<(), ShardError> {
        let Some(part) = self.open.take() else { return Ok(()) };
        self.refuse_more_parts()?;
        let mut part = part.close(&self.meta)?;
        if self.keep_closed {
            part.keep();
        }
        self.closed.push(part);
        Ok(())
    }

    fn refuse_more_parts(&self) -> Result<(), ShardError> {
        let full = self.closed.len() >= format::MAX_PARTS as usize;
        if full { Err(ShardError::TooManyParts { folder: self.folder.path.clone() }) } else { Ok(()) }
    }
}

/// The file name of part `number` of a split.
pub fn part_name(number: u64) -> String {
    format!("{number:05}.{EXTENSION}")
}

fn encode_meta(options: &WriteOptions) -> Result<Vec<u8>, Refusal> {
    let meta = Meta { classes: options.classes.clone(), pairs: options.metadata.clone() };
    let texts = meta.classes.iter().chain(meta.pairs.iter().flat_map(|(key, value)| [key, value]));
    let length = texts.map(|text| text.len() as u64).sum();
    meta.encode().ok_or(Refusal::MetadataLength { length })
}

/// Gives the parts their final names, in order: all of them or, short of a crash, none. Where they are kept for a later writer, that one
/// takes the names back.
fn publish(folder: &Path, closed: Vec<ClosedPart>, keep: bool) -> Result<(), ShardError> {
    let mut named = Vec::new();
    for (number, part) in closed.into_iter().enumerate() {
        let path = folder.join(part_name(number as u64));
        if let Err(error) = part.name(&path) {
            for path in named.into_iter().filter(|_| !keep) {
                let _ = fs::remove_file(path); // ours; the first error is the one to tell
            }
            return Err(error);
        }
        named.push(path);
    }
    sync_folder(folder)
}

/// Makes the names in `folder` last.
fn sync_folder(folder: &Path) -> Result<(), ShardError> {
    atomic::sync_folder(Some(folder)).map_err(|source| ShardError::Io {
        path: folder.to_owned(),
        doing: "sync",
        source,
    })
}

/// The folder of the split: if it was made here, it is removed again unless [kept](Self::keep).
struct Folder {
    path: PathBuf,
    made: bool,
}

impl Folder {
    fn make(path: &Path) -> Result<Self, ShardError> {
        let io = |source| ShardError::Io { path: path.to_owned(), doing: "make the folder", source };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(io)?;
        }
        let made = match fs::create_dir(path) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => false,
            Err(error) => return Err(io(error)),
        };
        Ok(Self { path: path.to_owned(), made })
    }

    /// Leaves the folder where it is, for good.
    fn keep(&mut self) -> Result<(), ShardError> {
        let made = std::mem::take(&mut self.made);
        let parent = self.path.parent().filter(|parent| made && !parent.as_os_str().is_empty());
        parent.map_or(Ok(()), sync_folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.made {
            let _ = fs::remove_dir(&self.path); // fails where somebody put something else there, as it should
        }
    }
}
