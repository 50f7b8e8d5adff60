//! From a step to its sample ids, by arithmetic alone: no table, no state, any step at any time.

use std::ops::Range;

use super::rows::dealt;
use crate::rng::{Permutation, Purpose, Stream};

/// The order of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// A new permutation each epoch; the last, partial batch is dropped.
    Shuffled {
        /// The run's seed.
        seed: u64,
    },
    /// A new permutation each epoch; the last batch of an epoch may be short.
    ShuffledToTheEnd {
        /// The run's seed.
        seed: u64,
    },
    /// 0, 1, 2, ...; the last batch may be short.
    Sequential,
}

/// Cuts the epochs of a dataset into batches.
#[derive(Clone, Copy, Debug)]
pub struct Sampler {
    samples: u64,
    batch: u64,
    order: Order,
}

/// The samples of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Pass over the data, from 0.
    pub epoch: u32,
    /// How many samples it has over all processes.
    pub batch: usize,
    /// Ids of this process's samples, in the order of the batch.
    pub samples: Vec<u32>,
}

impl Sampler {
    /// Batches of `batch` out of `samples` (at most 2^32), both at least 1; `None` where no batch can be filled.
    pub fn new(samples: u64, batch: u64, order: Order) -> Option<Self> {
        let fits = samples >= batch || !matches!(order, Order::Shuffled { .. });
        ((1..=1 << 32).contains(&samples) && batch >= 1 && fits).then_some(Self { samples, batch, order })
    }

    /// Batches in one epoch.
    pub fn batches_per_epoch(&self) -> u64 {
        match self.order {
            Order::Shuffled { .. } => self.samples / self.batch,
            Order::ShuffledToTheEnd { .. } | Order::Sequential => self.samples.div_ceil(self.batch),
        }
    }

    /// The samples of `step` (0-based, running on over the epochs).
    pub fn step(&self, step: u64) -> Step {
        self.share(step, (0, 1))
    }

    /// Those of them that process `rank` of `world` holds, as [`dealt`], at the cost of that part alone; of a short batch as evenly as it goes,
    /// perhaps none.
    pub fn share(&self, step: u64, (rank, world): (u32, u32)) -> Step {
        let (epoch, held) = self.places(step);
        let (batch, world) = ((held.end - held.start) as usize, world as usize);
        let rounds = batch.div_ceil(world);
        let own = (0..rounds).map(|nth| dealt(rounds, world, rank as usize, nth)).filter(|&place| place < batch);
        let places = own.map(|place| held.start + place as u64);
        let samples = match self.shuffle(epoch) {
            Some(order) => order.at_each(places).into_iter().map(|sample| sample as u32).collect(),
            None => places.map(|place| place as u32).collect(),
        };
        Step { epoch, batch, samples }
    }

    /// A sample that `step` does not hold: `choose` picks one of so many; `None` where it holds all.
    pub fn other(&self, step: u64, choose: impl FnOnce(u64) -> u64) -> Option<u32> {
        let (epoch, held) = self.places(step);
        let others = self.samples - (held.end - held.start);
        let place = (others > 0).then(|| choose(others))?;
        let place = if place < held.start { place } else { place + (held.end - held.start) };
        Some(self.shuffle(epoch).map_or(place, |order| order.at(place)) as u32)
    }

    /// Epoch of `step`, and which places of its order it takes.
    fn places(&self, step: u64) -> (u32, Range<u64>) {
        let (epoch, position) = (step / self.batches_per_epoch(), step % self.batches_per_epoch());
        (epoch as u32, position * self.batch..((position + 1) * self.batch).min(self.samples))
    }

    /// Where the order of `epoch` is not that of the dataset: the sample of each place.
    fn shuffle(&self, epoch: u32) -> Option<Permutation> {
        match self.order {
            Order::Sequential => None,
            Order::Shuffled { seed } | Order::ShuffledToTheEnd { seed } => {
                Some(Permutation::new(self.samples, Stream::new(seed, Purpose::Order).key(), epoch))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch_of(sampler: &Sampler, epoch: u64) -> Vec<u32> {
        let steps = sampler.batches_per_epoch();
        (epoch * steps..(epoch + 1) * steps).flat_map(|s| sampler.step(s).samples).collect()
    }

    #[test]
    fn an_epoch_visits_every_sample_once_but_the_dropped_rest() {
        let sampler = Sampler::new(103, 10, Order::Shuffled { seed: 1 }).unwrap();
        let mut first = epoch_of(&sampler, 0);
        assert_ne!(first, epoch_of(&sampler, 1));
        first.sort_unstable();
        first.dedup();
        assert_eq!(first.len(), 100);
        assert_eq!(sampler.step(10).epoch, 1);
    }

    #[test]
    fn orders_to_the_end_keep_the_short_batch() {
        for order in [Order::Sequential, Order::ShuffledToTheEnd { seed: 1 }] {
            let sampler = Sampler::new(103, 10, order).unwrap();
            let mut all = epoch_of(&sampler, 0);
            all.sort_unstable();
            assert_eq!(all, (0..103).collect::<Vec<_>>());
        }
    }

    #[test]
    fn shares_of_a_batch_are_dealt_evenly() {
        for order in [Order::Shuffled { seed: 1 }, Order::ShuffledToTheEnd { seed: 1 }, Order::Sequential] {
            let sampler = Sampler::new(103, 10, order).unwrap();
            for step in 0..2 * sampler.batches_per_epoch() {
                let whole = sampler.step(step).samples;
                for world in [1, 2, 3, 7, 16] {
                    let shares: Vec<Step> = (0..world).map(|rank| sampler.share(step, (rank, world))).collect();
                    let lengths = || shares.iter().map(|share| share.samples.len());
                    assert!(lengths().max().unwrap() - lengths().min().unwrap() <= 2);
                    assert!(shares.iter().all(|share| share.batch == whole.len()));
                    let rounds = whole.len().div_ceil(world as usize);
                    let mut found = vec![None; rounds * world as usize];
                    for (rank, share) in shares.iter().enumerate() {
                        let places = (0..rounds).map(|nth| dealt(rounds, world as usize, rank, nth));
                        let places = places.filter(|&place| place < whole.len());
                        places.zip(&share.samples).for_each(|(place, &sample)| found[place] = Some(sample));
                    }
                    assert_eq!(found.into_iter().flatten().collect::<Vec<_>>(), whole);
                }
            }
        }
    }

    #[test]
    fn others_are_all_that_a_step_does_not_hold() {
        for order in [Order::Shuffled { seed: 1 }, Order::ShuffledToTheEnd { seed: 1 }, Order::Sequential] {
            let sampler = Sampler::new(23, 5, order).unwrap();
            for step in 0..2 * sampler.batches_per_epoch() {
                let held = sampler.step(step).samples;
                let others = (0..23 - held.len() as u64).map(|pick| sampler.other(step, |_| pick).unwrap());
                let mut all: Vec<u32> = others.chain(held).collect();
                all.sort_unstable();
                assert_eq!(all, (0..23).collect::<Vec<_>>());
            }
        }
        assert_eq!(Sampler::new(5, 5, Order::Sequential).unwrap().other(0, |_| unreachable!()), None);
    }

    #[test]
    fn a_batch_larger_than_the_set_is_refused_only_where_it_must_be_full() {
        assert!(Sampler::new(5, 10, Order::Shuffled { seed: 1 }).is_none());
        assert!(Sampler::new(5, 10, Order::Sequential).is_some());
        assert!(Sampler::new(0, 1, Order::Sequential).is_none());
    }
}
