//! Everybody's rows in the order of the joined batch, of which this rank's carry gradients.
//!
//! Nothing crosses ranks in the backward pass: every rank computes the whole loss, so it has the slope towards its own rows by itself, and
//! the sum over ranks is taken of the parameters' gradients ([`super::gradients`]). The published code's gather adds up the slopes of all
//! ranks, `size` equal ones, and its mean over ranks divides by `size` again: the same.

use tch::Tensor;

use super::{Comm, DistError};
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
    // [size, views, classes, ..] to [views, size, classes, ..]: row `view * size * classes + rank * classes + class`.
    let split = [&[size, layout.views as i64, layout.classes as i64], &shape[2..]].concat();
    let whole = [&[size * layout.rows() as i64], &shape[2..]].concat();
    Ok(blocks.reshape(split).transpose(0, 1).reshape(whole))
}

/// `rows: [n, ..]` of every rank one rank below the other, `[n * size, ..]`; gradients as in [`joined`]. For rows without views, as the
/// logits and labels of rotation prediction.
///
/// # Errors
/// What [`Comm::all_gather`] finds.
pub fn stacked(comm: &dyn Comm, rows: &Tensor) -> Result<Tensor, DistError> {
    Ok(live(comm, rows)?.flatten(0, 1))
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
