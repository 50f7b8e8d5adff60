//! Every operation against what it says, with values that tell ranks apart.

use std::sync::Arc;

use metacl::dist::agree::agree;
use metacl::dist::{Comm, DistError, Reduce, rows};
use metacl::episode::RowLayout;
use tch::{Device, Kind, Tensor};

pub(crate) fn all(comm: Arc<dyn Comm>) {
    let comm = comm.as_ref();
    comm.barrier().unwrap();
    for kind in [Kind::Float, Kind::Double, Kind::Int64] {
        reductions(comm, kind);
        moves(comm, kind);
    }
    halves(comm);
    bytes(comm);
    joined_rows(comm);
    assert_eq!(comm.failure(), None);
    comm.barrier().unwrap();
}

/// `[rank * 100, rank * 100 + 1, ..]`, `[2, 3]`.
fn own(comm: &dyn Comm, kind: Kind) -> Tensor {
    of(i64::from(comm.world().rank()), kind)
}

fn of(rank: i64, kind: Kind) -> Tensor {
    (Tensor::arange(6, (Kind::Int64, Device::Cpu)) + rank * 100).reshape([2, 3]).to_kind(kind)
}

fn size(comm: &dyn Comm) -> i64 {
    comm.world().size().into()
}

fn sum(comm: &dyn Comm, kind: Kind) -> Tensor {
    (0..size(comm)).map(|rank| of(rank, kind)).reduce(|a, b| a + b).unwrap()
}

fn reductions(comm: &dyn Comm, kind: Kind) {
    let mut tensor = own(comm, kind);
    comm.all_reduce(&mut tensor, Reduce::Sum).unwrap();
    assert_eq!(tensor, sum(comm, kind));
    let mut tensor = own(comm, kind);
    comm.all_reduce(&mut tensor, Reduce::Max).unwrap();
    assert_eq!(tensor, of(size(comm) - 1, kind));
    if kind != Kind::Int64 {
        let mut tensor = own(comm, kind);
        comm.all_reduce(&mut tensor, Reduce::Mean).unwrap();
        assert_eq!(tensor, sum(comm, kind) / size(comm));
    }
    // In place, also where the values do not lie one after the other.
    let whole = Tensor::cat(&[own(comm, kind), own(comm, kind)], 0);
    let mut column = whole.narrow(1, 1, 1);
    comm.all_reduce(&mut column, Reduce::Sum).unwrap();
    let want = sum(comm, kind).narrow(1, 1, 1);
    assert_eq!(whole.narrow(1, 1, 1), Tensor::cat(&[&want, &want], 0));
    assert_eq!(whole.narrow(1, 0, 1).narrow(0, 0, 2), own(comm, kind).narrow(1, 0, 1));
}

fn moves(comm: &dyn Comm, kind: Kind) {
    for root in 0..comm.world().size() {
        let mut tensor = own(comm, kind);
        comm.broadcast(&mut tensor, root).unwrap();
        assert_eq!(tensor, of(root.into(), kind));
    }
    let outside = comm.broadcast(&mut own(comm, kind), comm.world().size());
    assert!(matches!(outside, Err(DistError::Rank { .. })));
    let every: Vec<_> = (0..size(comm)).map(|rank| of(rank, kind)).collect();
    assert_eq!(comm.all_gather(&own(comm, kind)).unwrap(), Tensor::stack(&every, 0));
    assert_eq!(comm.all_gather(&own(comm, kind).tr()).unwrap(), Tensor::stack(&every, 0).transpose(1, 2));

    // Block r of rank q is of(q) + 1000 r.
    let blocks: Vec<_> = (0..size(comm)).map(|block| own(comm, kind) + block * 1000).collect();
    let scattered = comm.reduce_scatter(&Tensor::stack(&blocks, 0)).unwrap();
    let rank = i64::from(comm.world().rank());
    assert_eq!(scattered, sum(comm, kind) + rank * 1000 * size(comm));
}

/// The kinds of reduced precision.
fn halves(comm: &dyn Comm) {
    for kind in [Kind::Half, Kind::BFloat16] {
        let mut tensor = Tensor::ones([5], (kind, Device::Cpu));
        comm.all_reduce(&mut tensor, Reduce::Sum).unwrap();
        assert_eq!(tensor, Tensor::full([5], size(comm), (kind, Device::Cpu)));
    }
}

fn bytes(comm: &dyn Comm) {
    let rank = comm.world().rank() as usize;
    for _ in 0..3 {
        let all = comm.exchange(&vec![rank as u8; rank]).unwrap();
        assert_eq!(all, (0..size(comm) as usize).map(|rank| vec![rank as u8; rank]).collect::<Vec<_>>());
    }
    let facts = |data: String| [("config", "abc".to_owned()), ("data", data), ("code", "1".to_owned())];
    assert_eq!(agree(comm, &facts("same".to_owned())), Ok(()));
    // Every rank, also those in the majority, gets the same answer.
    let told = agree(comm, &facts(format!("{}", rank.min(1))));
    let others: Vec<u32> = (1..comm.world().size()).collect();
    let refused = Err(DistError::Differs { what: "data".to_owned(), others: others.clone() });
    assert_eq!(told, if others.is_empty() { Ok(()) } else { refused });
    let fewer = &facts("same".to_owned())[..if rank == 0 { 3 } else { 2 }];
    let refused = Err(DistError::Differs { what: "code".to_owned(), others: others.clone() });
    assert_eq!(agree(comm, fewer), if others.is_empty() { Ok(()) } else { refused });
}

fn joined_rows(comm: &dyn Comm) {
    let (rank, size) = (comm.world().rank() as usize, comm.world().size() as usize);
    let layout = RowLayout::new(3, 2);
    let value = |rank: usize, row: usize| (rank * 10 + row) as f64;
    let own: Vec<f64> = (0..layout.rows()).map(|row| value(rank, row)).collect();
    let mut own = Tensor::from_slice(&own).unsqueeze(1).set_requires_grad(true);
    let all = rows::joined(comm, &own, layout).unwrap();
    let values = Vec::<f64>::try_from(all.detach().flatten(0, -1)).unwrap();
    for (from, row) in (0..size).flat_map(|rank| (0..layout.rows()).map(move |row| (rank, row))) {
        assert_eq!(values[layout.joined_row(size, from, row)], value(from, row));
    }
    // The slope of sum(k * row k) towards this rank's rows is where they stand.
    let weights = Tensor::arange(all.size()[0], (Kind::Double, Device::Cpu)).unsqueeze(1);
    (&all * weights).sum(Kind::Double).backward();
    let slopes = Vec::<f64>::try_from(own.grad().flatten(0, -1)).unwrap();
    let places: Vec<f64> = (0..layout.rows()).map(|row| layout.joined_row(size, rank, row) as f64).collect();
    assert_eq!(slopes, places);

    // The sum of everybody's rows, in which gradients reach this rank's.
    own.zero_grad();
    let sum = rows::summed(comm, &own).unwrap();
    let want: Vec<f64> = (0..layout.rows()).map(|row| (0..size).map(|rank| value(rank, row)).sum()).collect();
    assert_eq!(Vec::<f64>::try_from(sum.detach().flatten(0, -1)).unwrap(), want);
    (sum * 3.0).sum(Kind::Double).backward();
    assert_eq!(own.grad(), Tensor::full([layout.rows() as i64, 1], 3.0, (Kind::Double, Device::Cpu)));
}
