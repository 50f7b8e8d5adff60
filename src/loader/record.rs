//! Using the bytes of a sample: what comes of bytes that do not hold still.

use super::LoadError;
use crate::shard::{ShardSet, Stored};

/// What `make` makes of a sample's record, which may have been read from a file that somebody writes to or a disk that fails.
///
/// # Errors
/// What `make` says; where that, or what it made, came of a changed file or a lost page, that is said instead ([`ShardSet::examine`]).
pub(crate) fn with_record<T>(
    set: &ShardSet,
    sample: u32,
    make: impl FnOnce(&Stored<'_>) -> Result<T, LoadError>,
) -> Result<T, LoadError> {
    let made = set.stored(sample.into()).map_err(LoadError::from).and_then(|stored| make(&stored));
    let doubt = made.as_ref().is_err_and(LoadError::is_corrupt_sample);
    set.examine(sample.into(), doubt)?;
    made
}
