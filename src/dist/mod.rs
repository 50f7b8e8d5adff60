//! The seam between one process and several: who holds which classes of a batch.
//!
//! Lives here: [`World`]. Today there is one process, so nothing is gathered or reduced. Not here: threads of the loader.
//!
//! The rule that several processes must keep (published code; Ni et al., ICLR 2022): `--batch_size` counts the whole batch, each process
//! holds an equal share of its classes (`episode::EpisodeSpec::rank`), and every process arrives at the gradient of the loss over the joined rows
//! ([`RowLayout::joined`](crate::episode::RowLayout::joined)).

/// What can be wrong about a set of processes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DistError {
    /// The rank is none of the world's.
    #[error("rank {rank} is not below the number of processes, {size}; ranks count from 0")]
    Rank {
        /// The rank asked for.
        rank: u32,
        /// Processes.
        size: u32,
    },
}

/// This process among all that train together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct World {
    rank: u32,
    size: u32,
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
    pub fn new(rank: u32, size: u32) -> Result<Self, DistError> {
        if rank < size { Ok(Self { rank, size }) } else { Err(DistError::Rank { rank, size }) }
    }

    /// This process's number, `0..size`.
    pub const fn rank(self) -> u32 {
        self.rank
    }

    /// How many processes there are, at least 1.
    pub const fn size(self) -> u32 {
        self.size
    }

    /// Whether this process writes the run folder.
    pub const fn is_first(self) -> bool {
        self.rank == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_count_from_zero() {
        assert_eq!(World::new(0, 1), Ok(World::single()));
        assert_eq!(World::new(2, 2), Err(DistError::Rank { rank: 2, size: 2 }));
    }
}
