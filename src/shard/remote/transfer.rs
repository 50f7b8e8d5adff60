//! Files to object storage, each of which appears whole or not at all, and small objects from there.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use object_store::{ObjectStoreExt, PutMode, PutOptions, PutPayload, WriteMultipart};

use super::{Engine, RemoteError};
use crate::shard::error::ShardError;
use crate::shard::location::Location;
use crate::shard::storage::Storage;

/// Bytes of a piece of an upload, at least: stores take 5 MiB or more.
const PIECE: u64 = 8 << 20;
/// Pieces of an upload at most, a little below what S3 allows.
const PIECES: u64 = 9000;
/// Bytes of an object that is read whole into memory, at most.
const WHOLE: u64 = 256 << 20;
/// Pieces under way.
const AT_A_TIME: usize = 4;

impl Storage {
    /// Copies `file` to an object that must not exist; large ones in pieces, which become the object when the last is there.
    ///
    /// # Errors
    /// [`RemoteError::Exists`]; what the store refuses, after which nothing is left there.
    pub fn upload(&self, file: &Path, to: &Location) -> Result<(), ShardError> {
        let engine = self.engine(to)?;
        if matches!(to, Location::Url(url) if url.starts_with("http")) {
            let reason = "plain HTTP servers are read only; give s3://, gs://, az:// or a folder".to_owned();
            return Err(RemoteError::Write { url: to.to_string(), reason }.into());
        }
        if exists(&engine, to)? {
            return Err(RemoteError::Exists { url: to.to_string() }.into());
        }
        let io = |doing| move |source| ShardError::Io { path: file.to_owned(), doing, source };
        let mut source = File::open(file).map_err(io("open"))?;
        let length = source.metadata().map_err(io("open"))?.len();
        let piece = PIECE.max(length.div_ceil(PIECES)) as usize;
        let mut next = move || -> Result<Bytes, ShardError> {
            let mut bytes = Vec::with_capacity(piece);
            (&mut source).take(piece as u64).read_to_end(&mut bytes).map_err(io("read"))?;
            Ok(bytes.into())
        };
        let object = engine.object(to)?;
        let refused = |error| ShardError::from(object.refusal(&error));
        engine.runtime().block_on(async {
            if length <= piece as u64 {
                let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
                let payload = PutPayload::from_bytes(next()?);
                return object.store.put_opts(&object.path, payload, options).await.map(drop).map_err(refused);
            }
            let begun = object.store.put_multipart(&object.path).await.map_err(refused)?;
            let mut upload = WriteMultipart::new_with_chunk_size(begun, piece);
            loop {
                let sent = match upload.wait_for_capacity(AT_A_TIME).await.map_err(refused).and_then(|()| next()) {
                    Ok(bytes) => bytes,
                    Err(error) => {
                        // The first error is the one to tell.
                        let _ = upload.abort().await;
                        return Err(error);
                    }
                };
                if sent.is_empty() {
                    // Aborts by itself where it fails.
                    return upload.finish().await.map(drop).map_err(refused);
                }
                upload.put(sent);
            }
        })
    }

    /// All bytes of an object, where it exists: of a list, not of a shard.
    ///
    /// # Errors
    /// What the store refuses.
    pub fn fetch(&self, location: &Location) -> Result<Option<Vec<u8>>, ShardError> {
        let engine = self.engine(location)?;
        match engine.get(&engine.object(location)?, 0..WHOLE) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if error.is_absence() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes an object, for instance of a split that could not be completed.
    ///
    /// # Errors
    /// What the store refuses.
    pub fn delete(&self, location: &Location) -> Result<(), ShardError> {
        let engine = self.engine(location)?;
        let object = engine.object(location)?;
        let deleted = engine.runtime().block_on(object.store.delete(&object.path));
        deleted.map_err(|error| object.refusal(&error).into())
    }
}

fn exists(engine: &Engine, location: &Location) -> Result<bool, ShardError> {
    match engine.get(&engine.object(location)?, 0..1) {
        Ok(_) => Ok(true),
        // A store that lets write and not read says so.
        Err(error) if error.is_absence() => Ok(false),
        Err(error) => Err(error.into()),
    }
}
