//! Parallel work with results in order and a bounded number in flight.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crossbeam_channel::unbounded;

use super::Failure;

/// Items a worker that are handed out before their turn to be written comes.
const AHEAD: u64 = 4;

/// Runs `work` on `0..count` in `workers` threads, each with its own `state`, and hands the results to `sink` in order.
///
/// At most `4 * workers` results exist at a time: a slow item holds the rest back instead of piling them up. The first failure of
/// `sink` ends the run; so does a panic in `work`, as an error that names the index.
pub(super) fn ordered<S, R: Send>(
    count: u64,
    workers: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, u64) -> R + Sync,
    mut sink: impl FnMut(u64, R) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (tasks, inbox) = unbounded::<u64>();
    let (outbox, results) = unbounded();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let (inbox, outbox, state, work) = (inbox.clone(), outbox.clone(), &state, &work);
            scope.spawn(move || {
                let mut state = state();
                for index in inbox {
                    // A worker whose item panicked stops, so a broken state is not used again.
                    let result = catch_unwind(AssertUnwindSafe(|| work(&mut state, index))).ok();
                    let last = result.is_none();
                    if outbox.send((index, result)).is_err() || last {
                        return;
                    }
                }
            });
        }
        // Moved in, so that leaving early closes both ends and the workers stop.
        let (tasks, results) = (tasks, results);
        let mut early = BTreeMap::new();
        let (mut sent, mut written) = (0, 0);
        while written < count {
            while sent < count && sent - written < AHEAD * workers as u64 {
                tasks.send(sent).expect("the inbox lives in this function");
                sent += 1;
            }
            let (index, result) = results.recv().expect("an outbox lives in this function");
            let result =
                result.ok_or_else(|| Failure::Failed(format!("internal error at sample {index}; please report it")))?;
            early.insert(index, result);
            while let Some(result) = early.remove(&written) {
                sink(written, result)?;
                written += 1;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order() {
        for workers in [1, 3, 8] {
            let mut seen = Vec::new();
            let slow_first = |_: &mut (), index: u64| {
                std::thread::sleep(std::time::Duration::from_micros(if index.is_multiple_of(7) { 500 } else { 0 }));
                index * index
            };
            ordered(
                100,
                workers,
                || (),
                slow_first,
                |index, square| {
                    seen.push((index, square));
                    Ok(())
                },
            )
            .unwrap();
            assert_eq!(seen, (0..100).map(|index| (index, index * index)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn failures_and_panics_end_the_run() {
        let failing = ordered(
            100,
            4,
            || (),
            |_, index| index,
            |index, _| match index {
                5 => Err(Failure::Failed("full".into())),
                _ => Ok(()),
            },
        );
        assert!(matches!(failing, Err(Failure::Failed(message)) if message == "full"));
        let panicking = ordered(100, 4, || (), |_, index| assert_ne!(index, 9), |_, ()| Ok(()));
        assert!(matches!(panicking, Err(Failure::Failed(message)) if message.contains("sample 9")));
    }
}
