//! Starting and stopping loaders a thousand times leaves nothing behind: no thread, no open file; and nothing hangs.
//!
//! One test, because threads and files are counted for the whole process.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::panic;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use image_support::Dice;
use loader_support::{Fault, ROW_BYTES, SIZE, failure, loader, mark, within_a_minute};
use metacl::augment::{TaskPolicy, ViewSpec, recipe};
use metacl::episode::{EpisodeSpec, Order, Planner};
use metacl::loader::{Batch, LoaderOptions, load_views};
use metacl::shard::{Codec, ShardSet};

mod image_support;
mod loader_support;
mod shard_support;

const CYCLES: u32 = 1000;

/// What workers and planner do wrong, in turn.
const FAULTS: [Fault; 4] = [
    |_, _| Ok(()),
    |step, image| if (step, image) == (4, 2) { panic!("a worker panics on purpose") } else { Ok(()) },
    |step, image| if (step, image) == (5, usize::MAX) { panic!("the planner panics on purpose") } else { Ok(()) },
    |step, image| if (step, image) == (3, 1) { Err(failure(step)) } else { Ok(()) },
];

#[test]
fn a_thousand_starts_and_stops_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let samples: Vec<_> = shard_support::samples(24).into_iter().filter(|sample| sample.codec == Codec::Raw).collect();
    shard_support::write(folder.path(), &samples, shard_support::options(1 << 20));
    // The panics on purpose need not be printed a thousand times.
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let on_purpose = info.payload().downcast_ref::<&str>().is_some_and(|text| text.ends_with("on purpose"));
        if !on_purpose {
            print(info);
        }
    }));
    let path = folder.path().to_owned();
    within_a_minute(move || {
        let mut dice = Dice::new(1);
        // What is made once, at the first use, is no leak.
        shard_cycle(&path, &mut dice);
        let before = (count("task"), count("fd"));
        for cycle in 0..CYCLES {
            ring_cycle(FAULTS[cycle as usize % FAULTS.len()], &mut dice);
            shard_cycle(&path, &mut dice);
            assert_eq!(count("fd"), before.1, "open files after {cycle} cycles");
        }
        // The system counts a thread that was joined until it has buried it.
        while count("task") > before.0 {
            thread::yield_now();
        }
    });
}

/// Takes some batches, keeps some of them or dawdles, and leaves while the threads are in the middle of others.
fn ring_cycle(fault: Fault, dice: &mut Dice) {
    let (mut loader, _) = loader(fault, u64::MAX);
    let mut kept = Vec::new();
    for step in 0..dice.int(0, 8) as u64 {
        // What is kept blocks its slot: it must go before its slot's next step is asked for.
        kept.retain(|batch: &Batch| batch.plan().step + SIZE.slots as u64 > step);
        // An error ends the run.
        let Some(Ok(batch)) = loader.next() else { break };
        assert!(batch.bytes()[..ROW_BYTES].iter().all(|&byte| byte == mark(step, 0)));
        if dice.int(0, 2) == 0 {
            kept.push(batch);
        } else if dice.int(0, 3) == 0 {
            (0..dice.int(0, 50)).for_each(|_| thread::yield_now());
        }
    }
    if dice.int(0, 1) == 0 {
        drop(kept);
        drop(loader);
    } else {
        // Batches outlive their loader.
        drop(loader);
        assert!(kept.iter().all(|batch| batch.bytes()[0] == mark(batch.plan().step, 0)));
    }
}

/// The same over files: they are mapped, read ahead, decoded and rendered.
fn shard_cycle(folder: &Path, dice: &mut Dice) {
    let set = Arc::new(ShardSet::open(folder).unwrap());
    let spec = EpisodeSpec {
        seed: dice.int(0, 1000) as u64,
        batch: 4,
        order: Order::Sequential,
        views: vec![recipe::ssl_cifar(0.5, 1.0); 2],
        task: TaskPolicy::Upright,
        view: ViewSpec::bicubic(8),
        rank: (0, 1),
    };
    let planner = Planner::new(spec, set.len()).unwrap();
    let mut loader = load_views(set, planner, LoaderOptions { workers: 2, ..LoaderOptions::default() }, 0..4).unwrap();
    for _ in 0..dice.int(0, 3) {
        assert!(loader.next().unwrap().is_ok());
    }
}

/// Entries of `/proc/self/KIND`.
fn count(kind: &str) -> usize {
    fs::read_dir(Path::new("/proc/self").join(kind)).unwrap().count()
}
