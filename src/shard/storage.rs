//! What it takes to reach shards that are not on disk: a cache, credentials, patience.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::error::ShardError;
use super::location::Location;
use super::parts::shard_files;

/// How shards in object storage are read.
#[derive(Clone)]
pub struct StorageOptions {
    /// Folder of the cache, made where it is missing; processes share it.
    pub cache_dir: Option<PathBuf>,
    /// Most bytes of the cache.
    pub cache_size: u64,
    /// Variables with credentials and settings, by the names that each provider's SDK gives them (`AWS_*`, `GOOGLE_*`, `AZURE_*`).
    /// Their values are never shown.
    pub variables: Vec<(String, String)>,
    /// How long is tried.
    pub patience: Patience,
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self { cache_dir: None, cache_size: CACHE_SIZE, variables: Vec::new(), patience: Patience::default() }
    }
}

/// Most bytes of the cache where nothing else is said: 32 GiB.
pub const CACHE_SIZE: u64 = 32 << 30;

/// Beginnings of the names of variables that [`StorageOptions::variables`] is made of.
pub const VARIABLES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];

/// How often and how long a range is asked for before it is given up.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Times after the first.
    pub retries: usize,
    /// Before the first of them; each waits about twice as long as the one before, at most 15 s.
    pub pause: Duration,
    /// Without a byte, after which an answer counts as lost.
    pub silence: Duration,
    /// In all.
    pub limit: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            retries: 10,
            pause: Duration::from_millis(100),
            silence: Duration::from_secs(30),
            limit: Duration::from_secs(180),
        }
    }
}

/// A way to shards, on disk or not. Clones share threads, connections and cache, which are made when the first URL is opened.
#[derive(Clone)]
pub struct Storage {
    #[cfg_attr(not(feature = "remote"), expect(dead_code, reason = "only URLs ask"))]
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    #[cfg_attr(not(feature = "remote"), expect(dead_code, reason = "only URLs ask"))]
    pub(super) options: StorageOptions,
    #[cfg(feature = "remote")]
    pub(super) engine: std::sync::Mutex<Option<Arc<super::remote::Engine>>>,
}

impl Storage {
    /// Touches nothing until a URL is opened.
    pub fn new(options: StorageOptions) -> Self {
        let inner = Inner {
            options,
            #[cfg(feature = "remote")]
            engine: std::sync::Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }
}

impl Storage {
    /// Whether `place` is a split's folder with shards, or a shard.
    ///
    /// # Errors
    /// Where it cannot be looked at, which is another matter than that nothing is there.
    pub fn has_shards(&self, place: &Location) -> Result<bool, ShardError> {
        match place {
            Location::Disk(path) if path.is_dir() => Ok(!shard_files(path)?.is_empty()),
            Location::Disk(path) => Ok(path.is_file()),
            Location::Url(_) => self.url_has_shards(place),
        }
    }
}

#[cfg(not(feature = "remote"))]
impl Storage {
    pub(super) fn open_url(&self, location: &Location) -> Result<Vec<super::ShardFile>, ShardError> {
        Err(ShardError::NotBuilt { url: location.to_string() })
    }

    fn url_has_shards(&self, location: &Location) -> Result<bool, ShardError> {
        Err(ShardError::NotBuilt { url: location.to_string() })
    }

    /// Refuses: this build reads and writes disks only.
    ///
    /// # Errors
    /// [`ShardError::NotBuilt`].
    pub fn upload(&self, _: &std::path::Path, to: &Location) -> Result<(), ShardError> {
        Err(ShardError::NotBuilt { url: to.to_string() })
    }

    /// Refuses: this build reads and writes disks only.
    ///
    /// # Errors
    /// [`ShardError::NotBuilt`].
    pub fn fetch(&self, location: &Location) -> Result<Option<Vec<u8>>, ShardError> {
        Err(ShardError::NotBuilt { url: location.to_string() })
    }

    /// Refuses: this build reads and writes disks only.
    ///
    /// # Errors
    /// [`ShardError::NotBuilt`].
    pub fn delete(&self, location: &Location) -> Result<(), ShardError> {
        Err(ShardError::NotBuilt { url: location.to_string() })
    }
}

impl Default for Storage {
    /// Disk alone: without a cache, URLs are refused.
    fn default() -> Self {
        Self::new(StorageOptions::default())
    }
}
