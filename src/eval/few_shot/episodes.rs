//! Which images make an episode: classes, then images of each, drawn by counters.

use crate::rng::{Permutation, Purpose, Stream};

/// Shape of an episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Classes.
    pub ways: usize,
    /// Support images of each.
    pub shots: usize,
    /// Query images of each.
    pub queries: usize,
}

impl Task {
    /// Images in all.
    pub const fn rows(self) -> usize {
        self.ways * (self.shots + self.queries)
    }
}

/// Why no episode can be drawn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FewShotError {
    /// Too few classes have enough images.
    #[error(
        "an episode needs {ways} classes of {images} images (shots + eval_queries), {found} have so many: \
         lower ways, shots or eval_queries"
    )]
    TooFewClasses {
        /// Classes of an episode.
        ways: usize,
        /// Images of each.
        images: usize,
        /// Classes that have them.
        found: usize,
    },
}

/// The episodes of a labelled set.
#[derive(Clone, Debug)]
pub struct Episodes {
    /// Samples of each class that has enough.
    classes: Vec<Vec<i64>>,
    task: Task,
    stream: Stream,
}

impl Episodes {
    /// Over samples `0..labels.len()` of classes `labels`.
    ///
    /// # Errors
    /// [`FewShotError::TooFewClasses`].
    pub fn new(labels: &[i64], task: Task, seed: u64) -> Result<Self, FewShotError> {
        let mut classes = std::collections::BTreeMap::<i64, Vec<i64>>::new();
        for (sample, label) in labels.iter().enumerate() {
            classes.entry(*label).or_default().push(sample as i64);
        }
        let images = task.shots + task.queries;
        let classes: Vec<_> = classes.into_values().filter(|samples| samples.len() >= images).collect();
        if classes.len() < task.ways {
            return Err(FewShotError::TooFewClasses { ways: task.ways, images, found: classes.len() });
        }
        Ok(Self { classes, task, stream: Stream::new(seed, Purpose::FewShot) })
    }

    /// Samples of episode `index`, view-major: image 0 of each class, then image 1; the first `shots` of each class are its support.
    pub fn samples(&self, index: u64) -> Vec<i64> {
        let Task { ways, shots, queries } = self.task;
        let order = Permutation::new(self.classes.len() as u64, self.stream.key(), index as u32);
        let drawn: Vec<Vec<i64>> = (0..ways)
            .map(|way| {
                let class = order.at(way as u64) as usize;
                let samples = &self.classes[class];
                // A key of its own for each class of each episode.
                let [a, b, ..] = self.stream.draw([index as u32, (index >> 32) as u32, class as u32, 1]).0;
                let order = Permutation::new(samples.len() as u64, [a, b], 0);
                (0..shots + queries).map(|image| samples[order.at(image as u64) as usize]).collect()
            })
            .collect();
        (0..shots + queries).flat_map(|image| drawn.iter().map(move |class| class[image])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: Task = Task { ways: 3, shots: 2, queries: 4 };

    fn labels() -> Vec<i64> {
        // Class 4 has 5 samples, one fewer than an episode needs.
        (0..80).map(|sample| if sample % 16 == 4 { 4 } else { sample % 4 }).collect()
    }

    #[test]
    fn episodes_are_balanced_without_repeats_and_a_function_of_seed_and_index() {
        let labels = labels();
        let episodes = Episodes::new(&labels, TASK, 7).unwrap();
        let mut met = std::collections::BTreeSet::new();
        for index in 0..50 {
            let samples = episodes.samples(index);
            assert_eq!(samples.len(), TASK.rows());
            let classes: Vec<i64> = samples[..3].iter().map(|&sample| labels[sample as usize]).collect();
            for (row, &sample) in samples.iter().enumerate() {
                assert_eq!(labels[sample as usize], classes[row % 3], "row {row}");
            }
            let unique: std::collections::BTreeSet<_> = samples.iter().collect();
            assert_eq!(unique.len(), TASK.rows());
            assert!(!classes.contains(&4) && classes[0] != classes[1] && classes[0] != classes[2]);
            met.extend(samples);
        }
        assert_eq!(met.len(), 75, "every sample of the classes that take part is drawn at some time");
        let again = Episodes::new(&labels, TASK, 7).unwrap();
        assert_eq!(again.samples(9), episodes.samples(9));
        assert_ne!(again.samples(9), again.samples(10));
        assert_ne!(Episodes::new(&labels, TASK, 8).unwrap().samples(9), episodes.samples(9));
    }

    #[test]
    fn too_few_full_classes_are_refused() {
        let error = Episodes::new(&labels(), Task { ways: 5, ..TASK }, 7).unwrap_err();
        assert_eq!(error, FewShotError::TooFewClasses { ways: 5, images: 6, found: 4 });
    }
}
