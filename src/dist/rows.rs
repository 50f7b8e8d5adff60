//! Everybody's rows in the order of the joined batch, of which this rank's carry gradients.
//!
//! Nothing crosses ranks in the backward pass: every rank computes the whole loss, so it has the slope towards its own rows by itself, and
//! the sum over ranks is taken of the parameters' gradients ([`super::gradients`]). The published code's gather adds up the slopes of all
//! ranks, `size` equal ones, and its mean over ranks divides by `size` again: the same.

use tch::Tensor;

use super::{Comm, DistError, Reduce, autograd};
use crate::episode::RowLayout;

/// `rows: [layout.rows(), ..]` of every rank, as `[layout.rows() * size, ..]` in the order of [`RowLayout::joined`]. The values are the
/// same on every rank; gradients reach this rank's `rows` alone.
///
/// # Errors
/// What [`Comm::all_gather`] finds.
///
/// # Panics
/// Where `rows` has not as many rows as `layout`.
pub fn joined(comm: &dyn Comm, rows: &Tensor, layout: RowLayout) -> Result<Tensor, DistError> {
    let size = i64::from(comm.world().size());
    if size == 1 {
        return comm.failure().map_or_else(|| Ok(rows.shallow_clone()), Err);
    }
    let blocks = live(comm, rows)?;
    let shape = blocks.size();
    let images = layout.images() as i64;
    // [size, views * copies, images, ..] to [views * copies, images, size, ..], the later half of the images backwards: see `dealt`.
    let split = [&[size, (layout.views * layout.copies) as i64, images], &shape[2..]].concat();
    let whole = [&[size * layout.rows() as i64], &shape[2..]].concat();
    let rounds = blocks.reshape(split).movedim_int(0, 2);
    let forwards = (images + 1) / 2;
    let backwards = rounds.narrow(1, forwards, images - forwards).flip([2]);
    Ok(Tensor::cat(&[rounds.narrow(1, 0, forwards), backwards], 1).reshape(whole))
}

/// The sum over ranks of `part`, a summand of the loss. The value is the same on every rank; gradients reach this rank's `part` alone.
///
/// # Errors
/// What [`Comm::all_reduce`] finds.
pub fn summed(comm: &dyn Comm, part: &Tensor) -> Result<Tensor, DistError> {
    if comm.world().size() == 1 {
        return comm.failure().map_or_else(|| Ok(part.shallow_clone()), Err);
    }
    let mut whole = part.detach().copy();
    comm.all_reduce(&mut whole, Reduce::Sum)?;
    Ok(autograd::attach(whole, &[part], |slope| vec![Some(slope.shallow_clone())]))
}

/// `[size, n, ..]`: everybody's rows, this rank's with their graph.
fn live(comm: &dyn Comm, rows: &Tensor) -> Result<Tensor, DistError> {
    let blocks = comm.all_gather(&rows.detach())?;
    if !rows.requires_grad() {
        return Ok(blocks);
    }
    let (rank, size) = (i64::from(comm.world().rank()), i64::from(comm.world().size()));
    let own = rows.unsqueeze(0);
    Ok(Tensor::cat(&[blocks.narrow(0, 0, rank), own, blocks.narrow(0, rank + 1, size - rank - 1)], 0))
}
