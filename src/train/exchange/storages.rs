//! The numbers of a `torch.save` file: members `data/KEY` of a zip archive (torch 1.6 and later), or runs of bytes behind the
//! pickles of the older layout.
//!
//! No size is trusted: a member is read up to the length that its tensors need, and lengths are compared with the file's.

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::ops::Range;
use std::path::Path;

use zip::read::{ArchiveOffset, Config};
use zip::{CompressionMethod, ZipArchive};

use super::ExchangeError;

/// Largest pickle that is read; that of a ResNet-50 with its optimizer has about 100 kB.
const MAX_PICKLE: u64 = 256 << 20;

/// The archive starts where the file does. Told to look for the start, zip 9.8 takes the second member for the first where the first
/// one's name has 30 letters, because PyTorch writes the 76 bytes of ZIP64's records into small archives too.
const START: Config = Config { archive_offset: ArchiveOffset::Known(0) };

pub(super) enum Storages {
    /// An archive, and the folder that its members lie in.
    Zip { archive: Box<ZipArchive<Cursor<Vec<u8>>>>, folder: String },
    /// A file, and where in it each storage lies.
    Flat { bytes: Vec<u8>, places: HashMap<String, Range<usize>> },
}

impl Storages {
    /// Opens the archive in `bytes`; gives its pickle too.
    pub(super) fn of_archive(path: &Path, bytes: Vec<u8>) -> Result<(Self, Vec<u8>), ExchangeError> {
        let damaged =
            |reason: &dyn std::fmt::Display| ExchangeError::damaged(path, format!("no zip archive: {reason}"));
        let mut archive = ZipArchive::with_config(START, Cursor::new(bytes)).map_err(|reason| damaged(&reason))?;
        let names = archive.file_names().collect::<Result<Vec<_>, _>>().map_err(|reason| damaged(&reason))?;
        let folder = names.iter().filter_map(|name| name.strip_suffix("/data.pkl")).min().map(str::to_owned);
        let Some(folder) = folder else {
            let what = "a zip archive without a member data.pkl".to_owned();
            return Err(ExchangeError::Format { path: path.to_owned(), what });
        };
        if names.iter().any(|name| name.strip_prefix(&folder).is_some_and(|rest| rest.starts_with("/code/"))) {
            let what = "a TorchScript program: save model.state_dict() with torch.save".to_owned();
            return Err(ExchangeError::Format { path: path.to_owned(), what });
        }
        let order = format!("{folder}/byteorder");
        if archive.index_for_name(&order).is_some() && member(path, &mut archive, &order, 16)? != b"little" {
            return Err(ExchangeError::damaged(
                path,
                "its numbers are not little-endian: save it anew on another machine",
            ));
        }
        let pickle = member(path, &mut archive, &format!("{folder}/data.pkl"), MAX_PICKLE)?;
        Ok((Self::Zip { archive: Box::new(archive), folder }, pickle))
    }

    /// The `bytes` bytes of storage `key`; one of another length is refused.
    pub(super) fn read(&mut self, path: &Path, key: &str, bytes: usize) -> Result<Vec<u8>, ExchangeError> {
        let found = match self {
            Self::Zip { archive, folder } => member(path, archive, &format!("{folder}/data/{key}"), bytes as u64)?,
            Self::Flat { bytes, places } => {
                let place = places.get(key).and_then(|place| bytes.get(place.clone()));
                place.ok_or_else(|| ExchangeError::damaged(path, format!("storage {key:?} is missing")))?.to_vec()
            }
        };
        if found.len() == bytes {
            return Ok(found);
        }
        let what = format!("storage {key:?} has {} bytes, its tensors need {bytes}", found.len());
        Err(ExchangeError::damaged(path, what))
    }
}

/// The member `name`, whose checksum is compared; more than `most` bytes are an error.
fn member(
    path: &Path,
    archive: &mut ZipArchive<Cursor<Vec<u8>>>,
    name: &str,
    most: u64,
) -> Result<Vec<u8>, ExchangeError> {
    let damaged = |what: &dyn std::fmt::Display| ExchangeError::damaged(path, format!("member {name}: {what}"));
    let file = archive.by_name(name).map_err(|reason| damaged(&reason))?;
    if file.compression() != CompressionMethod::Stored {
        return Err(damaged(&"compressed, which torch.save never does: unpack the archive and save the weights anew"));
    }
    let mut bytes = Vec::new();
    // One byte more, so that the end is seen and the checksum with it.
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|reason| damaged(&reason))?;
    if bytes.len() as u64 > most {
        return Err(damaged(&format!("more than the {most} bytes that are needed")));
    }
    Ok(bytes)
}
