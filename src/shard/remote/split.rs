//! A split of many objects, opened side by side. Nothing is listed, which plain servers cannot do: the first part says how many there are.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::RemoteError;
use crate::shard::error::ShardError;
use crate::shard::file::ShardFile;
use crate::shard::location::Location;
use crate::shard::storage::Storage;
use crate::shard::{parts, write};

/// Objects that are opened at a time: each waits for three answers.
const AT_A_TIME: u64 = 16;

impl Storage {
    /// The files of the split at a URL, or the one file that it names.
    pub(in crate::shard) fn open_url(&self, location: &Location) -> Result<Vec<ShardFile>, ShardError> {
        let engine = self.engine(location)?;
        if location.is_shard_url() {
            return Ok(vec![ShardFile::open_remote(&engine, location, None)?]);
        }
        let front = match ShardFile::open_remote(&engine, &part(location, 0), None) {
            Err(ShardError::Remote(error)) if matches!(*error, RemoteError::NotFound { .. }) => {
                return Err(ShardError::NoShards { path: location.shown() });
            }
            opened => opened?,
        };
        let parts = u64::from(front.parts());
        let rest = side_by_side(parts - 1, |number| {
            ShardFile::open_remote(&engine, &part(location, number + 1), Some(&front))
        });
        let mut files = Vec::with_capacity(parts as usize);
        for (number, opened) in (1..).zip(rest) {
            files.push(match opened {
                Err(ShardError::Remote(error)) if matches!(*error, RemoteError::NotFound { .. }) => {
                    return Err(ShardError::MissingPart {
                        folder: location.shown(),
                        part: number,
                        parts: front.parts(),
                    });
                }
                opened => opened?,
            });
        }
        files.insert(0, front);
        parts::check(&location.shown(), &files)?;
        Ok(files)
    }

    /// Whether the first part of a split is at a URL. Stores that keep it a secret are taken at their word that there is none.
    pub(in crate::shard) fn url_has_shards(&self, location: &Location) -> Result<bool, ShardError> {
        let engine = self.engine(location)?;
        let object = engine.object(&if location.is_shard_url() { location.clone() } else { part(location, 0) })?;
        match engine.get(&object, 0..1) {
            Ok(_) => Ok(true),
            Err(error) if error.is_absence() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn part(folder: &Location, number: u64) -> Location {
    folder.join(&write::part_name(number))
}

/// `work` of `0..count`, some at a time, in order.
pub(in crate::shard) fn side_by_side<T: Send>(count: u64, work: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let next = AtomicU64::new(0);
    let take = || {
        let taken = std::iter::repeat_with(|| next.fetch_add(1, Relaxed)).take_while(|&number| number < count);
        taken.map(|number| (number, work(number))).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_A_TIME.min(count)).map(|_| scope.spawn(take)).collect();
        let done =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        let mut done: Vec<(u64, T)> = done.flatten().collect();
        done.sort_by_key(|(number, _)| *number);
        done.into_iter().map(|(_, result)| result).collect()
    })
}
