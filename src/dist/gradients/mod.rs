//! The sum of all ranks' gradients, begun while the backward pass still runs. `bucket`: gradients that travel together.
//!
//! Torch tells when it has finished a parameter's gradient ([`on_gradient`]). The first update only learns the order in which that
//! happens, last layers first; from then on gradients travel in buckets cut along rank 0's order, each begun when its last gradient is there, while
//! the pass goes on with the layers before. Buckets begin in one order on all ranks, since all run the same graph.

mod bucket;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tch::{Device, Tensor};

use self::bucket::{buckets, joined, spread};
use super::autograd::{OnGradient, on_gradient};
use super::{Comm, DistError, Reduce, Work};

/// A bucket's size where none is given, in bytes: 25 MiB, as PyTorch's `DistributedDataParallel`. A network of `n` bytes costs about `n` /
/// bucket operations of `2 n (size - 1) / size` bytes a rank in all.
pub const BUCKET_BYTES: usize = 25 << 20;

/// Sums the gradients of parameters over all ranks, update after update.
#[derive(Debug)]
pub struct Sums {
    comm: Arc<dyn Comm>,
    state: Arc<Mutex<State>>,
    bucket_bytes: usize,
    /// One a parameter; none in a world of one.
    _hooks: Vec<OnGradient>,
}

#[derive(Debug)]
struct State {
    parameters: Vec<(String, Tensor)>,
    /// Whether the pass that runs gives an update its last gradients.
    awaited: bool,
    /// Parameters whose gradients that pass has finished, in order.
    finished: Vec<usize>,
    /// Parameters that travel together, in the order of passes; none before the end of the first update.
    buckets: Vec<Vec<usize>>,
    /// The sums of the first buckets, on their way.
    begun: Vec<(Tensor, Work)>,
}

impl Sums {
    /// Of `parameters`, leaves of the graph, the same on every rank and in one order; a bucket holds at most `bucket_bytes` (a larger gradient
    /// goes alone).
    pub fn over(comm: Arc<dyn Comm>, parameters: Vec<(String, Tensor)>, bucket_bytes: usize) -> Self {
        let leaves: Vec<_> = parameters.iter().map(|(_, tensor)| tensor.shallow_clone()).collect();
        let (finished, buckets, begun) = (Vec::new(), Vec::new(), Vec::new());
        let state = Arc::new(Mutex::new(State { parameters, awaited: false, finished, buckets, begun }));
        let hook = |(index, leaf): (usize, &Tensor)| {
            let (comm, state) = (Arc::clone(&comm), Arc::clone(&state));
            on_gradient(leaf, move || locked(&state).finish(index, comm.as_ref()))
        };
        let _hooks = if comm.world().size() > 1 { leaves.iter().enumerate().map(hook).collect() } else { Vec::new() };
        Self { comm, state, bucket_bytes, _hooks }
    }

    /// The next backward pass gives the last gradients of an update: their sums may begin.
    pub fn expect(&self) {
        locked(&self.state).awaited = true;
    }

    /// Overwrites the gradient of every parameter with its sum over all ranks, after that pass. Parameters without a gradient are left out, and
    /// must be so on every rank.
    ///
    /// # Errors
    /// What [`Comm::all_reduce`] finds, and the failure that stays where an earlier operation failed. Gradients are then of no use.
    pub fn complete(&self) -> Result<(), DistError> {
        if let Some(failure) = self.comm.failure() {
            return Err(failure);
        }
        if self.comm.world().size() == 1 {
            return Ok(());
        }
        let mut state = locked(&self.state);
        state.awaited = false;
        // None is missing where passes finish all gradients that the first did.
        while state.begun.len() < state.buckets.len() {
            state.begin(self.comm.as_ref())?;
        }
        let begun = std::mem::take(&mut state.begun);
        for (bucket, (whole, work)) in state.buckets.iter().zip(begun) {
            self.comm.end(work)?;
            spread(&whole, &state.gradients(bucket));
        }
        let others = (0..state.parameters.len()).filter(|index| !state.buckets.iter().flatten().any(|i| i == index));
        let others: Vec<_> = others.map(|index| state.parameters[index].1.grad()).filter(Tensor::defined).collect();
        for gradients in buckets(others, self.bucket_bytes) {
            let mut whole = joined(&gradients);
            self.comm.all_reduce(&mut whole, Reduce::Sum)?;
            spread(&whole, &gradients);
        }
        let finished = std::mem::take(&mut state.finished);
        if state.buckets.is_empty() {
            state.buckets = self.cut(&state, &finished)?;
        }
        Ok(())
    }

    /// Buckets along the order in which rank 0 has `finished` gradients.
    fn cut(&self, state: &State, finished: &[usize]) -> Result<Vec<Vec<usize>>, DistError> {
        let mut order = vec![-1; state.parameters.len()];
        for (place, &index) in order.iter_mut().zip(finished) {
            *place = index as i64;
        }
        let device = state.parameters.first().map_or(Device::Cpu, |(_, tensor)| tensor.device());
        let mut told = Tensor::from_slice(&order).to_device(device);
        self.comm.broadcast(&mut told, 0)?;
        let order = Vec::<i64>::try_from(told.to_device(Device::Cpu)).expect("a vector of i64");
        let order: Vec<usize> = order.into_iter().filter_map(|index| usize::try_from(index).ok()).collect();
        let mut rest = order.iter().copied();
        let cut = buckets(state.gradients(&order), self.bucket_bytes);
        Ok(cut.iter().map(|bucket| rest.by_ref().take(bucket.len()).collect()).collect())
    }
}

impl State {
    fn gradients(&self, indices: &[usize]) -> Vec<Tensor> {
        indices.iter().map(|&index| self.parameters[index].1.grad()).collect()
    }

    /// Notes that a gradient is there, and begins what was waiting for it.
    fn finish(&mut self, index: usize, comm: &dyn Comm) {
        if !self.awaited {
            return;
        }
        self.finished.push(index);
        let complete = |state: &Self| {
            let next = state.buckets.get(state.begun.len());
            next.is_some_and(|bucket| bucket.iter().all(|index| state.finished.contains(index)))
        };
        // A failure stays with the communicator.
        while complete(self) && self.begin(comm).is_ok() {}
    }

    /// Begins the sum of the next bucket.
    fn begin(&mut self, comm: &dyn Comm) -> Result<(), DistError> {
        let whole = joined(&self.gradients(&self.buckets[self.begun.len()]));
        let work = comm.begin_sum(&whole)?;
        self.begun.push((whole, work));
        Ok(())
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
