//! Which format a path holds.

use std::fs;
use std::path::{Path, PathBuf};

use super::archive::Archive;
use super::{Dataset, IngestError, cifar, folder, imagenet_tar, webdataset};

/// A source format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Class folders with image files.
    Folder,
    /// ILSVRC2012's archives.
    Imagenet,
    /// WebDataset tars.
    Webdataset,
    /// CIFAR-10 or CIFAR-100.
    Cifar,
}

/// What besides the path decides how a source is read.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The format; `None` finds out.
    pub format: Option<Format>,
    /// Labels of the ILSVRC2012 validation images.
    pub labels: Option<PathBuf>,
    /// Synsets by ILSVRC2012_ID, for the devkit's label file.
    pub synsets: Option<PathBuf>,
}

/// Indexes `source`.
///
/// # Errors
/// [`IngestError`], as the format's own `read`.
pub fn read(source: &Path, options: &Options) -> Result<Dataset, IngestError> {
    let kind = source.metadata().map_err(|error| IngestError::io(source, error))?.file_type();
    // Opening a pipe would wait for who writes into it.
    if !kind.is_dir() && !kind.is_file() {
        return Err(IngestError::NotRegular { path: source.to_owned() });
    }
    let format = match options.format {
        Some(format) => format,
        None => detect(source, options.labels.is_some())?,
    };
    match format {
        Format::Folder => folder::read(source),
        Format::Imagenet => imagenet_tar::read(source, options.labels.as_deref(), options.synsets.as_deref()),
        Format::Webdataset => webdataset::read(source),
        Format::Cifar => cifar::read(source),
    }
}

/// Judges by file names; a lone tar also by its members (a tar of tars is ILSVRC2012's).
///
/// # Errors
/// [`IngestError`] where `source` is missing or unreadable.
pub fn detect(source: &Path, with_labels: bool) -> Result<Format, IngestError> {
    let failed = |e| IngestError::io(source, e);
    if !source.metadata().map_err(failed)?.is_dir() {
        return detect_archive(source, with_labels);
    }
    let (mut batches, mut imagenet, mut tars) = (false, false, false);
    for entry in fs::read_dir(source).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if !path.is_file() {
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        batches |= cifar::is_batch(&name);
        imagenet |= name == imagenet_tar::TRAIN_TAR || name == imagenet_tar::VAL_TAR;
        tars |= name.ends_with(".tar");
    }
    Ok(match (batches, imagenet, tars) {
        (true, ..) => Format::Cifar,
        (_, true, _) => Format::Imagenet,
        (.., true) => Format::Webdataset,
        _ => Format::Folder,
    })
}

fn detect_archive(source: &Path, with_labels: bool) -> Result<Format, IngestError> {
    let name = source.file_name().unwrap_or_default().to_string_lossy();
    let archive = match Archive::open(source) {
        Err(IngestError::Compressed { .. }) => return Ok(Format::Cifar),
        archive => archive?,
    };
    let members = archive.members(archive.all())?;
    let imagenet = with_labels || name == imagenet_tar::VAL_TAR || imagenet_tar::is_nested(&members);
    Ok(match members.iter().any(|member| cifar::is_batch(member.base())) {
        true => Format::Cifar,
        false if imagenet => Format::Imagenet,
        false => Format::Webdataset,
    })
}
