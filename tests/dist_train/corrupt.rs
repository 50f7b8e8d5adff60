//! Damaged samples that any rank meets, in training or in an evaluation, are listed by rank 0.

use serde_json::Value;

use super::program::{Bench, Run};
use super::train_support::{damage, quarantined};

/// Samples that a run lists, by the number of the dataset's samples and their own.
fn listed(run: &Run) -> Vec<(u64, u64)> {
    let one = |line: Value| (line["samples"].as_u64().unwrap(), line["sample"].as_u64().unwrap());
    let mut listed: Vec<_> = quarantined(&run.folder).into_iter().map(one).collect();
    listed.sort_unstable();
    listed
}

#[test]
fn every_ranks_corrupt_samples_are_listed_once() {
    let bench = Bench::new();
    damage(&bench.data(), "train", &[5, 17, 30]);
    // The test split is read at the end alone, after the last line of training.
    damage(&bench.data(), "test", &[3, 8, 13]);
    for count in ["1", "3"] {
        let more = ["--max_corrupt", "0.2", "--batch_size", "6", "--test_bs", "7", "--iters", "12", "--nproc", count];
        let run = bench.run(count, &more);
        assert_eq!(listed(&run), [(20, 3), (20, 8), (20, 13), (40, 5), (40, 17), (40, 30)], "{count} processes");
        assert_eq!(run.summary()["corrupt_samples"], 6);
    }
}
