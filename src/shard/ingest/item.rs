//! A sample before conversion: name, label, place.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::archive::Archive;
use super::cifar;
use super::{MAX_FILE_BYTES, Reason};
use crate::image::Size;

/// A source, indexed: splits in the order of [`SPLITS`](super::SPLITS), none without an item.
#[derive(Debug)]
pub struct Dataset {
    /// Format it was read as, as `--format` spells it.
    pub format: &'static str,
    /// Its splits.
    pub splits: Vec<Split>,
    /// Files that belong to no split that is converted.
    pub left_out: Vec<LeftOut>,
}

/// One split, indexed.
#[derive(Debug)]
pub struct Split {
    /// `train`, `val` or `test`.
    pub name: String,
    /// Class names; a label is a rank in this list. The same list in every split of a dataset.
    pub classes: Vec<String>,
    /// Samples, in the order they are stored.
    pub items: Vec<Item>,
    /// Files that the index already refuses.
    pub left_out: Vec<LeftOut>,
    /// What else the source says about itself, for the shard's metadata.
    pub metadata: BTreeMap<String, String>,
}

impl Split {
    pub(crate) fn new(name: &str, classes: Vec<String>, items: Vec<Item>, left_out: Vec<LeftOut>) -> Self {
        Self { name: name.to_owned(), classes, items, left_out, metadata: BTreeMap::new() }
    }
}

/// A file that is no sample, and why.
#[derive(Debug)]
pub struct LeftOut {
    /// Its name, as a sample's would be.
    pub name: String,
    /// Why.
    pub reason: Reason,
}

impl LeftOut {
    pub(crate) fn new(name: impl Into<String>, reason: Reason) -> Self {
        Self { name: name.into(), reason }
    }
}

/// One sample: cheap to hold, loaded on demand and from any thread.
#[derive(Debug)]
pub struct Item {
    /// Path below the split, with `/`.
    pub name: String,
    /// Rank of its class, or [`NO_LABEL`](crate::shard::NO_LABEL).
    pub label: u32,
    /// Where its bytes are.
    pub place: Place,
}

/// Where a sample's bytes are.
#[derive(Debug, Clone)]
pub enum Place {
    /// A file: this folder joined with the item's name.
    File(Arc<Path>),
    /// A range of an archive.
    Member {
        /// The archive.
        archive: Arc<Archive>,
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u64,
    },
    /// 3,072 bytes of a CIFAR batch from `offset` on: planes R, G, B of 32 x 32.
    Planes {
        /// The batch.
        batch: Arc<Vec<u8>>,
        /// First byte.
        offset: usize,
    },
}

/// A sample's bytes.
#[derive(Debug)]
pub enum Payload {
    /// An image file.
    Encoded(Vec<u8>),
    /// RGB pixels, HWC.
    Raw {
        /// `height * width * 3` bytes.
        pixels: Vec<u8>,
        /// Width and height.
        size: Size,
    },
}

impl Item {
    /// Reads the sample's bytes.
    ///
    /// # Errors
    /// The [`Reason`] to leave it out: unreadable, empty, cut short by the end of its archive, or beyond [`MAX_FILE_BYTES`]; or
    /// [`Reason::Gone`], which is the source's fault.
    pub fn load(&self) -> Result<Payload, Reason> {
        match &self.place {
            Place::File(folder) => read_file(&folder.join(&self.name)).map(Payload::Encoded),
            Place::Member { archive, offset, length } => read_member(archive, *offset, *length).map(Payload::Encoded),
            Place::Planes { batch, offset } => {
                let pixels =
                    cifar::interleave(batch, *offset).ok_or_else(|| Reason::Truncated("batch too short".into()))?;
                Ok(Payload::Raw { pixels, size: cifar::SIZE })
            }
        }
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, Reason> {
    let file = open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Reason::NotRegular);
    }
    let length = metadata.len();
    check_length(length)?;
    let mut bytes = Vec::with_capacity(length as usize);
    // One byte more than allowed: a file that grows while it is read must not grow without end.
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    check_length(bytes.len() as u64)?;
    Ok(bytes)
}

/// Opens a file that may have become a pipe since it was listed, without waiting for who writes into that.
fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    options.read(true).open(path)
}

fn unreadable(source: io::Error) -> Reason {
    use io::ErrorKind::{NotConnected, NotFound, StaleNetworkFileHandle};
    match source.kind() {
        NotFound | NotConnected | StaleNetworkFileHandle => Reason::Gone(source.to_string()),
        _ => Reason::Unreadable(source.to_string()),
    }
}

fn read_member(archive: &Archive, offset: u64, length: u64) -> Result<Vec<u8>, Reason> {
    check_length(length)?;
    archive.read(offset, length).map_err(|source| match source.kind() {
        io::ErrorKind::UnexpectedEof => Reason::Truncated("its archive ends inside it".into()),
        _ => unreadable(source),
    })
}

fn check_length(bytes: u64) -> Result<(), Reason> {
    match bytes {
        0 => Err(Reason::Empty),
        _ if bytes > MAX_FILE_BYTES => Err(Reason::TooManyBytes { bytes }),
        _ => Ok(()),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_a_file_since_it_was_listed_is_told_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let item = |name: &str| Item { name: name.to_owned(), label: 0, place: Place::File(folder.path().into()) };
        assert!(std::process::Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap().success());
        assert!(matches!(item("pipe").load(), Err(Reason::NotRegular)));
        assert!(matches!(item("absent").load(), Err(Reason::Gone(_))));
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        assert!(matches!(item("folder").load(), Err(Reason::NotRegular)));
    }
}
