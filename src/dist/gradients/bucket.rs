//! Gradients that travel together, in one tensor.

use tch::{Device, Kind, Tensor, no_grad};

/// Neighbours of one kind and device, together no larger than `most` bytes where they are several.
pub(super) fn buckets(gradients: Vec<Tensor>, most: usize) -> Vec<Vec<Tensor>> {
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

/// The values of `gradients`, one after the other.
pub(super) fn joined(gradients: &[Tensor]) -> Tensor {
    let flat: Vec<Tensor> = gradients.iter().map(|gradient| gradient.reshape(-1)).collect();
    no_grad(|| Tensor::cat(&flat, 0))
}

/// Overwrites `gradients` with the values of `whole`, as [`joined`] has laid them.
pub(super) fn spread(whole: &Tensor, gradients: &[Tensor]) {
    let mut start = 0;
    for gradient in gradients {
        let length = gradient.numel() as i64;
        let part = whole.narrow(0, start, length).reshape(gradient.size());
        no_grad(|| gradient.shallow_clone().copy_(&part));
        start += length;
    }
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
