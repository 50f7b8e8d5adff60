//! The seam between one process and several: who holds which classes of a batch.
//!
//! Lives here: [`World`]. Today there is one process, so nothing is gathered or reduced. Not here: threads of the loader.
//!
//! The rule that several processes must keep (published code; Ni et al., ICLR 2022): `--batch_size` counts the whole batch, each process
//! holds an equal share of its classes, and every process arrives at the gradient of the loss over the joined rows
//! ([`RowLayout::joined`](crate::episode::RowLayout::joined)).

use std::ops::Range;

/// What can be wrong about a set of processes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DistError {
    /// The rank is none of the world's.
    #[error("rank {rank} is not below the number of processes, {size}; ranks count from 0")]
    Rank {
        /// The rank asked for.
        rank: usize,
        /// Processes.
        size: usize,
    },
    /// The batch has no equal shares.
    #[error("batch_size {batch} does not divide by {size} processes; choose a multiple of {size}")]
    Share {
        /// Classes of the whole batch.
        batch: usize,
        /// Processes.
        size: usize,
    },
}

/// This process among all that train together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct World {
    rank: usize,
    size: usize,
}

impl World {
    /// The only process there is.
    pub const fn single() -> Self {
        Self { rank: 0, size: 1 }
    }

    /// Process `rank` of `size`.
    ///
    /// # Errors
    /// [`DistError::Rank`] unless `rank < size`.
    pub fn new(rank: usize, size: usize) -> Result<Self, DistError> {
        if rank < size { Ok(Self { rank, size }) } else { Err(DistError::Rank { rank, size }) }
    }

    /// This process's number, `0..size`.
    pub const fn rank(self) -> usize {
        self.rank
    }

    /// How many processes there are, at least 1.
    pub const fn size(self) -> usize {
        self.size
    }

    /// Whether this process writes the run folder.
    pub const fn is_first(self) -> bool {
        self.rank == 0
    }

    /// The classes of a batch of `batch` that this process holds.
    ///
    /// # Errors
    /// [`DistError::Share`] where `batch` does not divide by the number of processes.
    pub fn share(self, batch: usize) -> Result<Range<usize>, DistError> {
        if !batch.is_multiple_of(self.size) {
            return Err(DistError::Share { batch, size: self.size });
        }
        let share = batch / self.size;
        Ok(self.rank * share..(self.rank + 1) * share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_tile_the_batch() {
        let shares = (0..4).flat_map(|rank| World::new(rank, 4).unwrap().share(12).unwrap());
        assert_eq!(shares.collect::<Vec<_>>(), (0..12).collect::<Vec<_>>());
        assert_eq!(World::single().share(7).unwrap(), 0..7);
    }

    #[test]
    fn refuses_uneven_shares_and_foreign_ranks() {
        let second = World::new(1, 2).unwrap();
        assert_eq!(second.share(7), Err(DistError::Share { batch: 7, size: 2 }));
        assert_eq!(World::new(2, 2), Err(DistError::Rank { rank: 2, size: 2 }));
    }
}
