//! What can go wrong between here and object storage.

use std::ops::Range;
use std::path::PathBuf;

/// Why bytes of a URL are not here. Clones, because several readers may wait for one range. No message holds a credential.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)] // The fields are the values of the message above them.
pub enum RemoteError {
    #[error("{url}: cannot be taken as a URL of object storage ({reason})")]
    Url { url: String, reason: String },
    #[error("{url}: there is no such object; check the path, and that the whole split was copied")]
    NotFound { url: String },
    #[error(
        "{url}: access is refused ({reason}); check the variables that hold the credentials (AWS_*, GOOGLE_*, AZURE_*), and the path: \
         some stores say this of what does not exist"
    )]
    Denied { url: String, reason: String },
    #[error(
        "{url}, bytes {}..{}: not received ({reason}); check the connection and the server, then start again",
        range.start, range.end
    )]
    Lost { url: String, range: Range<u64>, reason: String },
    #[error(
        "{url}: was exchanged while it was being read ({what}); start again, and leave objects of a dataset as they are"
    )]
    Changed { url: String, what: String },
    #[error("{url}: a cache is needed to read from object storage: give --cache_dir FOLDER")]
    NoCache { url: String },
    #[error("{}: cannot {doing}: {reason}; give a folder of a local disk with --cache_dir, or less than its free space with --cache_size", path.display())]
    Cache { path: PathBuf, doing: &'static str, reason: String },
    #[error("cannot start the threads of object storage: {reason}")]
    Threads { reason: String },
    #[error("{url}: cannot be written ({reason})")]
    Write { url: String, reason: String },
    #[error("{url}: exists already: choose another target or remove it")]
    Exists { url: String },
}

impl RemoteError {
    /// Whether the object is not there, or not to be seen.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::Denied { .. })
    }
}
