//! Shards in object storage, read as if they were on disk.
//!
//! ```text
//! index    header, page table, footer at opening, a page at its first touch ──► a nameless file of the shard's length, mapped
//! records  extents of about a mebibyte ──► checked ──► cache (files, shared by processes) ──► records, checked again
//! ```
//!
//! The rules are in [`remote.md`](self#the-rules), included below.
//!
//! - `connect`: URL and variables to a store; what must not be shown. `object`: ranges of one object, tried again until they are right.
//! - `split`: many objects as one split. `fetch`: who is next, neighbours in one request. `cache`: the folder. `file`: one shard over both.
//! - `transfer`: files to objects, and small objects here. `error`: [`RemoteError`].
//!
//! Not here: the format (`shard`), which samples are wanted (`loader`).
//!
//! # The rules
#![doc = include_str!("remote.md")]

mod cache;
mod connect;
mod error;
mod fetch;
mod file;
mod object;
mod split;
mod transfer;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use object_store::ObjectStore;
use tokio::runtime::{Builder, Runtime};

use self::cache::Cache;
use self::fetch::Fetcher;
use self::object::Object;
use super::location::Location;
use super::storage::{Storage, StorageOptions};

pub use self::error::RemoteError;
pub(super) use self::file::{PageEntries, RemoteFile, attempts};
pub(super) use self::split::side_by_side;

/// Threads that receive; each serves many requests.
const THREADS: usize = 2;
/// Threads that write what was received.
const WRITERS: usize = 4;

/// What all shards of a [`Storage`] share: threads, cache, connections.
pub(super) struct Engine {
    options: StorageOptions,
    cache: Arc<Cache>,
    fetcher: Fetcher,
    /// One for all objects of a bucket or server, so that connections are used again.
    stores: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
    /// There until this is dropped.
    runtime: Option<Runtime>,
}

impl Storage {
    /// The engine, started for the first `url` that is opened.
    pub(super) fn engine(&self, url: &Location) -> Result<Arc<Engine>, RemoteError> {
        let mut engine = self.inner.engine.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = &*engine {
            return Ok(Arc::clone(engine));
        }
        let started = Arc::new(Engine::start(&self.inner.options, url)?);
        Ok(Arc::clone(engine.insert(started)))
    }
}

impl Engine {
    fn start(options: &StorageOptions, url: &Location) -> Result<Self, RemoteError> {
        let folder = options.cache_dir.as_ref().ok_or_else(|| RemoteError::NoCache { url: url.to_string() })?;
        let cache = Arc::new(Cache::open(folder, options.cache_size)?);
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(WRITERS)
            .thread_name("metacl-remote")
            .enable_all()
            .build()
            .map_err(|error| RemoteError::Threads { reason: error.to_string() })?;
        let fetcher = Fetcher::new(Arc::clone(&cache), runtime.handle().clone(), options.cache_size);
        let stores = Mutex::default();
        Ok(Self { options: options.clone(), cache, fetcher, stores, runtime: Some(runtime) })
    }

    fn object(&self, location: &Location) -> Result<Object, RemoteError> {
        let Location::Url(url) = location else {
            return Err(RemoteError::Url { url: location.to_string(), reason: "it is a path".to_owned() });
        };
        let secrets = connect::secrets(url, &self.options);
        let target = connect::parse(url, &secrets)?;
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        let store = match stores.get(&target.root) {
            Some(store) => Arc::clone(store),
            None => {
                let store = connect::connect(&target, &self.options, &secrets)?;
                Arc::clone(stores.entry(target.root).or_insert(store))
            }
        };
        Ok(Object::new(store, target.path, location.to_string(), secrets, self.options.patience))
    }

    /// Waits for bytes of an object, which nothing but their number is known of.
    fn get(&self, object: &Object, range: Range<u64>) -> Result<Bytes, RemoteError> {
        self.runtime().block_on(object.get(range, |_| true)).map(|(bytes, _)| bytes)
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("taken only when this is dropped")
    }

    fn cache(&self) -> &Cache {
        &self.cache
    }

    fn fetcher(&self) -> &Fetcher {
        &self.fetcher
    }
}

impl Drop for Engine {
    /// Does not wait for what is fetched ahead: nobody will read it.
    fn drop(&mut self) {
        self.fetcher.stop();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
