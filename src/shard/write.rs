//! Writing a split: append, then index, sync, read back, rename.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::error::ShardError;
use super::file::ShardFile;
use super::format::{self, Block, Entry, FOOTER, Footer, HEADER, Header, Meta, PAGE_ENTRIES, VERSION};
use super::{Codec, EXTENSION, MAX_SAMPLES, MAX_SIDE};
use crate::image::Size;

/// What all files of a split share.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// A new file is begun before a record would make the present one longer than this many bytes.
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

/// Writes a split of many files. Nothing has a final name before [`finish`](Self::finish); dropped earlier, it leaves nothing.
pub struct SplitWriter {
    folder: PathBuf,
    options: WriteOptions,
    meta: Vec<u8>,
    done: Vec<Part>,
    open: Option<PartWriter>,
    samples: u64,
}

/// A part whose bytes are all written but for header and footer.
struct Part {
    path: TemporaryFile,
    file: File,
    samples: u64,
    body_end: u64,
    table: Vec<u8>,
}

impl SplitWriter {
    /// Begins a split in `folder`, which is made if need be.
    ///
    /// # Errors
    /// Where the folder cannot be made or holds shard files, or the classes cannot be stored.
    pub fn create(folder: &Path, options: WriteOptions) -> Result<Self, ShardError> {
        let io = |source| ShardError::Io { path: folder.to_owned(), doing: "make the folder", source };
        fs::create_dir_all(folder).map_err(io)?;
        let first = final_path(folder, 0);
        if first.exists() {
            return Err(ShardError::Exists { path: first });
        }
        let meta = encode_meta(&options)?;
        let page_entries = options.page_entries.clamp(1, PAGE_ENTRIES);
        let options = WriteOptions { page_entries, ..options };
        Ok(Self { folder: folder.to_owned(), options, meta, done: Vec::new(), open: None, samples: 0 })
    }

    /// Adds or replaces a pair of metadata, for what is known only once all samples are through.
    ///
    /// # Errors
    /// [`ShardError::Unstorable`] where the metadata becomes longer than the format can hold.
    pub fn set_metadata(&mut self, key: &str, value: &str) -> Result<(), ShardError> {
        self.options.metadata.insert(key.to_owned(), value.to_owned());
        self.meta = encode_meta(&self.options)?;
        Ok(())
    }

    /// Appends a sample.
    ///
    /// # Errors
    /// [`ShardError::Unstorable`] for a sample that the format cannot hold (nothing is written then); what the system refuses.
    pub fn append(&mut self, sample: &NewSample<'_>) -> Result<(), ShardError> {
        self.check(sample)?;
        let full = |part: &PartWriter| part.at + sample.bytes.len() as u64 > self.options.shard_size;
        if let Some(part) = self.open.take_if(|part| full(part)) {
            self.done.push(part.close()?);
        }
        if self.open.is_none() {
            self.open = Some(PartWriter::create(&self.folder, self.done.len(), self.options.page_entries)?);
        }
        let part = self.open.as_mut().expect("opened above");
        part.append(sample)?;
        self.samples += 1;
        Ok(())
    }

    fn check(&self, sample: &NewSample<'_>) -> Result<(), ShardError> {
        let NewSample { bytes, size, codec, label, name } = *sample;
        let area = u64::from(size.width) * u64::from(size.height);
        let classes = self.options.classes.len() as u64;
        let raw_length = (codec == Codec::Raw && bytes.len() as u64 != area * 3).then_some(area * 3);
        let checks = [
            ("width", size.width.into(), MAX_SIDE.into(), (1..=MAX_SIDE).contains(&size.width)),
            ("height", size.height.into(), MAX_SIDE.into(), (1..=MAX_SIDE).contains(&size.height)),
            ("record length", bytes.len() as u64, u32::MAX.into(), (1..=u32::MAX as usize).contains(&bytes.len())),
            ("raw record length", bytes.len() as u64, raw_length.unwrap_or(0), raw_length.is_none()),
            ("name length", name.len() as u64, 1 << 16, name.len() <= 1 << 16),
            ("label", label.into(), classes.saturating_sub(1), label == super::NO_LABEL || u64::from(label) < classes),
            ("number of samples", self.samples + 1, MAX_SAMPLES, self.samples < MAX_SAMPLES),
        ];
        match checks.into_iter().find(|(.., holds)| !holds) {
            Some((what, value, limit, _)) => Err(unstorable(name, what, value, limit)),
            None => Ok(()),
        }
    }

    /// Completes all files, reads them back and gives them their final names.
    ///
    /// # Errors
    /// [`ShardError::Empty`] where nothing was appended; what the system refuses; what reading back finds. Nothing is left then.
    pub fn finish(mut self) -> Result<WriteSummary, ShardError> {
        if let Some(part) = self.open.take() {
            self.done.push(part.close()?);
        }
        if self.done.is_empty() {
            return Err(ShardError::Empty { path: self.folder.clone() });
        }
        let mut id = Xxh3::new();
        for part in &self.done {
            id.update(&part.table);
        }
        id.update(&self.meta);
        let split_id = id.digest();
        let (parts, mut first, mut bytes) = (self.done.len() as u32, 0, 0);
        for (number, part) in self.done.iter_mut().enumerate() {
            let header = Header {
                version: VERSION,
                page_entries: self.options.page_entries,
                file_length: part.body_end + (self.meta.len() + part.table.len() + FOOTER) as u64,
                samples: part.samples,
                first,
                total: self.samples,
                part: number as u32,
                parts,
                split_id,
            };
            part.complete(&header, &self.meta).map_err(|source| part.path.failed("write", source))?;
            first += part.samples;
            bytes += header.file_length;
        }
        for part in &self.done {
            part.read_back()?;
        }
        let mut renamed = Vec::new();
        for (number, part) in self.done.drain(..).enumerate() {
            let target = final_path(&self.folder, number);
            if let Err(error) = part.path.rename(&target) {
                for path in renamed {
                    let _ = fs::remove_file(path);
                }
                return Err(error);
            }
            renamed.push(target);
        }
        sync_folder(&self.folder)?;
        Ok(WriteSummary { samples: self.samples, files: parts.into(), bytes })
    }
}

impl Part {
    /// Appends metadata, table and footer, sets the header, syncs.
    fn complete(&mut self, header: &Header, meta: &[u8]) -> io::Result<()> {
        let header = header.encode();
        let block =
            |offset, bytes: &[u8]| Block { offset, length: bytes.len() as u64, checksum: format::checksum(bytes) };
        let meta_block = block(self.body_end, meta);
        let table_block = block(self.body_end + meta.len() as u64, &self.table);
        let footer = Footer::new(&header, meta_block, table_block).encode();
        self.file.write_all(&[meta, &self.table, &footer].concat())?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header)?;
        self.file.sync_all()
    }

    /// Opens the file as a reader would and checks every byte.
    fn read_back(&self) -> Result<(), ShardError> {
        let file = ShardFile::open(&self.path.0)?;
        (0..file.pages()).flat_map(|page| file.faults(page)).next().map_or(Ok(()), Err)
    }
}

/// A part being filled: records go to the file, one index page is held.
struct PartWriter {
    path: TemporaryFile,
    file: BufWriter<File>,
    at: u64,
    samples: u64,
    page_entries: u32,
    entries: Vec<u8>,
    names: Vec<u8>,
    table: Vec<u8>,
}

impl PartWriter {
    fn create(folder: &Path, number: usize, page_entries: u32) -> Result<Self, ShardError> {
        let path = folder.join(format!(".{number:05}.{EXTENSION}.{}", std::process::id()));
        let io = |source| ShardError::Io { path: path.clone(), doing: "create", source };
        let file = File::create_new(&path).map_err(io)?;
        let path = TemporaryFile(path);
        let mut file = BufWriter::with_capacity(1 << 20, file);
        file.write_all(&[0; HEADER]).map_err(|source| path.failed("write", source))?;
        Ok(Self {
            path,
            file,
            at: HEADER as u64,
            samples: 0,
            page_entries,
            entries: Vec::new(),
            names: Vec::new(),
            table: Vec::new(),
        })
    }

    fn append(&mut self, sample: &NewSample<'_>) -> Result<(), ShardError> {
        let entry_names = self.names.len() + sample.name.len();
        let entry = Entry {
            offset: self.at,
            length: sample.bytes.len() as u32,
            width: sample.size.width as u16,
            height: sample.size.height as u16,
            label: sample.label,
            name_end: entry_names as u32,
            codec: sample.codec as u8,
            zero: [0; 7],
            checksum: format::checksum(sample.bytes),
        };
        self.write(sample.bytes)?;
        self.pad()?;
        self.entries.extend(entry.encode());
        self.names.extend(sample.name.as_bytes());
        self.samples += 1;
        if self.samples.is_multiple_of(self.page_entries.into()) { self.end_page() } else { Ok(()) }
    }

    fn end_page(&mut self) -> Result<(), ShardError> {
        let mut page = std::mem::take(&mut self.entries);
        page.append(&mut self.names);
        let block = Block { offset: self.at, length: page.len() as u64, checksum: format::checksum(&page) };
        self.table.extend(block.encode());
        self.write(&page)?;
        self.pad()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ShardError> {
        self.file.write_all(bytes).map_err(|source| self.path.failed("write", source))?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn pad(&mut self) -> Result<(), ShardError> {
        let end = format::align(self.at).expect("no file is that long");
        self.write(&[0; format::ALIGN as usize][..(end - self.at) as usize])
    }

    fn close(mut self) -> Result<Part, ShardError> {
        if !self.entries.is_empty() {
            self.end_page()?;
        }
        let file = self.file.into_inner().map_err(|error| self.path.failed("write", error.into_error()))?;
        Ok(Part { path: self.path, file, samples: self.samples, body_end: self.at, table: self.table })
    }
}

/// A file that goes away with this value, unless it is renamed.
struct TemporaryFile(PathBuf);

impl TemporaryFile {
    fn failed(&self, doing: &'static str, source: io::Error) -> ShardError {
        ShardError::Io { path: self.0.clone(), doing, source }
    }

    /// Gives the file its final name; a hard link, because a rename would overwrite what stands there.
    fn rename(self, target: &Path) -> Result<(), ShardError> {
        match fs::hard_link(&self.0, target) {
            Ok(()) => Ok(()), // dropping `self` takes the temporary name away
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(ShardError::Exists { path: target.to_owned() })
            }
            // File systems without hard links.
            Err(_) if !target.exists() => fs::rename(&self.0, target).map_err(|source| self.failed("rename", source)),
            Err(_) => Err(ShardError::Exists { path: target.to_owned() }),
        }
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn encode_meta(options: &WriteOptions) -> Result<Vec<u8>, ShardError> {
    let meta = Meta { classes: options.classes.clone(), pairs: options.metadata.clone() };
    meta.encode().ok_or_else(|| unstorable("classes", "number", u64::MAX, u32::MAX.into()))
}

fn final_path(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("{number:05}.{EXTENSION}"))
}

/// Makes the new names durable.
fn sync_folder(folder: &Path) -> Result<(), ShardError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|source| ShardError::Io { path: folder.to_owned(), doing: "sync", source })
}

fn unstorable(name: &str, what: &'static str, value: u64, limit: u64) -> ShardError {
    ShardError::Unstorable { name: name.to_owned(), what, value, limit }
}
