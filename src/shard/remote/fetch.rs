//! Which extents are fetched next: those that a reader waits for, then those that will be wanted, neighbours in one request.

use std::collections::VecDeque;
use std::collections::btree_map::{BTreeMap, Entry};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use bytes::Bytes;
use tokio::runtime::Handle;

use super::RemoteError;
use super::cache::{Cache, ExtentName};
use super::object::Object;
use crate::shard::format;

/// Requests under way at most.
const REQUESTS: usize = 16;
/// Bytes of a request at most, but for an extent that has more by itself. With [`REQUESTS`], what is in memory.
const REQUEST_BYTES: u64 = 8 << 20;
/// The share of the cache that may be fetched ahead: what is fetched must still be there when it is wanted.
const AHEAD_SHARE: u64 = 4;
/// Bytes that are fetched ahead at most.
const AHEAD_BYTES: u64 = 1 << 30;

/// An extent to fetch, and what it is to be held to.
pub(super) struct Want {
    pub(super) object: Arc<Object>,
    pub(super) name: ExtentName,
    pub(super) records: Vec<Piece>,
}

/// A record within an extent.
pub(super) struct Piece {
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) checksum: u64,
}

impl Want {
    fn bytes(&self) -> u64 {
        self.name.end - self.name.start
    }

    fn is_sound(&self, bytes: &[u8]) -> bool {
        self.records.iter().all(|record| {
            let held = bytes.get(record.offset as usize..(record.offset + record.length) as usize);
            held.is_some_and(|held| format::checksum(held) == record.checksum)
        })
    }
}

/// Fetches extents into a cache, on the threads of a runtime.
pub(super) struct Fetcher(Arc<Shared>);

struct Shared {
    cache: Arc<Cache>,
    runtime: Handle,
    most_ahead: u64,
    line: Mutex<Line>,
    landed: Condvar,
}

/// Everything that is wanted.
#[derive(Default)]
struct Line {
    slots: BTreeMap<ExtentName, Slot>,
    /// Names, in the order of asking; those that are no longer queued are passed over.
    urgent: VecDeque<ExtentName>,
    ahead: VecDeque<ExtentName>,
    queued_bytes: u64,
    running: usize,
    /// Nothing more is begun.
    stopped: bool,
}

struct Slot {
    /// Readers.
    waiting: usize,
    state: State,
}

enum State {
    Queued(Want),
    UnderWay,
    /// Only while somebody waits.
    Here(Result<Bytes, RemoteError>),
}

impl Fetcher {
    pub(super) fn new(cache: Arc<Cache>, runtime: Handle, cache_size: u64) -> Self {
        let most_ahead = (cache_size / AHEAD_SHARE).min(AHEAD_BYTES);
        Self(Arc::new(Shared { cache, runtime, most_ahead, line: Mutex::default(), landed: Condvar::new() }))
    }

    /// The extent's bytes; waits for them. Records that are damaged at the source are damaged in it.
    pub(super) fn fetch(&self, want: Want) -> Result<Bytes, RemoteError> {
        let name = want.name;
        let mut line = self.0.lock();
        line.add(want);
        let slot = line.slots.get_mut(&name).expect("just added");
        slot.waiting += 1;
        if matches!(slot.state, State::Queued(_)) {
            line.urgent.push_back(name);
            self.0.start(&mut line);
        }
        loop {
            let slot = line.slots.get_mut(&name).expect("it stays while somebody waits");
            if let State::Here(result) = &slot.state {
                let result = result.clone();
                slot.waiting -= 1;
                if slot.waiting == 0 {
                    line.slots.remove(&name);
                }
                return result;
            }
            line = self.0.landed.wait(line).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }

    /// Begins nothing more: the runtime is about to go, and a task that it does not take would end under the lock of the line.
    pub(super) fn stop(&self) {
        self.0.lock().stopped = true;
    }

    /// Whether the extent is queued or under way.
    pub(super) fn expects(&self, name: &ExtentName) -> bool {
        self.0.lock().slots.contains_key(name)
    }

    /// Begins to fetch an extent that is not in the cache, sooner or later, and returns at once. A hint: it may be passed over, and
    /// where it fails, whoever reads the extent will hear of it.
    pub(super) fn hint(&self, want: Want) {
        let name = want.name;
        let mut line = self.0.lock();
        if line.slots.contains_key(&name) || line.queued_bytes + want.bytes() > self.0.most_ahead {
            return;
        }
        line.add(want);
        line.ahead.push_back(name);
        self.0.start(&mut line);
    }
}

impl Line {
    /// Enters an extent that is not there yet in any state.
    fn add(&mut self, want: Want) {
        let bytes = want.bytes();
        if let Entry::Vacant(vacant) = self.slots.entry(want.name) {
            vacant.insert(Slot { waiting: 0, state: State::Queued(want) });
            self.queued_bytes += bytes;
        }
    }

    /// The next extent to fetch, with those beside it that are queued too, in order: one request.
    fn next(&mut self) -> Option<Vec<Want>> {
        let first = loop {
            let name = self.urgent.pop_front().or_else(|| self.ahead.pop_front())?;
            if let Some(want) = self.take(&name) {
                break want;
            }
        };
        let mut bytes = first.bytes();
        let mut run = VecDeque::from([first]);
        loop {
            let (front, back) = (run[0].name, run[run.len() - 1].name);
            let after = self.slots.range((Excluded(back), Unbounded)).next().map(|(name, _)| *name);
            let before = self.slots.range(..front).next_back().map(|(name, _)| *name);
            let fits = |name: &ExtentName| bytes + (name.end - name.start) <= REQUEST_BYTES;
            let after = after.filter(|name| name.identity == back.identity && name.start == back.end && fits(name));
            let before = before.filter(|name| name.identity == front.identity && name.end == front.start && fits(name));
            if let Some(want) = after.and_then(|name| self.take(&name)) {
                bytes += want.bytes();
                run.push_back(want);
            } else if let Some(want) = before.and_then(|name| self.take(&name)) {
                bytes += want.bytes();
                run.push_front(want);
            } else {
                return Some(run.into());
            }
        }
    }

    /// Takes a queued extent out of the queue: it is under way now.
    fn take(&mut self, name: &ExtentName) -> Option<Want> {
        let slot = self.slots.get_mut(name)?;
        match std::mem::replace(&mut slot.state, State::UnderWay) {
            State::Queued(want) => {
                self.queued_bytes -= want.bytes();
                Some(want)
            }
            other => {
                slot.state = other;
                None
            }
        }
    }

    /// Hands a result to whoever waits.
    fn settle(&mut self, name: &ExtentName, result: Result<Bytes, RemoteError>) {
        match self.slots.get_mut(name) {
            Some(slot) if slot.waiting > 0 => slot.state = State::Here(result),
            _ => {
                self.slots.remove(name);
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Starts as many requests as may be under way.
    fn start(self: &Arc<Self>, line: &mut Line) {
        while !line.stopped
            && line.running < REQUESTS
            && let Some(run) = line.next()
        {
            line.running += 1;
            let object = Arc::clone(&run[0].object);
            let request = Request { shared: Arc::clone(self), names: run.iter().map(|want| want.name).collect() };
            self.runtime.spawn(async move { request.run(&object, run).await });
        }
    }
}

/// A request under way. However it ends, those who wait hear of it.
struct Request {
    shared: Arc<Shared>,
    /// Extents without a result.
    names: Vec<ExtentName>,
}

impl Request {
    async fn run(mut self, object: &Object, run: Vec<Want>) {
        let (start, end) = (run[0].name.start, run[run.len() - 1].name.end);
        let part = move |want: &Want| (want.name.start - start) as usize..(want.name.end - start) as usize;
        let sound = |bytes: &[u8]| run.iter().all(|want| bytes.get(part(want)).is_some_and(|part| want.is_sound(part)));
        let received = object.get(start..end, sound).await;
        // Files are written beside the threads that receive.
        let kept = tokio::task::spawn_blocking(move || {
            for want in run {
                let result = received.clone().and_then(|(bytes, all_sound)| {
                    let bytes = bytes.slice(part(&want));
                    if all_sound || want.is_sound(&bytes) {
                        self.shared.cache.keep(&want.name, &bytes)?;
                    }
                    Ok(bytes)
                });
                self.names.retain(|name| *name != want.name);
                self.shared.lock().settle(&want.name, result);
            }
        });
        // Its end is told by dropping the request, a panic's too.
        let _ = kept.await;
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let mut line = self.shared.lock();
        for name in self.names.drain(..) {
            let reason = "the request ended early; this is a bug, please report it".to_owned();
            line.settle(&name, Err(RemoteError::Threads { reason }));
        }
        line.running -= 1;
        self.shared.start(&mut line);
        drop(line);
        self.shared.landed.notify_all();
    }
}
