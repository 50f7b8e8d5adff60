//! What each rank found by itself, together: rows in the order of ranks, sums of a few numbers. No gradients.

use tch::{Device, Tensor, no_grad};

use super::{Comm, DistError, Reduce};

/// `rows: [n, ..]` of every rank, one rank's below the other's, `[sum of n, ..]`; `n` may differ and be 0.
///
/// # Errors
/// What [`Comm::all_gather`] and [`Comm::broadcast`] find.
pub fn rows(comm: &dyn Comm, rows: &Tensor) -> Result<Tensor, DistError> {
    if comm.world().size() == 1 {
        return comm.failure().map_or_else(|| Ok(rows.detach()), Err);
    }
    let count = Tensor::from(rows.size()[0]).to_device(rows.device());
    let counts = Vec::<i64>::try_from(comm.all_gather(&count)?).expect("a vector of i64");
    let shape = [&[counts.iter().sum::<i64>()], &rows.size()[1..]].concat();
    let whole = rows.new_empty(shape, (rows.kind(), rows.device()));
    let mut start = 0;
    for (root, &count) in (0..).zip(&counts) {
        let mut part = whole.narrow(0, start, count);
        if root == comm.world().rank() {
            no_grad(|| part.copy_(rows));
        }
        if count > 0 {
            comm.broadcast(&mut part, root)?;
        }
        start += count;
    }
    Ok(whole)
}

/// The sums over ranks of each of `numbers`, by way of `device`, where this rank's tensors live.
///
/// # Errors
/// What [`Comm::all_reduce`] finds.
pub fn sums<const N: usize>(comm: &dyn Comm, device: Device, numbers: [f64; N]) -> Result<[f64; N], DistError> {
    let mut sums = Tensor::from_slice(&numbers).to_device(device);
    comm.all_reduce(&mut sums, Reduce::Sum)?;
    let sums = Vec::<f64>::try_from(sums.to_device(Device::Cpu)).expect("a vector of f64");
    Ok(std::array::from_fn(|index| sums[index]))
}
