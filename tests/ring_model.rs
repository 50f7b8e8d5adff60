//! The ring under a scheduler that tries many orders of its threads' events: no order hangs it, loses an error or mixes steps.
//!
//! Built with `--cfg shuttle` (`tools/sanitize model`); then `loader/ring.rs` runs on shuttle's threads, where a hang is found as such, and
//! a failing order is printed to be run again. Orders are of whole operations: what weaker memory allows is for Miri and ThreadSanitizer.

#![cfg(shuttle)]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use loader_support::{Fault, IMAGES, ROW_BYTES, failure, mark, start};
use metacl::loader::{LoadError, RingSize};

mod loader_support;

/// Orders that are tried of each scene.
const ORDERS: usize = 20_000;

fn explore(scene: impl Fn() + Send + Sync + Copy + 'static) {
    // Orders at random, and orders with few changes of thread, which find other faults (probabilistic concurrency testing).
    shuttle::check_random(scene, ORDERS);
    shuttle::check_pct(scene, ORDERS, 3);
}

fn size(workers: usize, slots: usize) -> RingSize {
    RingSize { workers, slots, ..loader_support::SIZE }
}

const SOUND: Fault = |_, _| Ok(());

#[test]
fn every_batch_is_whole_and_in_its_turn() {
    explore(|| {
        let (loader, _) = start(SOUND, size(2, 2), 3);
        let steps = loader.map(|batch| {
            let batch = batch.unwrap();
            let step = batch.plan().step;
            for (row, bytes) in batch.bytes().chunks(ROW_BYTES).enumerate() {
                assert!(bytes.iter().all(|&byte| byte == mark(step, row)), "step {step} row {row}");
            }
            step
        });
        assert_eq!(steps.collect::<Vec<_>>(), [0, 1, 2]);
    });
}

#[test]
fn leaving_early_ends_all_threads() {
    for taken in 0..3 {
        explore(move || {
            let (mut loader, _) = start(SOUND, size(2, 2), u64::MAX);
            let kept = loader.by_ref().take(taken).last();
            drop(loader);
            if let Some(batch) = kept {
                let batch = batch.unwrap();
                assert_eq!(batch.bytes()[0], mark(batch.plan().step, 0));
            }
        });
    }
}

#[test]
fn the_lowest_error_of_a_step_is_told_and_ends_the_run() {
    explore(|| {
        let fault: Fault =
            |step, image| if step == 1 && image != usize::MAX { Err(failure(image as u64)) } else { Ok(()) };
        let (mut loader, _) = start(fault, size(2, 2), u64::MAX);
        assert!(loader.next().unwrap().is_ok());
        let told = loader.next().unwrap().err().unwrap();
        assert!(matches!(told, LoadError::Episode(_)) && told.to_string() == failure(0).to_string(), "{told}");
        assert!(loader.next().is_none());
    });
}

#[test]
fn kept_batches_block_their_slots_and_nothing_else() {
    explore(|| {
        let (mut loader, rendered) = start(SOUND, size(2, 2), 4);
        let kept: Vec<_> = loader.by_ref().take(2).map(Result::unwrap).collect();
        assert_eq!(rendered.load(std::sync::atomic::Ordering::Relaxed), 2 * IMAGES as u64);
        drop(kept);
        assert_eq!(loader.filter(Result::is_ok).count(), 2);
    });
}
