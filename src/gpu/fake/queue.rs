//! The streams of a fake device: queued operations, and which of them can run next.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::gpu::{Arguments, Launch, RawFunction};

/// What an operation does.
#[derive(Debug)]
pub(super) enum Work {
    Copy { to: usize, from: usize, bytes: usize },
    Fill { to: usize, value: u8, bytes: usize },
    Launch { function: RawFunction, launch: Launch, arguments: Arguments },
    Record(Ticket),
    Wait(Ticket),
}

/// One recording of an event; 0 is passed from the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Ticket(pub(super) u64);

/// An operation with the allocations that it uses, by their first addresses.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) work: Work,
    pub(super) held: Vec<usize>,
}

/// All streams of a device.
pub(super) struct Queues {
    streams: BTreeMap<u64, Queue>,
    /// Recordings that have not passed, with the stream that they are queued on.
    pending: HashMap<Ticket, u64>,
}

#[derive(Default)]
struct Queue {
    operations: VecDeque<Queued>,
    /// A destroyed stream takes nothing more, but what it has runs.
    destroyed: bool,
}

impl Queues {
    /// With one stream, the legacy default one.
    pub(super) fn new() -> Self {
        Self { streams: BTreeMap::from([(0, Queue::default())]), pending: HashMap::new() }
    }

    pub(super) fn create(&mut self, stream: u64) {
        self.streams.insert(stream, Queue::default());
    }

    /// False where there is no such stream.
    pub(super) fn destroy(&mut self, stream: u64) -> bool {
        let Some(queue) = self.streams.get_mut(&stream).filter(|queue| !queue.destroyed) else { return false };
        queue.destroyed = true;
        self.remove_if_done(stream);
        true
    }

    pub(super) fn has(&self, stream: u64) -> bool {
        self.streams.get(&stream).is_some_and(|queue| !queue.destroyed)
    }

    pub(super) fn push(&mut self, stream: u64, queued: Queued) {
        if let Work::Record(ticket) = queued.work {
            self.pending.insert(ticket, stream);
        }
        self.streams.get_mut(&stream).expect("checked by the caller").operations.push_back(queued);
    }

    /// Takes the next operation of a stream, which is one of those that can run.
    pub(super) fn pop(&mut self, stream: u64) -> Option<Queued> {
        let queued = self.streams.get_mut(&stream)?.operations.pop_front()?;
        if let Work::Record(ticket) = queued.work {
            self.pending.remove(&ticket);
        }
        self.remove_if_done(stream);
        Some(queued)
    }

    fn remove_if_done(&mut self, stream: u64) {
        if self.streams.get(&stream).is_some_and(|queue| queue.destroyed && queue.operations.is_empty()) {
            self.streams.remove(&stream);
        }
    }

    pub(super) fn is_empty(&self, stream: u64) -> bool {
        self.streams.get(&stream).is_none_or(|queue| queue.operations.is_empty())
    }

    /// Operations of all streams.
    pub(super) fn len(&self) -> usize {
        self.streams.values().map(|queue| queue.operations.len()).sum()
    }

    pub(super) fn has_passed(&self, ticket: Ticket) -> bool {
        !self.pending.contains_key(&ticket)
    }

    /// Whether a launch of one of these functions is queued.
    pub(super) fn launches(&self, is_one: impl Fn(RawFunction) -> bool) -> bool {
        let mut operations = self.streams.values().flat_map(|queue| &queue.operations);
        operations.any(|queued| matches!(queued.work, Work::Launch { function, .. } if is_one(function)))
    }

    /// The streams whose next operation could run now.
    pub(super) fn ready(&self) -> Vec<u64> {
        let ready = |queue: &Queue| match queue.operations.front().map(|queued| &queued.work) {
            Some(Work::Wait(ticket)) => self.has_passed(*ticket),
            next => next.is_some(),
        };
        self.streams.iter().filter(|(_, queue)| ready(queue)).map(|(&stream, _)| stream).collect()
    }

    /// The stream whose next operation brings `stream` forward: itself, or the one that its next operation waits for.
    pub(super) fn needed_by(&self, stream: u64) -> Option<u64> {
        let mut stream = stream;
        // A wait is for a recording that was queued before it, so the way ends.
        loop {
            match self.streams.get(&stream)?.operations.front()?.work {
                Work::Wait(ticket) if !self.has_passed(ticket) => stream = *self.pending.get(&ticket)?,
                _ => return Some(stream),
            }
        }
    }

    /// The stream whose next operation brings the recording forward.
    pub(super) fn needed_for(&self, ticket: Ticket) -> Option<u64> {
        self.needed_by(*self.pending.get(&ticket)?)
    }
}
