//! One file of a split, under a temporary name.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use tempfile::{NamedTempFile, TempPath};

use super::{FinishedPart, NewSample, part_name};
use crate::shard::error::ShardError;
use crate::shard::file::ShardFile;
use crate::shard::format::{self, ALIGN, Block, ENTRY, Entry, FOOTER, Footer, HEADER, Header, PAGE};
use crate::shard::verify::verify_file;

/// A new file for part `number`, under a name that says what it is.
fn temporary(folder: &Path, number: usize) -> Result<NamedTempFile, ShardError> {
    let prefix = format!(".{}-", part_name(number as u64));
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".tmp");
    // Temporary files are for their owner alone; this one becomes a dataset, so the umask decides.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder).map_err(|source| ShardError::Io {
        path: folder.to_owned(),
        doing: "create a file",
        source,
    })
}

/// A part being filled: records go to the file, one index page is held.
pub(super) struct OpenPart {
    out: BufWriter<NamedTempFile>,
    at: u64,
    samples: u64,
    page_entries: u32,
    entries: Vec<u8>,
    names: Vec<u8>,
    table: Vec<u8>,
}

impl OpenPart {
    pub(super) fn create(folder: &Path, number: usize, page_entries: u32) -> Result<Self, ShardError> {
        let mut part = Self {
            out: BufWriter::with_capacity(1 << 20, temporary(folder, number)?),
            at: 0,
            samples: 0,
            page_entries,
            entries: Vec::new(),
            names: Vec::new(),
            table: Vec::new(),
        };
        part.write(&[0; HEADER])?;
        Ok(part)
    }

    /// Bytes of the file if it took this sample too and were closed with `meta` bytes of classes and metadata.
    pub(super) fn length_with(&self, sample: &NewSample<'_>, meta: usize) -> u64 {
        let records = (self.at + sample.bytes.len() as u64).next_multiple_of(ALIGN);
        let page = self.entries.len() + ENTRY + self.names.len() + sample.name.len();
        let rest = meta + self.table.len() + PAGE + FOOTER;
        (records + page as u64).next_multiple_of(ALIGN) + rest as u64
    }

    /// Appends a sample that the format can hold.
    pub(super) fn append(&mut self, sample: &NewSample<'_>) -> Result<(), ShardError> {
        let offset = self.at;
        self.write(sample.bytes)?;
        self.pad()?;
        self.names.extend(sample.name.as_bytes());
        let entry = Entry {
            offset,
            length: sample.bytes.len() as u32,
            width: sample.size.width as u16,
            height: sample.size.height as u16,
            label: sample.label,
            name_end: self.names.len() as u32, // at most 4096 names of 4096 bytes
            codec: sample.codec as u8,
            zero: [0; 7],
            checksum: format::checksum(sample.bytes),
        };
        self.entries.extend(entry.encode());
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
        self.out.write_all(bytes).map_err(|source| self.failed(source))?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn pad(&mut self) -> Result<(), ShardError> {
        let gap = self.at.next_multiple_of(ALIGN) - self.at;
        self.write(&[0; ALIGN as usize][..gap as usize])
    }

    fn failed(&self, source: io::Error) -> ShardError {
        ShardError::Io { path: self.out.get_ref().path().to_owned(), doing: "write", source }
    }

    /// Writes the rest as if the part were the whole split, syncs it and reads it back, every byte, while the system still holds it.
    pub(super) fn close(mut self, meta: &[u8]) -> Result<ClosedPart, ShardError> {
        if !self.entries.is_empty() {
            self.end_page()?;
        }
        self.out.flush().map_err(|source| self.failed(source))?;
        let header = Header::alone(self.page_entries, self.samples);
        // The file is closed here: a split may have more parts than a process may have open files.
        let path = self.out.into_parts().0.into_temp_path();
        let mut part = ClosedPart { path, header, body_end: self.at, table: self.table };
        part.write_ends(meta)?;
        part.read_back()
    }
}

/// A part that lacks only its place among the others.
pub(super) struct ClosedPart {
    path: TempPath,
    header: Header,
    /// Where records and index pages end.
    body_end: u64,
    table: Vec<u8>,
}

impl ClosedPart {
    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// A copy, in `folder`, of a file that is to be a part of another split; every byte of it is read back.
    pub(super) fn copy_of(file: &ShardFile, folder: &Path, number: usize) -> Result<Self, ShardError> {
        let mut copy = temporary(folder, number)?;
        let path = copy.path().to_owned();
        file.copy_to(copy.as_file_mut(), &path)?;
        let (table, body_end) = file.body();
        Self { path: copy.into_temp_path(), header: *file.header(), body_end, table: table.to_vec() }.read_back()
    }

    /// Takes up a file that an earlier writer closed, and reads it back: that writer may have been killed while it rewrote header, metadata,
    /// page table and footer, so these are written anew.
    pub(super) fn take_up(
        finished: &FinishedPart,
        folder: &Path,
        page_entries: u32,
        meta: &[u8],
    ) -> Result<Self, ShardError> {
        let FinishedPart { file, samples, body_end, pages } = finished;
        let path = folder.join(file);
        let failed = |source| ShardError::Io { path: path.clone(), doing: "take up", source };
        let length = path.metadata().map_err(failed)?.len();
        if length < *body_end {
            return Err(failed(io::Error::other(format!("{length} bytes, {body_end} were written"))));
        }
        let mut path = TempPath::try_from_path(&path).map_err(failed)?;
        path.disable_cleanup(true);
        let row = |&[offset, length, checksum]: &[u64; 3]| Block { offset, length, checksum }.encode();
        let table = pages.iter().flat_map(row).collect();
        let header = Header::alone(page_entries, *samples);
        let mut part = Self { path, header, body_end: *body_end, table };
        part.write_ends(meta)?;
        part.read_back()
    }

    /// What a later writer needs to take the file up.
    pub(super) fn finished(&self) -> FinishedPart {
        let row = |row| {
            let Block { offset, length, checksum } = Block::parse(row);
            [offset, length, checksum]
        };
        FinishedPart {
            file: self.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            samples: self.header.samples,
            body_end: self.body_end,
            pages: self.table.chunks_exact(PAGE).map(row).collect(),
        }
    }

    /// Leaves the file there when this is dropped.
    pub(super) fn keep(&mut self) {
        self.path.disable_cleanup(true);
    }

    /// Reads every byte as a reader would.
    fn read_back(self) -> Result<Self, ShardError> {
        let faults = verify_file(&ShardFile::open(&self.path, None)?);
        faults.into_iter().next().map_or(Ok(self), Err)
    }

    /// The page table, which stands for all records and index pages.
    pub(super) fn table(&self) -> &[u8] {
        &self.table
    }

    /// Writes the part's place among the others and the split's metadata, syncs, and opens the file as a reader would.
    pub(super) fn complete(&mut self, place: Place, meta: &[u8]) -> Result<(), ShardError> {
        let Place { part, parts, first, total, split_id } = place;
        self.header = Header { part, parts, first, total, split_id, ..self.header };
        self.write_ends(meta)?;
        ShardFile::open(&self.path, None)?;
        Ok(())
    }

    /// Writes header, metadata, page table and footer, and syncs the file.
    fn write_ends(&mut self, meta: &[u8]) -> Result<(), ShardError> {
        let block =
            |offset, bytes: &[u8]| Block { offset, length: bytes.len() as u64, checksum: format::checksum(bytes) };
        let meta_block = block(self.body_end, meta);
        let table_block = block(self.body_end + meta_block.length, &self.table);
        self.header.file_length = table_block.offset + table_block.length + FOOTER as u64;
        let header = self.header.encode();
        let footer = Footer::new(&header, meta_block, table_block).encode();
        let written = OpenOptions::new().write(true).open(&self.path).and_then(|mut file| {
            file.set_len(self.header.file_length)?;
            file.write_all(&header)?;
            file.seek(SeekFrom::Start(self.body_end))?;
            file.write_all(&[meta, &self.table, &footer].concat())?;
            file.sync_all()
        });
        written.map_err(|source| ShardError::Io { path: self.path.to_path_buf(), doing: "write", source })
    }

    /// Gives the file its final name, which must be free.
    pub(super) fn name(self, path: &Path) -> Result<(), ShardError> {
        self.path.persist_noclobber(path).map_err(|failed| match failed.error.kind() {
            io::ErrorKind::AlreadyExists => ShardError::Exists { path: path.to_owned() },
            _ => ShardError::Io { path: path.to_owned(), doing: "give a file its name", source: failed.error },
        })
    }
}

/// A part's place in its split.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) part: u32,
    pub(super) parts: u32,
    pub(super) first: u64,
    pub(super) total: u64,
    pub(super) split_id: u64,
}
