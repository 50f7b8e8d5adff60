//! The sum of all ranks' gradients, in buckets.

use tch::{Device, Kind, Tensor, no_grad};

use super::{Comm, DistError, Reduce};

/// A bucket's size where none is given, in bytes: 25 MiB, as PyTorch's `DistributedDataParallel`.
pub const BUCKET_BYTES: usize = 25 << 20;

/// Overwrites the gradient of every parameter with its sum over all ranks, to be called between the backward pass and the update; every rank
/// gives the same parameters in the same order. Parameters without a gradient are left out, and must be so on every rank.
///
/// Small gradients travel together, in tensors of at most `bucket_bytes` (one larger gradient goes alone): a network of `n` bytes costs
/// about `n / bucket_bytes` operations of `2 n (size - 1) / size` bytes a rank in all.
///
/// # Errors
/// What [`Comm::all_reduce`] finds, and the failure that stays where an earlier operation failed. Gradients are then of no use.
pub fn sum(comm: &dyn Comm, parameters: &[(String, Tensor)], bucket_bytes: usize) -> Result<(), DistError> {
    if let Some(failure) = comm.failure() {
        return Err(failure);
    }
    if comm.world().size() == 1 {
        return Ok(());
    }
    let gradients: Vec<Tensor> = parameters.iter().map(|(_, tensor)| tensor.grad()).filter(Tensor::defined).collect();
    no_grad(|| buckets(gradients, bucket_bytes).iter().try_for_each(|bucket| summed(comm, bucket)))
}

/// Neighbours of one kind and device, together no larger than `most` bytes where they are several.
fn buckets(gradients: Vec<Tensor>, most: usize) -> Vec<Vec<Tensor>> {
    let mut buckets: Vec<Vec<Tensor>> = Vec::new();
    let (mut room, mut of): (usize, Option<(Kind, Device)>) = (0, None);
    for gradient in gradients {
        let bytes = gradient.numel() * gradient.kind().elt_size_in_bytes();
        let own = Some((gradient.kind(), gradient.device()));
        match buckets.last_mut() {
            Some(bucket) if bytes <= room && own == of => {
                room -= bytes;
                bucket.push(gradient);
            }
            _ => {
                (room, of) = (most.saturating_sub(bytes), own);
                buckets.push(vec![gradient]);
            }
        }
    }
    buckets
}

fn summed(comm: &dyn Comm, bucket: &[Tensor]) -> Result<(), DistError> {
    let flat: Vec<Tensor> = bucket.iter().map(|gradient| gradient.reshape(-1)).collect();
    let mut whole = Tensor::cat(&flat, 0);
    comm.all_reduce(&mut whole, Reduce::Sum)?;
    let mut start = 0;
    for gradient in bucket {
        let length = gradient.numel() as i64;
        let part = whole.narrow(0, start, length).reshape(gradient.size());
        gradient.shallow_clone().copy_(&part);
        start += length;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_neighbours_of_one_kind() {
        let gradient = |n: i64, kind| Tensor::zeros([n], (kind, Device::Cpu));
        let all = vec![
            gradient(2, Kind::Float),
            gradient(2, Kind::Float),
            gradient(1, Kind::Float),
            gradient(9, Kind::Float),
            gradient(1, Kind::Double),
        ];
        let lengths: Vec<Vec<usize>> =
            buckets(all, 16).iter().map(|bucket| bucket.iter().map(Tensor::numel).collect()).collect();
        assert_eq!(lengths, [vec![2, 2], vec![1], vec![9], vec![1]]);
    }
}
