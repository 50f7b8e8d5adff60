//! Threads of one process as ranks: the tests' oracle, without sockets, and exact in the order of ranks.
//!
//! Every operation is one meeting: each rank lays something down, waits for the others, and takes a look at all of it.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tch::Tensor;

use super::{Comm, DistError, Gone, Peer, Reduce, World};

const HERE: &str = "this process";

/// One of several ranks that are threads of this process.
#[derive(Debug)]
pub struct Local {
    world: World,
    hall: Arc<Hall>,
}

#[derive(Debug)]
struct Hall {
    timeout: Duration,
    meeting: Mutex<Meeting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Meeting {
    laid: Vec<Option<(&'static str, Thing)>>,
    /// Ranks that still have to look before the next meeting begins; 0 while things are laid down.
    looking: usize,
    failure: Option<Vec<Peer>>,
}

#[derive(Debug)]
enum Thing {
    Nothing,
    Values(Tensor),
    Bytes(Vec<u8>),
}

impl Thing {
    fn copy(&self) -> Self {
        match self {
            Thing::Nothing => Thing::Nothing,
            Thing::Values(tensor) => Thing::Values(tensor.copy()),
            Thing::Bytes(bytes) => Thing::Bytes(bytes.clone()),
        }
    }
}

impl Local {
    /// The ranks of a world of `size` threads, each to be moved to its own; an operation waits `timeout` for the others.
    ///
    /// # Panics
    /// Where `size` is 0.
    pub fn world_of(size: u32, timeout: Duration) -> Vec<Self> {
        assert!(size > 0, "a world has at least one rank");
        let laid = (0..size).map(|_| None).collect();
        let meeting = Mutex::new(Meeting { laid, ..Meeting::default() });
        let hall = Arc::new(Hall { timeout, meeting, changed: Condvar::new() });
        (0..size).map(|rank| Self { world: World { rank, size }, hall: Arc::clone(&hall) }).collect()
    }

    /// Lays `thing` down and looks at everybody's, by rank.
    fn meet(&self, operation: &'static str, thing: Thing) -> Result<Vec<Thing>, DistError> {
        let Hall { timeout, meeting, changed } = &*self.hall;
        let (rank, size) = (self.world.rank as usize, self.world.size as usize);
        let lost = |lost| DistError::Lost { operation, rank: self.world.rank, lost };
        let mut now = meeting.lock().unwrap_or_else(PoisonError::into_inner);
        // Others may still have to look at the last meeting.
        let blocked = |now: &mut Meeting| now.failure.is_none() && now.looking > 0;
        now = changed.wait_while(now, blocked).unwrap_or_else(PoisonError::into_inner);
        if let Some(peers) = &now.failure {
            return Err(lost(peers.clone()));
        }
        now.laid[rank] = Some((operation, thing));
        if now.laid.iter().all(Option::is_some) {
            now.looking = size;
            changed.notify_all();
        }
        let waiting = |now: &mut Meeting| now.failure.is_none() && now.looking == 0;
        let (mut now, late) =
            changed.wait_timeout_while(now, *timeout, waiting).unwrap_or_else(PoisonError::into_inner);
        if late.timed_out() {
            let absent = (0..).zip(&now.laid).filter(|(_, laid)| laid.is_none());
            now.failure = Some(absent.map(|(rank, _)| Peer { rank, how: Gone::Silent }).collect());
            changed.notify_all();
        }
        if let Some(peers) = &now.failure {
            return Err(lost(peers.clone()));
        }
        let others = now.laid.iter().flatten();
        let all = others.clone().map(|(_, thing)| thing.copy()).collect();
        let other = (0..).zip(others).find(|(_, (name, _))| *name != operation).map(|(rank, (name, _))| (rank, *name));
        now.looking -= 1;
        if now.looking == 0 {
            now.laid.iter_mut().for_each(|laid| *laid = None);
            changed.notify_all();
        }
        match other {
            None => Ok(all),
            Some((rank, name)) => {
                let peers = vec![Peer { rank, how: Gone::Elsewhere { operation: name.to_owned() } }];
                now.failure = Some(peers.clone());
                changed.notify_all();
                Err(lost(peers))
            }
        }
    }

    /// Everybody's tensors, which must have one shape.
    fn tensors(&self, operation: &'static str, tensor: &Tensor) -> Result<Vec<Tensor>, DistError> {
        let all = self.meet(operation, Thing::Values(tensor.detach().copy()))?;
        let all: Vec<_> = all
            .into_iter()
            .filter_map(|thing| if let Thing::Values(tensor) = thing { Some(tensor) } else { None })
            .collect();
        if all.iter().all(|other| other.size() == tensor.size() && other.kind() == tensor.kind()) {
            return Ok(all);
        }
        let shapes: Vec<_> = all.iter().map(|tensor| format!("{:?} of {:?}", tensor.size(), tensor.kind())).collect();
        let reason = format!("tensors differ between ranks: {}", shapes.join(", "));
        Err(DistError::Failed { operation, rank: self.world.rank, address: HERE.to_owned(), reason })
    }
}

/// The sum in the order of ranks.
fn sum(all: &[Tensor]) -> Tensor {
    all.iter().skip(1).fold(all[0].shallow_clone(), |sum, tensor| sum + tensor)
}

impl Comm for Local {
    fn world(&self) -> World {
        self.world
    }

    fn barrier(&self) -> Result<(), DistError> {
        self.meet("barrier", Thing::Nothing).map(drop)
    }

    fn broadcast(&self, tensor: &mut Tensor, root: u32) -> Result<(), DistError> {
        World::new(root, self.world.size)?;
        let all = self.tensors("broadcast", tensor)?;
        tch::no_grad(|| tensor.copy_(&all[root as usize]));
        Ok(())
    }

    fn all_reduce(&self, tensor: &mut Tensor, reduce: Reduce) -> Result<(), DistError> {
        let all = self.tensors("all_reduce", tensor)?;
        let value = match reduce {
            Reduce::Sum => sum(&all),
            Reduce::Mean => sum(&all) / f64::from(self.world.size),
            Reduce::Max => all.iter().skip(1).fold(all[0].shallow_clone(), |most, tensor| most.maximum(tensor)),
        };
        tch::no_grad(|| tensor.copy_(&value));
        Ok(())
    }

    fn all_gather(&self, tensor: &Tensor) -> Result<Tensor, DistError> {
        Ok(Tensor::stack(&self.tensors("all_gather", tensor)?, 0))
    }

    fn reduce_scatter(&self, tensor: &Tensor) -> Result<Tensor, DistError> {
        let all = self.tensors("reduce_scatter", tensor)?;
        Ok(sum(&all.iter().map(|tensor| tensor.select(0, self.world.rank.into())).collect::<Vec<_>>()))
    }

    fn exchange(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, DistError> {
        let all = self.meet("exchange", Thing::Bytes(bytes.to_vec()))?;
        Ok(all.into_iter().map(|thing| if let Thing::Bytes(bytes) = thing { bytes } else { Vec::new() }).collect())
    }

    fn failure(&self) -> Option<DistError> {
        let meeting = self.hall.meeting.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = meeting.failure.clone()?;
        Some(DistError::Lost { operation: "an earlier operation", rank: self.world.rank, lost })
    }

    fn abort(&self, reason: &str) {
        let mut meeting = self.hall.meeting.lock().unwrap_or_else(PoisonError::into_inner);
        let how = Gone::Left { reason: reason.to_owned() };
        meeting.failure.get_or_insert_with(|| vec![Peer { rank: self.world.rank, how }]);
        self.hall.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    /// Runs `rank` on each of `size` threads; what they give, by rank.
    fn on_all<T: Send>(size: u32, timeout: Duration, rank: impl Fn(Local) -> T + Sync) -> Vec<T> {
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                Local::world_of(size, timeout).into_iter().map(|comm| scope.spawn(|| rank(comm))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no rank panics")).collect()
        })
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn many_meetings_in_a_row_do_not_mix() {
        let sums = on_all(4, LONG, |comm| {
            (0..200)
                .map(|round| {
                    let mut value = Tensor::from(f64::from(comm.world().rank() * 1000 + round));
                    comm.all_reduce(&mut value, Reduce::Sum).expect("all are here");
                    value.double_value(&[])
                })
                .collect::<Vec<_>>()
        });
        let want: Vec<_> = (0..200).map(|round| f64::from(6000 + 4 * round)).collect();
        assert!(sums.iter().all(|sums| *sums == want));
    }

    #[test]
    fn who_is_away_is_named() {
        let ends =
            on_all(3, Duration::from_millis(50), |comm| if comm.world().rank() == 1 { Ok(()) } else { comm.barrier() });
        for end in [&ends[0], &ends[2]] {
            assert!(
                matches!(end, Err(DistError::Lost { lost, .. }) if lost[..] == [Peer { rank: 1, how: Gone::Silent }]),
                "{end:?}"
            );
        }
    }

    #[test]
    fn other_operations_and_other_shapes_are_refused() {
        let ends = on_all(2, LONG, |comm| {
            let mut tensor = Tensor::zeros([2 + i64::from(comm.world().rank())], (Kind::Float, Device::Cpu));
            let shapes = comm.all_reduce(&mut tensor, Reduce::Max);
            (shapes, if comm.world().is_first() { comm.barrier() } else { comm.exchange(b"x").map(drop) })
        });
        for (shapes, operations) in ends {
            assert!(matches!(shapes, Err(DistError::Failed { .. })), "{shapes:?}");
            assert!(matches!(operations, Err(DistError::Lost { .. })), "{operations:?}");
        }
    }

    #[test]
    fn an_abort_wakes_the_others_and_stays() {
        let ends = on_all(2, LONG, |comm| {
            if comm.world().rank() == 1 {
                comm.abort("no disk");
            }
            (comm.barrier(), comm.barrier(), comm.failure())
        });
        let of_disk = |error: &DistError| matches!(error, DistError::Lost { lost, .. } if lost[0].rank == 1);
        for (first, second, stays) in ends {
            assert!(first.is_err_and(|e| of_disk(&e)) && second.is_err_and(|e| of_disk(&e)) && stays.is_some());
        }
    }
}
