//! One file of a split, under a temporary name.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use tempfile::{NamedTempFile, TempPath};

use super::NewSample;
use crate::shard::EXTENSION;
use crate::shard::error::ShardError;
use crate::shard::file::ShardFile;
use crate::shard::format::{self, ALIGN, Block, ENTRY, Entry, FOOTER, Footer, HEADER, Header, PAGE, VERSION};
use crate::shard::verify::verify_file;

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
        let prefix = format!(".{number:05}.{EXTENSION}-");
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).suffix(".tmp");
        // Temporary files are for their owner alone; this one becomes a dataset, so the umask decides.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let io = |source| ShardError::Io { path: folder.to_owned(), doing: "create a file", source };
        let file = builder.tempfile_in(folder).map_err(io)?;
        let mut part = Self {
            out: BufWriter::with_capacity(1 << 20, file),
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
        let block =
            |offset, bytes: &[u8]| Block { offset, length: bytes.len() as u64, checksum: format::checksum(bytes) };
        let meta_block = block(self.at, meta);
        self.write(meta)?;
        let table = std::mem::take(&mut self.table);
        let table_block = block(self.at, &table);
        self.write(&table)?;
        self.out.flush().map_err(|source| self.failed(source))?;
        let header = Header {
            version: VERSION,
            page_entries: self.page_entries,
            file_length: self.at + FOOTER as u64,
            samples: self.samples,
            first: 0,
            total: self.samples,
            part: 0,
            parts: 1,
            split_id: 0,
        };
        // The file is closed here: a split may have more parts than a process may have open files.
        let path = self.out.into_parts().0.into_temp_path();
        let part = ClosedPart { path, header, meta: meta_block, table_block, table };
        part.write_ends()?;
        let faults = verify_file(&ShardFile::open(&part.path, None)?);
        faults.into_iter().next().map_or(Ok(part), |fault| Err(fault.into()))
    }
}

/// A part that lacks only its place among the others.
pub(super) struct ClosedPart {
    path: TempPath,
    header: Header,
    meta: Block,
    table_block: Block,
    table: Vec<u8>,
}

impl ClosedPart {
    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// The page table, which stands for all records and index pages.
    pub(super) fn table(&self) -> &[u8] {
        &self.table
    }

    /// Writes the part's place among the others, syncs, and opens the file as a reader would.
    pub(super) fn complete(
        &mut self,
        part: u32,
        parts: u32,
        first: u64,
        total: u64,
        split_id: u64,
    ) -> Result<(), ShardError> {
        self.header = Header { part, parts, first, total, split_id, ..self.header };
        self.write_ends()?;
        ShardFile::open(&self.path, None)?;
        Ok(())
    }

    /// Writes header and footer and syncs the file.
    fn write_ends(&self) -> Result<(), ShardError> {
        let header = self.header.encode();
        let footer = Footer::new(&header, self.meta, self.table_block).encode();
        let written = OpenOptions::new().write(true).open(&self.path).and_then(|mut file| {
            file.write_all(&header)?;
            file.seek(SeekFrom::Start(self.header.file_length - FOOTER as u64))?;
            file.write_all(&footer)?;
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
