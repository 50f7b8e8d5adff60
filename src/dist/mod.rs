//! The seam between one process and several: who holds which classes of a batch, and how tensors cross.
//!
//! - [`World`], [`Comm`]: this process among all, and what they do together. [`DistError`]: what goes wrong, naming ranks.
//! - [`single`]: one process. [`local`]: threads of one process, the tests' oracle. [`c10d`]: processes over torch's Gloo or NCCL.
//! - [`rows`]: everybody's embeddings in the order of the joined batch. [`gradients`]: their sum. [`gather`]: what each rank found, together.
//!   [`agree`]: whether all run the same.
//! - [`launch`]: what a launcher tells a process. [`autograd`]: a step of the backward pass written in Rust. Synchronised batch norm is `nn::norm`'s.
//!
//! Not here: threads of the loader, starting processes.
//!
//! The rule (published code; Ni et al., ICLR 2022): `--batch_size` counts the whole batch, each process holds an equal share of its classes
//! (`episode::EpisodeSpec::rank`), and every process arrives at the gradient of the loss over the joined rows
//! ([`RowLayout::joined`](crate::episode::RowLayout::joined)). How:
//!
//! ```text
//! z of this rank ──► rows::joined ──► head over ALL rows, of which only this rank's carry gradients ──► the loss, equal on every rank
//! backward ──► each rank has its rows' part of the parameters' gradients (batch norm adds what crossed ranks)
//! gradients::Sums ──► the gradients of the joined batch: a SUM over ranks, never a mean
//! ```

pub mod agree;
pub mod autograd;
pub mod c10d;
mod error;
pub mod gather;
pub mod gradients;
pub mod launch;
pub mod local;
pub mod rows;
pub mod single;

use std::fmt;
use std::ops::Range;

use tch::Tensor;

pub use c10d::C10d;
pub use error::{DistError, Gone, Peer};
pub use local::Local;
pub use single::Single;

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

    /// This process's stretch of `0..count`, which is cut as evenly as it goes, in the order of ranks; perhaps empty.
    pub fn stretch(self, count: u64) -> Range<u64> {
        let bound = |rank: u32| (u128::from(count) * u128::from(rank) / u128::from(self.size)) as u64;
        bound(self.rank)..bound(self.rank + 1)
    }
}

/// What [`Comm::all_reduce`] makes of the ranks' values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduce {
    /// Their sum.
    Sum,
    /// Their sum divided by the number of ranks; floats only.
    Mean,
    /// The largest.
    Max,
}

/// An operation on its way; none where it ended at once.
#[derive(Debug)]
pub struct Work(Option<c10d::Running>);

/// What ranks do together. All ranks call the same operations in the same order, with tensors of equal shape and kind on their own device;
/// an operation returns once its result may be used (on a GPU: by what is queued on torch's current stream).
///
/// **The first failure stays.** A communicator that failed once gives that error at every later call, so a caller that cannot hand an
/// error on (batch norm within a forward or backward pass) goes on with its own values, and the next call that can, at the latest
/// [`gradients::Sums::complete`] before the update, ends the run. Nothing here tracks gradients but [`rows`].
pub trait Comm: fmt::Debug + Send + Sync {
    /// This rank, and how many there are.
    fn world(&self) -> World;

    /// Waits until every rank is here.
    ///
    /// # Errors
    /// [`DistError::Lost`] or [`DistError::Failed`], as for every operation: a rank is gone, did not come in time, or came with something
    /// else.
    fn barrier(&self) -> Result<(), DistError>;

    /// Overwrites `tensor` with rank `root`'s.
    ///
    /// # Errors
    /// As [`barrier`](Self::barrier).
    fn broadcast(&self, tensor: &mut Tensor, root: u32) -> Result<(), DistError>;

    /// Overwrites `tensor` with what `reduce` makes of all ranks', the same bits on every rank.
    ///
    /// # Errors
    /// As [`barrier`](Self::barrier).
    fn all_reduce(&self, tensor: &mut Tensor, reduce: Reduce) -> Result<(), DistError>;

    /// Begins to overwrite `tensor`, which is dense, with the sum of all ranks'; it is not to be used before [`end`](Self::end). Operations that
    /// are on their way together begin in one order on all ranks.
    ///
    /// # Errors
    /// As [`barrier`](Self::barrier).
    fn begin_sum(&self, tensor: &Tensor) -> Result<Work, DistError> {
        self.all_reduce(&mut tensor.shallow_clone(), Reduce::Sum)?;
        Ok(Work(None))
    }

    /// Waits for the end of what has begun.
    ///
    /// # Errors
    /// As [`barrier`](Self::barrier).
    fn end(&self, _work: Work) -> Result<(), DistError> {
        Ok(())
    }

    /// All ranks' `tensor`, by rank: `[size, ..]`.
    ///
    /// # Errors
    /// As [`barrier`](Self::barrier).
    fn all_gather(&self, tensor: &Tensor) -> Result<Tensor, DistError>;

    /// The sum over ranks of block `rank` of `tensor`, `[size, ..]`: `[..]`.
    ///
    /// # Errors
    /// As [`barrier`](Self::barrier).
    fn reduce_scatter(&self, tensor: &Tensor) -> Result<Tensor, DistError>;

    /// Every rank's bytes, by rank; of any length, over the host. For little: a digest, a name.
    ///
    /// # Errors
    /// As [`barrier`](Self::barrier).
    fn exchange(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, DistError>;

    /// The failure that stays, if there was one.
    fn failure(&self) -> Option<DistError>;

    /// Takes this rank out for `reason`, which the others' errors then name; every later call fails.
    fn abort(&self, reason: &str);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_count_from_zero() {
        assert_eq!(World::new(0, 1), Ok(World::single()));
        assert_eq!(World::new(2, 2), Err(DistError::Rank { rank: 2, size: 2 }));
    }

    #[test]
    fn stretches_follow_each_other_and_differ_by_one_at_most() {
        for (size, count) in [(1, 5), (3, 10), (4, 3), (4, 0), (7, u64::MAX)] {
            let mut end = 0;
            for rank in 0..size {
                let stretch = World::new(rank, size).unwrap().stretch(count);
                assert_eq!(stretch.start, end);
                end = stretch.end;
                assert!((end - stretch.start).abs_diff(count / u64::from(size)) <= 1);
            }
            assert_eq!(end, count);
        }
    }
}
