//! One planned step: plain data, printable, comparable.

use std::fmt;

use xxhash_rust::xxh3::Xxh3;

use super::rows::RowLayout;
use crate::augment::{ClassPlan, ViewPlan};
use crate::image::Size;

/// What a plan needs to know of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleMeta {
    /// Width and height in pixels.
    pub size: Size,
    /// Class in the dataset; ignored by self-supervised heads.
    pub label: u32,
}

/// Everything random about one step of one rank.
#[derive(Clone, Debug, PartialEq)]
pub struct EpisodePlan {
    /// 0-based step of the run.
    pub step: u64,
    /// Pass over the data.
    pub epoch: u32,
    /// Images of the step over all ranks.
    pub batch: usize,
    /// Classes and views of the rows.
    pub layout: RowLayout,
    /// Sample id of each source, `[images]`.
    pub samples: Vec<u32>,
    /// Size of each source, `[images]`.
    pub sizes: Vec<Size>,
    /// Dataset label of each source, `[images]`.
    pub labels: Vec<u32>,
    /// Choices of each class, `[classes]`; class `c` is made of source `c % images`.
    pub classes: Vec<ClassPlan>,
    /// The views in row order, `[rows]`.
    pub views: Vec<ViewPlan>,
}

impl EpisodePlan {
    /// Number of source images.
    pub fn images(&self) -> usize {
        self.samples.len()
    }

    /// The rows that show source `image`: one for each view of each of its classes.
    pub fn rows_of(&self, image: usize) -> impl Iterator<Item = usize> + use<'_> {
        (image..self.views.len()).step_by(self.images())
    }

    /// Takes over what `other`, a plan of the same layout, says of source `image`.
    pub fn take_image(&mut self, image: usize, other: &Self) {
        self.samples[image] = other.samples[image];
        self.sizes[image] = other.sizes[image];
        self.labels[image] = other.labels[image];
        for row in other.rows_of(image) {
            self.views[row] = other.views[row];
        }
    }

    /// A digest of every choice: equal plans, equal digests, on any machine.
    pub fn digest(&self) -> u64 {
        let mut hash = Xxh3::new();
        hash.update(&self.step.to_le_bytes());
        hash.update(&self.epoch.to_le_bytes());
        for sample in &self.samples {
            hash.update(&sample.to_le_bytes());
        }
        for view in &self.views {
            hash.update(&view.to_bytes());
        }
        hash.digest()
    }
}

impl fmt::Display for EpisodePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "step {} epoch {} images {} rows {}", self.step, self.epoch, self.images(), self.views.len())?;
        for (row, view) in self.views.iter().enumerate() {
            writeln!(f, "row {row} sample {} {view}", self.samples[view.source as usize])?;
        }
        Ok(())
    }
}

/// Why no plan can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EpisodeError {
    /// No view, or views without pixels.
    #[error("an episode of {views} views of {size} px is empty: multiplier and image_size must be at least 1")]
    NothingToDraw {
        /// Views asked for.
        views: usize,
        /// Side of a view.
        size: u32,
    },
    /// The ranks cannot share the batch.
    #[error(
        "batch_size {batch} does not divide over {world} processes (rank {rank}): choose a multiple of the world size"
    )]
    UnevenBatch {
        /// Images of a step.
        batch: u32,
        /// Processes.
        world: u32,
        /// This process.
        rank: u32,
    },
    /// Not one full batch in the dataset.
    #[error("batch_size {batch} does not fit a dataset of {samples} samples: choose a smaller batch_size or more data")]
    BatchTooLarge {
        /// Images of a step.
        batch: u32,
        /// Samples in the dataset.
        samples: u64,
    },
    /// A policy cannot be met by this image.
    #[error(
        "sample {sample} of {size} px cannot give a {out} px crop with a border of {pad} px: \
         use images of one size and an image_size that fits, or another augmentation"
    )]
    CropDoesNotFit {
        /// Id of the sample.
        sample: u32,
        /// Its size.
        size: Size,
        /// Reflected border.
        pad: u32,
        /// Side of the view.
        out: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::{TaskPolicy, ViewSpec, recipe};
    use crate::episode::{EpisodeSpec, Order, Planner};

    fn spec(batch: u32) -> EpisodeSpec {
        EpisodeSpec {
            seed: 9,
            batch,
            order: Order::Shuffled { seed: 9 },
            views: vec![recipe::ssl_cifar(0.08, 0.5); 3],
            task: TaskPolicy::Upright,
            view: ViewSpec::bicubic(32),
            rank: (0, 1),
        }
    }

    fn meta(_: u32) -> Result<SampleMeta, EpisodeError> {
        Ok(SampleMeta { size: Size::new(40, 30), label: 1 })
    }

    #[test]
    fn rows_of_a_source_show_that_source() {
        for task in [TaskPolicy::Upright, TaskPolicy::Expand] {
            let planner = Planner::new(EpisodeSpec { task, ..spec(8) }, 100).unwrap();
            let plan = planner.plan(3, meta).unwrap();
            let copies = task.classes_per_image() as usize;
            let mut rows = Vec::new();
            for image in 0..plan.images() {
                let own: Vec<_> = plan.rows_of(image).collect();
                assert_eq!(own.len(), 3 * copies);
                assert!(own.iter().all(|&row| plan.views[row].source as usize == image));
                rows.extend(own);
            }
            rows.sort_unstable();
            assert_eq!(rows, (0..plan.layout.rows()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn ranks_plan_parts_of_the_same_batch() {
        for task in [TaskPolicy::Replace { probability: 0.5 }, TaskPolicy::Expand] {
            let whole = EpisodeSpec { task, ..spec(8) };
            let part = |rank| Planner::new(EpisodeSpec { rank: (rank, 4), ..whole.clone() }, 100).unwrap();
            let whole = Planner::new(whole.clone(), 100).unwrap().plan(5, meta).unwrap();
            for rank in 0..4u32 {
                let part = part(rank).plan(5, meta).unwrap();
                assert_eq!((part.images(), part.batch), (2, 8));
                assert_eq!(part.samples, [rank, 7 - rank].map(|image| whole.samples[image as usize]));
                for (row, view) in part.views.iter().enumerate() {
                    let joined = whole.views[part.layout.joined_row(4, rank as usize, row)];
                    assert_eq!(*view, ViewPlan { source: view.source, ..joined });
                    assert_eq!(part.samples[view.source as usize], whole.samples[joined.source as usize]);
                }
            }
        }
    }

    #[test]
    fn ranks_share_out_a_short_batch_as_evenly_as_it_goes() {
        for (batch, samples, step) in [(8, 13, 1), (8, 11, 1), (8, 9, 1), (7, 70, 2)] {
            let whole = EpisodeSpec { order: Order::Sequential, ..spec(batch) };
            let part = |rank| EpisodeSpec { rank, ..whole.clone() };
            let of = |rank| Planner::new(part(rank), samples).unwrap().plan(step, meta).unwrap();
            let parts: Vec<_> = (0..4).map(|rank| of((rank, 4))).collect();
            let counts = parts.iter().map(EpisodePlan::images);
            assert!(counts.clone().max().unwrap() - counts.min().unwrap() <= 1);
            let mut all: Vec<u32> = parts.into_iter().flat_map(|part| part.samples).collect();
            all.sort_unstable();
            assert_eq!(all, of((0, 1)).samples);
        }
    }

    #[test]
    fn a_subset_is_visited_whole_and_keeps_the_views_of_the_whole_set() {
        let subset: std::sync::Arc<[u32]> = [3, 4, 10, 50, 70, 71, 90].into();
        let order = Order::ShuffledToTheEnd { seed: 9 };
        let part = Planner::over(EpisodeSpec { order, ..spec(3) }, subset.clone()).unwrap();
        assert_eq!(part.steps_per_epoch(), 3);
        let mut seen: Vec<u32> = (3..6).flat_map(|step| part.plan(step, meta).unwrap().samples).collect();
        seen.sort_unstable();
        assert_eq!(seen, *subset);

        let whole = Planner::new(EpisodeSpec { order: Order::Sequential, ..spec(100) }, 100).unwrap();
        let (part, whole) = (part.plan(0, meta).unwrap(), whole.plan(0, meta).unwrap());
        for (row, view) in part.views.iter().enumerate() {
            let sample = part.samples[view.source as usize] as usize;
            let same = ViewPlan { source: view.source, ..whole.views[row / 3 * 100 + sample] };
            assert_eq!(*view, same);
        }
        assert!(Planner::over(spec(8), subset).is_err());
    }

    #[test]
    fn turned_classes_turn_all_their_views() {
        let task = TaskPolicy::Replace { probability: 1.0 };
        let plan = Planner::new(EpisodeSpec { task, ..spec(50) }, 100).unwrap().plan(0, meta).unwrap();
        for (row, view) in plan.views.iter().enumerate() {
            assert_eq!(view.quarter_turns(), plan.classes[row % 50].quarter_turns);
        }
        assert!((0..4).all(|turns| plan.classes.iter().any(|class| class.quarter_turns == turns)));
    }

    #[test]
    fn impossible_specs_are_refused() {
        let refuse = |spec, samples| Planner::new(spec, samples).unwrap_err();
        assert!(matches!(refuse(spec(200), 100), EpisodeError::BatchTooLarge { batch: 200, samples: 100 }));
        let uneven = EpisodeSpec { rank: (0, 3), ..spec(8) };
        assert!(matches!(refuse(uneven, 100), EpisodeError::UnevenBatch { batch: 8, world: 3, .. }));
        let padded = EpisodeSpec { views: vec![recipe::padded_crop_and_mirror()], ..spec(8) };
        let tiny = |_| Ok(SampleMeta { size: Size::new(4, 40), label: 0 });
        let error = Planner::new(padded, 100).unwrap().plan(0, tiny).unwrap_err();
        assert!(matches!(error, EpisodeError::CropDoesNotFit { pad: 4, out: 32, .. }));
    }
}
