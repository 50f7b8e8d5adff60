//! The members of a plain (uncompressed) tar by offset, so that samples can be sorted, and read in parallel, without unpacking.
//!
//! Reading the index touches one header a member and seeks over the data. A tar inside a tar is a range of the outer file,
//! so the same code indexes ILSVRC2012's nested archive.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::IngestError;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Most bytes in front of a member's data: its header, and a long name and attributes in headers of their own, which are held in memory.
const MAX_HEADER_BYTES: u64 = 1 << 20;

/// A tar file that is open for reading at any offset.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    file: File,
    length: u64,
}

/// One member of an archive.
#[derive(Debug)]
pub struct Member {
    /// Path inside the archive, without leading `./`; bytes that are no UTF-8 are replaced.
    pub name: String,
    /// First byte of its data, in the file.
    pub offset: u64,
    /// Bytes of data as its header says; may reach past the end of a truncated archive.
    pub length: u64,
    /// Whether it is a plain file (not a link, device or sparse file).
    pub regular: bool,
}

impl Member {
    /// The part after the last `/`.
    pub fn base(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or(&self.name)
    }
}

impl Archive {
    /// Opens `path`.
    ///
    /// # Errors
    /// [`IngestError::Missing`], [`IngestError::Io`], and [`IngestError::Compressed`] where it starts like a gzip file.
    pub fn open(path: &Path) -> Result<Arc<Self>, IngestError> {
        let file = File::open(path).map_err(|e| IngestError::io(path, e))?;
        let length = file.metadata().map_err(|e| IngestError::io(path, e))?.len();
        let archive = Self { path: path.to_owned(), file, length };
        if archive.read(0, 2).is_ok_and(|magic| magic == GZIP_MAGIC) {
            return Err(IngestError::Compressed { path: archive.path });
        }
        Ok(Arc::new(archive))
    }

    /// The file's name without its folders.
    pub fn file_name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The whole file.
    pub fn all(&self) -> Range<u64> {
        0..self.length
    }

    /// Reads `length` bytes from `offset` on.
    ///
    /// # Errors
    /// The system's error; `UnexpectedEof` where the file ends before.
    pub fn read(&self, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        if offset.checked_add(length).is_none_or(|end| end > self.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; length as usize];
        let mut done = 0;
        while done < bytes.len() {
            match read_at(&self.file, &mut bytes[done..], offset + done as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => done += count,
            }
        }
        Ok(bytes)
    }

    /// The members of the tar that lies in `range`, in archive order; folders are left away.
    ///
    /// # Errors
    /// [`IngestError::Tar`] where a header is broken or has more than a mebibyte of names and attributes. A tar that just ends is not an error: what its last header promises and the
    /// file lacks shows when the member is read.
    pub fn members(&self, range: Range<u64>) -> Result<Vec<Member>, IngestError> {
        let start = range.start;
        let broken = |source| IngestError::Tar { path: self.path.clone(), offset: start, source };
        let header_left = Cell::new(MAX_HEADER_BYTES);
        let mut tar = tar::Archive::new(Section { archive: self, at: start, range, header_left: &header_left });
        let mut members = Vec::new();
        for entry in tar.entries_with_seek().map_err(broken)? {
            let entry = entry.map_err(broken)?;
            header_left.set(MAX_HEADER_BYTES);
            let kind = entry.header().entry_type();
            if kind.is_dir() {
                continue;
            }
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            members.push(Member {
                name: name.trim_start_matches("./").to_owned(),
                offset: start.saturating_add(entry.raw_file_position()),
                length: entry.size(),
                regular: kind.is_file() || kind.is_contiguous(),
            });
        }
        Ok(members)
    }
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, bytes, offset)
}

/// The headers in a range of an archive as a reader of its own; offset 0 is the range's start.
struct Section<'a> {
    archive: &'a Archive,
    range: Range<u64>,
    at: u64,
    /// Bytes that may still be read before the next member's data, over which the tar reader seeks.
    header_left: &'a Cell<u64>,
}

impl Read for Section<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let left = self.range.end.min(self.archive.length).saturating_sub(self.at);
        let allowed = self.header_left.get();
        if allowed == 0 && left > 0 {
            return Err(io::Error::other(format!(
                "more than {MAX_HEADER_BYTES} bytes of names and attributes of one member"
            )));
        }
        let count = left.min(allowed).min(bytes.len() as u64) as usize;
        let read = read_at(&self.archive.file, &mut bytes[..count], self.at)?;
        self.at += read as u64;
        self.header_left.set(allowed - read as u64);
        Ok(read)
    }
}

impl Seek for Section<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => self.range.start.checked_add(offset),
            SeekFrom::Current(delta) => self.at.checked_add_signed(delta),
            SeekFrom::End(delta) => self.range.end.checked_add_signed(delta),
        };
        self.at = target.filter(|&at| at >= self.range.start).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at - self.range.start)
    }
}
