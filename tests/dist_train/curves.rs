//! The losses of 1, 2 and 4 ranks over 30 steps.

use super::program::{Bench, close};

/// Ranks add up f32 sums in another order than one process, which moves a gradient by some 1e-6 of its length; 30 steps with a small rate carry that
/// on without making chaos of it. An update that was wrong by a rank's part would be off by a half.
pub(crate) const TOLERANCE: f64 = 2e-3;

/// A plain head, and one with all tricks; `dist_two_processes` has every step, and more digits.
const CASES: [&[&str]; 2] = [
    &["--head", "contrastive"],
    &["--head", "R2D2", "--qcm", "true", "--rottlr", "0.4", "--rot_div", "3", "--rottlr_p", "0.5"],
];

#[test]
fn any_number_of_processes_gives_the_losses_of_one() {
    let bench = Bench::new();
    for (n, case) in CASES.iter().enumerate() {
        let [one, two, four] = ["1", "2", "4"].map(|count| {
            let more = ["--iters", "30", "--lr", "1e-5", "--nproc", count];
            bench.run(&format!("{n}-{count}"), &[&more[..], case].concat())
        });
        assert_eq!(one.losses().len(), 30, "only rank 0 writes lines");
        for (several, count) in [(two, 2), (four, 4)] {
            for key in ["train_loss", "feature_std", "train_contrast_acc"] {
                close(&format!("{case:?}, {count} processes, {key}"), &several.all(key), &one.all(key), TOLERANCE);
            }
        }
    }
}
