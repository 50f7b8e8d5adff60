//! Nothing that a worker or a consumer does wrong may hang the loader, lose an error or show rows of another step.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::atomic::Ordering;

use loader_support::{IMAGES, ROW_BYTES, SIZE, failure, loader, mark, within_a_minute};
use metacl::episode::EpisodeError;
use metacl::loader::LoadError;

mod loader_support;

/// Long enough that every slot is used many times; Miri takes a tenth of a second for each.
const STEPS: u64 = if cfg!(miri) { 20 } else { 200 };

#[test]
fn every_row_holds_its_own_step() {
    within_a_minute(|| {
        let (loader, _) = loader(|_, _| Ok(()), STEPS);
        let mut steps = 0;
        for (step, batch) in loader.enumerate() {
            let batch = batch.unwrap();
            assert_eq!(batch.plan().step, step as u64);
            for (row, bytes) in batch.bytes().chunks(ROW_BYTES).enumerate() {
                assert!(bytes.iter().all(|&byte| byte == mark(step as u64, row)), "step {step} row {row}");
            }
            steps += 1;
        }
        assert_eq!(steps, STEPS);
    });
}

#[test]
fn an_error_reaches_the_consumer_at_its_step_and_ends_the_run() {
    within_a_minute(|| {
        // Images 2 and 4 fail: the lowest is reported, whatever thread was first.
        let (mut loader, _) = loader(
            |step, image| match (step, image) {
                (7, 2 | 4) => Err(failure(image as u64)),
                _ => Ok(()),
            },
            STEPS,
        );
        for _ in 0..7 {
            assert!(loader.next().unwrap().is_ok());
        }
        let error = loader.next().unwrap().err();
        assert!(matches!(error, Some(LoadError::Episode(EpisodeError::BatchTooLarge { batch: 2, .. }))));
        assert!(loader.next().is_none());
    });
}

#[test]
fn a_panic_in_a_worker_is_an_error_not_a_hang() {
    within_a_minute(|| {
        let (mut loader, _) =
            loader(|step, image| if (step, image) == (3, 1) { panic!("boom {image}") } else { Ok(()) }, STEPS);
        assert_eq!(loader.by_ref().take(3).filter(Result::is_ok).count(), 3);
        match loader.next() {
            Some(Err(LoadError::Panic { step: 3, image: 1, message })) => assert_eq!(message, "boom 1"),
            other => panic!("{:?}", other.map(|batch| batch.map(|_| "a batch"))),
        }
    });
}

#[test]
fn a_plan_that_fails_is_delivered_in_order() {
    within_a_minute(|| {
        let (loader, _) =
            loader(|step, image| if step == 4 && image == usize::MAX { Err(failure(4)) } else { Ok(()) }, STEPS);
        let results: Vec<bool> = loader.map(|batch| batch.is_ok()).collect();
        assert_eq!(results, [true, true, true, true, false]);
    });
}

#[test]
fn dropping_early_stops_all_threads() {
    within_a_minute(|| {
        for consumed in 0..6 {
            let (mut loader, rendered) = loader(|_, _| Ok(()), u64::MAX);
            let kept = loader.by_ref().take(consumed).last();
            drop(loader);
            let at_stop = rendered.load(Ordering::Relaxed);
            std::thread::yield_now();
            assert_eq!(rendered.load(Ordering::Relaxed), at_stop, "a worker outlived its loader");
            // A batch outlives its loader.
            if let Some(batch) = kept {
                let batch = batch.unwrap();
                assert_eq!(batch.bytes()[0], mark(batch.plan().step, 0));
            }
        }
    });
}

#[test]
fn a_consumer_that_keeps_batches_only_blocks_its_slots() {
    within_a_minute(|| {
        let (mut loader, rendered) = loader(|_, _| Ok(()), STEPS);
        let kept: Vec<_> = loader.by_ref().take(SIZE.slots).map(Result::unwrap).collect();
        assert_eq!(rendered.load(Ordering::Relaxed), (SIZE.slots * IMAGES) as u64);
        for (step, batch) in kept.iter().enumerate() {
            assert_eq!(batch.bytes()[0], mark(step as u64, 0));
        }
        drop(kept);
        assert_eq!(loader.filter(Result::is_ok).count() as u64, STEPS - SIZE.slots as u64);
    });
}
