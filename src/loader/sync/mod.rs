//! What the ring's threads meet at: channels, atomics, threads. Under `--cfg shuttle`, which only `tests/ring_model.rs` is built with, those
//! of a scheduler that tries one order of events after the other, so that the ring itself is what is checked.

#[cfg(shuttle)]
mod model;

#[cfg(not(shuttle))]
pub(super) use {
    crossbeam_channel::{Receiver, Sender, bounded, unbounded},
    std::sync::Mutex,
    std::sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    std::thread::{Builder, JoinHandle},
};

#[cfg(shuttle)]
pub(super) use {
    model::{Receiver, Sender, bounded, unbounded},
    shuttle::sync::Mutex,
    shuttle::sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    shuttle::thread::{Builder, JoinHandle},
};
