//! crossbeam's channels, as far as the ring uses them, over shuttle's mutex: many senders and receivers, an end where either side is gone.

use std::collections::VecDeque;
use std::sync::Arc;

use shuttle::sync::{Condvar, Mutex, MutexGuard};

struct Channel<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    queue: VecDeque<T>,
    room: usize,
    senders: usize,
    receivers: usize,
}

impl<T> Channel<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn wait<'a>(&'a self, state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        self.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Changes the state and wakes whoever waits for a change.
    fn change(&self, change: impl FnOnce(&mut State<T>)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }
}

pub(in crate::loader) struct Sender<T>(Arc<Channel<T>>);

pub(in crate::loader) struct Receiver<T>(Arc<Channel<T>>);

pub(in crate::loader) fn bounded<T>(room: usize) -> (Sender<T>, Receiver<T>) {
    let state = State { queue: VecDeque::new(), room, senders: 1, receivers: 1 };
    let channel = Arc::new(Channel { state: Mutex::new(state), changed: Condvar::new() });
    (Sender(channel.clone()), Receiver(channel))
}

pub(in crate::loader) fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    bounded(usize::MAX)
}

impl<T> Sender<T> {
    /// Waits for room; gives the value back where no receiver is left.
    pub(in crate::loader) fn send(&self, value: T) -> Result<(), T> {
        let mut state = self.0.lock();
        while state.queue.len() >= state.room && state.receivers > 0 {
            state = self.0.wait(state);
        }
        if state.receivers == 0 {
            return Err(value);
        }
        state.queue.push_back(value);
        drop(state);
        self.0.changed.notify_all();
        Ok(())
    }

    /// Gives the value back where there is no room, or no receiver.
    pub(in crate::loader) fn try_send(&self, value: T) -> Result<(), T> {
        let mut state = self.0.lock();
        if state.queue.len() >= state.room || state.receivers == 0 {
            return Err(value);
        }
        state.queue.push_back(value);
        drop(state);
        self.0.changed.notify_all();
        Ok(())
    }
}

impl<T> Receiver<T> {
    /// Waits for a value; an error where there is none and no sender is left.
    pub(in crate::loader) fn recv(&self) -> Result<T, ()> {
        let mut state = self.0.lock();
        loop {
            if let Some(value) = state.queue.pop_front() {
                drop(state);
                self.0.changed.notify_all();
                return Ok(value);
            }
            if state.senders == 0 {
                return Err(());
            }
            state = self.0.wait(state);
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.change(|state| state.senders += 1);
        Self(self.0.clone())
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.0.change(|state| state.receivers += 1);
        Self(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.change(|state| state.senders -= 1);
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut left = VecDeque::new();
        self.0.change(|state| {
            state.receivers -= 1;
            if state.receivers == 0 {
                // What nobody will take is dropped outside the lock, as its parts may hold channels.
                std::mem::swap(&mut left, &mut state.queue);
            }
        });
    }
}
