//! Which pages and records were found sound.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A set of small numbers that threads may add to.
pub(super) struct Bits(Box<[AtomicU64]>);

impl Bits {
    // Relaxed: a bit says that bytes were found sound; nothing is published through it.
    pub(super) fn new(count: u64) -> Self {
        Self((0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    pub(super) fn get(&self, bit: u64) -> bool {
        self.0[(bit / 64) as usize].load(Relaxed) >> (bit % 64) & 1 == 1
    }

    pub(super) fn set(&self, bit: u64) {
        self.0[(bit / 64) as usize].fetch_or(1 << (bit % 64), Relaxed);
    }

    /// Forgets them all.
    pub(super) fn clear(&self) {
        self.0.iter().for_each(|word| word.store(0, Relaxed));
    }
}
