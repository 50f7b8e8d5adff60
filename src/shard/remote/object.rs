//! One object: ranges of it, each whole and of the same version, or an error.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore};
use tokio::time::{sleep, timeout};

use super::RemoteError;
use super::connect::{LONGEST_PAUSE, Secrets};
use super::file::ATTEMPTS;
use crate::shard::storage::Patience;

/// An object in a store.
pub(super) struct Object {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) path: Path,
    /// Its URL as messages show it.
    pub(super) url: String,
    pub(super) secrets: Secrets,
    pub(super) patience: Patience,
    /// Of the first answer: every other one must be of the same.
    version: OnceLock<ObjectMeta>,
}

/// Why an attempt failed.
enum Attempt {
    /// Another may succeed.
    Again(String),
    /// It was made of many, as many as there should be.
    Given(String),
    /// None will.
    Never(RemoteError),
}

/// How the client's errors begin where it repeats requests by itself; the type is not public. Wrong answers, which it does not repeat,
/// read otherwise.
const GIVEN_UP: &str = "Error performing ";

impl Object {
    pub(super) fn new(
        store: Arc<dyn ObjectStore>,
        path: Path,
        url: String,
        secrets: Secrets,
        patience: Patience,
    ) -> Self {
        Self { store, path, url, secrets, patience, version: OnceLock::new() }
    }

    /// Bytes of the object, once a range has been received.
    pub(super) fn size(&self) -> u64 {
        self.version.get().map_or(0, |version| version.size)
    }

    /// Bytes `range`, of which only what lies in the object; `sound` judges them, and where it says no they are asked for again.
    ///
    /// # Errors
    /// [`RemoteError`]; where `sound` alone was not content to the last, the bytes come with `false`.
    pub(super) async fn get(
        &self,
        range: Range<u64>,
        sound: impl Fn(&[u8]) -> bool,
    ) -> Result<(Bytes, bool), RemoteError> {
        let lost = |reason: String| RemoteError::Lost { url: self.url.clone(), range: range.clone(), reason };
        let mut reason = "nothing came".to_owned();
        let tried = async {
            let mut pause = self.patience.pause;
            let mut attempts = 0;
            loop {
                attempts += 1;
                match self.attempt(range.clone()).await {
                    Ok(bytes) if sound(&bytes) => return Ok((bytes, true)),
                    // Damage at the source does not go away.
                    Ok(bytes) if attempts >= ATTEMPTS => return Ok((bytes, false)),
                    Ok(_) => "its checksums do not hold".clone_into(&mut reason),
                    Err(Attempt::Never(error)) => return Err(error),
                    Err(Attempt::Given(why)) => return Err(lost(why)),
                    Err(Attempt::Again(why)) => reason = why,
                }
                if attempts > self.patience.retries {
                    return Err(lost(format!("{reason}, {attempts} times")));
                }
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        };
        match timeout(self.patience.limit, tried).await {
            Ok(ended) => ended,
            Err(_) => Err(lost(format!("{reason}; given up after {} s", self.patience.limit.as_secs()))),
        }
    }

    async fn attempt(&self, range: Range<u64>) -> Result<Bytes, Attempt> {
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
        let failed = |error| self.failure(&error);
        let answer = self.store.get_opts(&self.path, options).await.map_err(failed)?;
        let version = self.version.get_or_init(|| answer.meta.clone());
        self.same(version, &answer.meta)?;
        let expected = range.end.min(version.size).saturating_sub(range.start);
        let bytes = answer.bytes().await.map_err(failed)?;
        if bytes.len() as u64 != expected {
            return Err(Attempt::Again(format!("{} bytes came, {expected} were asked for", bytes.len())));
        }
        Ok(bytes)
    }

    fn same(&self, before: &ObjectMeta, now: &ObjectMeta) -> Result<(), Attempt> {
        let what = if before.e_tag != now.e_tag {
            let shown = |meta: &ObjectMeta| meta.e_tag.clone().unwrap_or_else(|| "none".to_owned());
            format!("its ETag was {}, now {}", shown(before), shown(now))
        } else if before.size != now.size {
            format!("it had {} bytes, now {}", before.size, now.size)
        } else if before.last_modified != now.last_modified {
            format!("it was last modified {}, now {}", before.last_modified, now.last_modified)
        } else {
            return Ok(());
        };
        Err(Attempt::Never(RemoteError::Changed { url: self.url.clone(), what }))
    }

    fn failure(&self, error: &object_store::Error) -> Attempt {
        use object_store::Error;
        match error {
            Error::NotFound { .. } | Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                Attempt::Never(self.refusal(error))
            }
            _ => match self.reason(error) {
                // The client gave up on the request: it has tried as often as `patience` says, or more would be of no use.
                reason if reason.contains(GIVEN_UP) => Attempt::Given(reason),
                reason => Attempt::Again(reason),
            },
        }
    }

    /// What a store's refusal means.
    pub(super) fn refusal(&self, error: &object_store::Error) -> RemoteError {
        use object_store::Error;
        let url = self.url.clone();
        match error {
            Error::NotFound { .. } => RemoteError::NotFound { url },
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                RemoteError::Denied { url, reason: self.reason(error) }
            }
            Error::AlreadyExists { .. } | Error::Precondition { .. } => RemoteError::Exists { url },
            _ => RemoteError::Write { url, reason: self.reason(error) },
        }
    }

    /// What a store said, in one line without secrets: the innermost causes, which say most.
    fn reason(&self, error: &object_store::Error) -> String {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            source = cause.source();
        }
        self.secrets.hide(&text).split_whitespace().collect::<Vec<_>>().join(" ")
    }
}
