//! What the ring's threads meet at: channels, atomics, threads. Under `--cfg shuttle`, which only `tests/ring_model.rs` is built with, those
//! of a scheduler that tries one order of events after the other, so that the ring itself is what is checked.

#[cfg(shuttle)]
mod model;

#[cfg(not(shuttle))]
pub(super) use {
    crossbeam_channel::{Receiver, Sender, bounded, unbounded},
    std::sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    std::sync::{Mutex, MutexGuard},
    std::thread::{Builder, JoinHandle},
};

#[cfg(shuttle)]
pub(super) use {
    model::{Receiver, Sender, bounded, unbounded},
    shuttle::sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    shuttle::sync::{Mutex, MutexGuard},
    shuttle::thread::{Builder, JoinHandle},
};

/// What `mutex` guards; every use leaves it whole.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
