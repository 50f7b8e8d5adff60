//! Processes, on one machine or several, over torch's own process groups: Gloo for tensors on the CPU, NCCL on NVIDIA GPUs.
//!
//! - [`C10d::join`]: meets the other ranks at a key-value store that rank 0 serves, and connects to each of them.
//! - `watch`: signs of life through the store, which name the rank that is gone. `ffi`, `shim.cpp`: libtorch's c10d.
//!   `stubs`: the few declarations of Gloo that torch's headers need and its wheel lacks.
//!
//! Gloo lies in libtorch_cpu.so, NCCL in libtorch_cuda.so, which [`device::interop::open_cuda`](crate::device::interop::open_cuda) opens
//! where there is a GPU; no header or library of CUDA's is needed to build. Who starts the processes and tells them their ranks is no matter
//! of this module.
//!
//! **Time.** With Gloo, an operation that the others do not join fails after the timeout, and at once where a connection breaks; the error
//! then names the rank, four periods later (a period is a twentieth of the timeout, at most 1 s), or sixteen where the store is gone too.
//! With NCCL, operations are queued and the host goes on; rank 0 looks at all ranks once a timeout, and where one was silent for so long,
//! every rank's group is aborted and its next operation fails.

#![allow(unsafe_code)]

mod ffi;
mod watch;

use std::net::UdpSocket;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tch::{Device, Tensor, no_grad};

use super::{Comm, DistError, Gone, Peer, Reduce, Work, World};
pub(super) use ffi::Running;
use ffi::{Group, Refusal, Store};
use watch::Watch;

/// What carries tensors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// TCP, tensors on the CPU.
    #[default]
    Gloo,
    /// NCCL, tensors on the rank's GPU.
    Nccl,
}

/// Where ranks meet, and as what this process comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// Name or address of rank 0's machine.
    pub host: String,
    /// TCP port of the store there.
    pub port: u16,
    /// This process among all.
    pub world: World,
    /// How long to wait for the others: at the start, and in each operation.
    pub timeout: Duration,
    /// What carries tensors.
    pub backend: Backend,
    /// Where this rank's tensors live: the CPU with Gloo, a GPU with NCCL.
    pub device: Device,
    /// Network interface that Gloo listens at; unset: the one that leads to the store.
    pub interface: Option<String>,
}

/// How long rank 0 keeps the store for the others where a rank is absent.
const LINGER: Duration = Duration::from_secs(5);

impl Meeting {
    /// `HOST:PORT`.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// This process among others.
#[derive(Debug)]
pub struct C10d {
    meeting: Meeting,
    state: Mutex<State>,
    watch: Watch,
    /// Not of use after a failure, but where rank 0's lives, the server lives.
    store: Mutex<Store>,
}

#[derive(Debug)]
struct State {
    /// Gone after a failure, so that connections break and nobody waits for this rank.
    group: Option<Arc<Group>>,
    failure: Option<DistError>,
    exchanges: u64,
}

impl C10d {
    /// Meets the other ranks; every rank of the world calls it, in any order.
    ///
    /// # Errors
    /// [`DistError::Store`] where the store cannot be opened or reached, [`DistError::Absent`] naming the ranks that did not come,
    /// [`DistError::Taken`] where two processes come as one rank, [`DistError::Differs`] where ranks were told different numbers of
    /// processes, [`DistError::Backend`] where device and backend do not fit or the backend cannot be had.
    pub fn join(meeting: Meeting) -> Result<Self, DistError> {
        fits(&meeting)?;
        let Meeting { host, port, world, timeout, .. } = &meeting;
        let failed = |reason| DistError::Store { rank: world.rank(), address: meeting.address(), reason };
        let store = Store::open(host, *port, world.is_first(), *timeout).map_err(failed)?;
        if store.count(&format!("taken/{}", world.rank())).map_err(failed)? > 1 {
            return Err(DistError::Taken { rank: world.rank(), address: meeting.address() });
        }
        let watch = store.another().and_then(|store| Watch::start(store, *world, *timeout)).map_err(failed)?;
        let group = gather(&meeting, &store).and_then(|()| match connect(&meeting, &store) {
            Err(error @ DistError::Failed { .. }) => Err(explained(&watch, *world, "connect", error)),
            connected => connected,
        });
        // Rank 0 keeps the store open until the others have their answer too.
        let group = group.inspect_err(|error| watch.leave(&error.to_string()))?;
        watch.guard(&group);
        let state = State { group: Some(group), failure: None, exchanges: 0 };
        Ok(Self { meeting, state: Mutex::new(state), watch, store: Mutex::new(store) })
    }

    /// Where this rank's tensors live.
    pub fn device(&self) -> Device {
        self.meeting.device
    }

    /// Runs an operation of all ranks.
    fn run<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Group, &mut State) -> Result<T, Refusal>,
    ) -> Result<T, DistError> {
        let mut state = locked(&self.state);
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let rank = self.meeting.world.rank();
        let known = self.watch.verdict().map(|lost| DistError::Lost { operation, rank, lost });
        let error = match (known, state.group.clone()) {
            (Some(error), _) => error,
            (None, None) => self.failed(operation, "the process group is closed".to_owned()),
            (None, Some(group)) => {
                self.watch.enter(operation);
                match work(&group, &mut state) {
                    Ok(value) => return Ok(value),
                    Err(reason) => {
                        explained(&self.watch, self.meeting.world, operation, self.failed(operation, reason))
                    }
                }
            }
        };
        Err(close(&mut state, error))
    }

    fn failed(&self, operation: &'static str, reason: Refusal) -> DistError {
        DistError::Failed { operation, rank: self.meeting.world.rank(), address: self.meeting.address(), reason }
    }

    fn size(&self) -> i64 {
        self.meeting.world.size().into()
    }
}

impl Comm for C10d {
    fn world(&self) -> World {
        self.meeting.world
    }

    fn barrier(&self) -> Result<(), DistError> {
        let cuda = if let Device::Cuda(ordinal) = self.meeting.device { Some(ordinal) } else { None };
        self.run("barrier", |group, _| group.barrier(cuda))
    }

    fn broadcast(&self, tensor: &mut Tensor, root: u32) -> Result<(), DistError> {
        World::new(root, self.meeting.world.size())?;
        self.run("broadcast", |group, _| in_place(tensor, |dense| group.broadcast(dense, root)))
    }

    fn all_reduce(&self, tensor: &mut Tensor, reduce: Reduce) -> Result<(), DistError> {
        self.run("all_reduce", |group, _| in_place(tensor, |dense| group.all_reduce(dense, reduce == Reduce::Max)))?;
        if reduce == Reduce::Mean {
            no_grad(|| drop(tensor.g_div_scalar_(self.size())));
        }
        Ok(())
    }

    fn begin_sum(&self, tensor: &Tensor) -> Result<Work, DistError> {
        self.run("all_reduce", |group, _| group.begin_sum(tensor)).map(|running| Work(Some(running)))
    }

    fn end(&self, work: Work) -> Result<(), DistError> {
        let Some(Err(reason)) = work.0.map(|running| running.wait()) else { return Ok(()) };
        let mut state = locked(&self.state);
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let error = self.failed("all_reduce", reason);
        Err(close(&mut state, explained(&self.watch, self.meeting.world, "all_reduce", error)))
    }

    fn all_gather(&self, tensor: &Tensor) -> Result<Tensor, DistError> {
        let mut own = tensor.detach().contiguous();
        let mut all = own.new_empty([&[self.size()], &own.size()[..]].concat(), (own.kind(), own.device()));
        self.run("all_gather", |group, _| group.all_gather(&mut all, &mut own))?;
        Ok(all)
    }

    fn reduce_scatter(&self, tensor: &Tensor) -> Result<Tensor, DistError> {
        let mut all = tensor.detach().contiguous();
        let mut own = all.new_empty(&all.size()[1..], (all.kind(), all.device()));
        self.run("reduce_scatter", |group, _| group.reduce_scatter(&mut own, &mut all))?;
        Ok(own)
    }

    fn exchange(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, DistError> {
        let Meeting { world, timeout, .. } = self.meeting;
        self.run("exchange", |_, state| {
            let store = locked(&self.store);
            state.exchanges += 1;
            let key = |rank| format!("exchange/{}/{rank}", state.exchanges);
            store.set(&key(world.rank()), bytes)?;
            (0..world.size()).map(|rank| store.get(&key(rank), timeout)).collect()
        })
    }

    fn failure(&self) -> Option<DistError> {
        locked(&self.state).failure.clone()
    }

    fn abort(&self, reason: &str) {
        let mut state = locked(&self.state);
        if state.failure.is_none() {
            let rank = self.meeting.world.rank();
            let how = Gone::Left { reason: reason.to_owned() };
            close(&mut state, DistError::Lost { operation: "abort", rank, lost: vec![Peer { rank, how }] });
            self.watch.say(reason);
        }
    }
}

impl Drop for C10d {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.group = None;
        self.watch.leave(&state.failure.as_ref().map_or_else(String::new, DistError::to_string));
    }
}

/// Refuses a device that the backend cannot serve.
fn fits(meeting: &Meeting) -> Result<(), DistError> {
    let refused = |backend, reason: &str| Err(DistError::Backend { backend, reason: reason.to_owned() });
    match (&meeting.backend, meeting.device) {
        (Backend::Gloo, Device::Cpu) | (Backend::Nccl, Device::Cuda(_)) => Ok(()),
        (Backend::Gloo, _) => refused("gloo", "carries tensors on the CPU alone; take nccl for a GPU"),
        (Backend::Nccl, _) => refused("nccl", "carries tensors on NVIDIA GPUs alone; take gloo for the CPU"),
    }
}

/// Waits until all ranks have come to the store, and holds their worlds to one size.
fn gather(meeting: &Meeting, store: &Store) -> Result<(), DistError> {
    let Meeting { world, timeout, .. } = meeting;
    let failed = |reason| DistError::Store { rank: world.rank(), address: meeting.address(), reason };
    let key = |rank| format!("here/{rank}");
    store.set(&key(world.rank()), world.size().to_string().as_bytes()).map_err(failed)?;
    let mut others = Vec::new();
    let mut first = Vec::new();
    for rank in 0..world.size() {
        let Ok(size) = store.get(&key(rank), *timeout) else {
            let missing = (0..world.size()).map(|rank| Ok((rank, store.has(&key(rank))?)));
            let missing: Vec<_> = missing.collect::<Result<_, Refusal>>().map_err(failed)?;
            let missing: Vec<u32> = missing.into_iter().filter(|(_, here)| !here).map(|(rank, _)| rank).collect();
            let told = |rank: u32| format!("told/{rank}");
            store.set(&told(world.rank()), b"").map_err(failed)?;
            if world.is_first() {
                // The store goes with this process: those who are here find out first who is not.
                for rank in (1..world.size()).filter(|rank| !missing.contains(rank)) {
                    let _ = store.get(&told(rank), LINGER);
                }
            }
            return Err(DistError::Absent { operation: "join", address: meeting.address(), missing });
        };
        if rank == 0 {
            first = size;
        } else if size != first {
            others.push(rank);
        }
    }
    if others.is_empty() {
        Ok(())
    } else {
        Err(DistError::Differs { what: "the number of processes".to_owned(), others })
    }
}

fn connect(meeting: &Meeting, store: &Store) -> Result<Arc<Group>, DistError> {
    let Meeting { host, port, world, timeout, interface, .. } = meeting;
    let (rank, size) = (world.rank(), world.size());
    match meeting.backend {
        Backend::Gloo => {
            let address = own_address(host, *port);
            Group::gloo(store, rank, size, *timeout, interface.as_deref(), &address)
                .map(Arc::new)
                .map_err(|reason| DistError::Failed { operation: "connect", rank, address: meeting.address(), reason })
        }
        // Its own watchdog ends the process where an operation takes too long, without naming a rank: `watch` comes first.
        Backend::Nccl => Group::nccl(store, rank, size, *timeout * 3)
            .map(Arc::new)
            .map_err(|reason| DistError::Backend { backend: "nccl", reason }),
    }
}

/// This machine's address on the way to the store; `host` itself where there is no way, so that torch says what is wrong.
fn own_address(host: &str, port: u16) -> String {
    // Connecting a datagram socket sends nothing: the system only looks up the way.
    let towards = |any: &str| {
        let socket = UdpSocket::bind(any)?;
        socket.connect((host, port))?;
        socket.local_addr()
    };
    let found = towards("0.0.0.0:0").or_else(|_| towards("[::]:0"));
    found.map_or_else(|_| host.to_owned(), |address| address.ip().to_string())
}

/// `error`, or who is gone.
fn explained(watch: &Watch, world: World, operation: &'static str, error: DistError) -> DistError {
    let lost = watch.diagnose();
    if lost.is_empty() { error } else { DistError::Lost { operation, rank: world.rank(), lost } }
}

/// Lets go of the group for good; nobody waits for this rank any longer.
fn close(state: &mut State, error: DistError) -> DistError {
    if let Some(group) = state.group.take() {
        let _ = group.abort();
    }
    state.failure.get_or_insert_with(|| error.clone());
    error
}

/// Runs `work` on `tensor`, or on a dense copy that is written back.
fn in_place(tensor: &mut Tensor, work: impl FnOnce(&mut Tensor) -> Result<(), Refusal>) -> Result<(), Refusal> {
    let mut values = tensor.detach();
    if values.is_contiguous() {
        return work(&mut values);
    }
    let mut dense = values.contiguous();
    work(&mut dense)?;
    values.copy_(&dense);
    Ok(())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_the_backend_cannot_serve_is_refused() {
        let meeting = Meeting {
            host: "127.0.0.1".to_owned(),
            port: 1,
            world: World::single(),
            timeout: Duration::from_secs(1),
            backend: Backend::Nccl,
            device: Device::Cpu,
            interface: None,
        };
        let refused = |meeting| C10d::join(meeting).map(drop);
        assert!(matches!(refused(meeting.clone()), Err(DistError::Backend { backend: "nccl", .. })));
        let gloo = Meeting { backend: Backend::Gloo, device: Device::Cuda(0), ..meeting };
        assert!(matches!(refused(gloo), Err(DistError::Backend { backend: "gloo", .. })));
    }

    #[test]
    fn the_way_to_this_machine_is_the_loopback() {
        assert_eq!(own_address("127.0.0.1", 9), "127.0.0.1");
    }
}
