//! Queueing work on a fake device, and running it in one of the orders that a real device could choose.

use super::{Function, State};
use crate::gpu::fake::Mode;
use crate::gpu::fake::calls::Operation;
use crate::gpu::fake::queue::{Queued, Queues, Ticket, Work};
use crate::gpu::{GpuError, Misuse, RawStream};

impl State {
    /// Queues work on a living stream, and runs what the mode runs at once.
    pub(in crate::gpu::fake) fn push(
        &mut self,
        stream: RawStream,
        work: Work,
        held: Vec<usize>,
    ) -> Result<(), GpuError> {
        held.iter().for_each(|&start| self.memory.hold(start));
        self.queues.push(stream.0, Queued { work, held });
        match self.mode {
            Mode::Lazy => Ok(()),
            Mode::Random(_) => {
                self.run_some();
                Ok(())
            }
            Mode::Eager => self.drain(),
        }
    }

    /// Whether a recording has passed; see [`Mode`] for what else a query does.
    pub(in crate::gpu::fake) fn query(&mut self, ticket: Ticket) -> Result<bool, GpuError> {
        if self.queues.has_passed(ticket) {
            return Ok(true);
        }
        if self.mode == Mode::Lazy {
            if let Some(stream) = self.queues.needed_for(ticket) {
                self.run_one(stream);
            }
            self.result()?;
            return Ok(false);
        }
        self.run_some();
        self.result()?;
        Ok(self.queues.has_passed(ticket))
    }

    /// Runs everything.
    pub(in crate::gpu::fake) fn drain(&mut self) -> Result<(), GpuError> {
        self.run_until(|queues| queues.len() == 0, |queues| queues.ready().first().copied())
    }

    /// Runs operations until `done`: in the mode `Lazy` those of the streams that `needed` tells, otherwise any.
    pub(in crate::gpu::fake) fn run_until(
        &mut self,
        done: impl Fn(&Queues) -> bool,
        needed: impl Fn(&Queues) -> Option<u64>,
    ) -> Result<(), GpuError> {
        while !done(&self.queues) {
            let next = if self.mode == Mode::Lazy { needed(&self.queues) } else { self.any_ready() };
            let Some(stream) = next else {
                let detail = format!("{} operations are queued", self.queues.len());
                return Err(self.fault(Operation::SynchronizeStream, Misuse::Deadlock, detail));
            };
            self.run_one(stream);
        }
        self.result()
    }

    /// None to three operations of any streams.
    fn run_some(&mut self) {
        for _ in 0..self.random.below(4) {
            if let Some(stream) = self.any_ready() {
                self.run_one(stream);
            }
        }
    }

    fn any_ready(&mut self) -> Option<u64> {
        let ready = self.queues.ready();
        let place = self.random.below(ready.len().max(1));
        ready.get(place).copied()
    }

    /// Runs the next operation of a stream, which can run; after a failure, drops it.
    fn run_one(&mut self, stream: u64) {
        let Some(Queued { work, held }) = self.queues.pop(stream) else { return };
        if self.failed.is_none()
            && let Err(error) = self.execute(&work, &held)
        {
            self.failed = Some(error);
        }
        held.iter().for_each(|&start| self.memory.release(start));
        self.executed += 1;
        if let Work::Record(ticket) = work
            && let Some(time) = self.times.get_mut(&ticket)
        {
            *time = Some(self.executed);
        }
    }

    fn execute(&mut self, work: &Work, held: &[usize]) -> Result<(), GpuError> {
        if let Some(dead) = held.iter().find(|&&start| !self.memory.is_alive(start)) {
            return Err(self.fault(operation(work), Misuse::FreedMemory, format!("{dead:#x} is used by queued work")));
        }
        match work {
            &Work::Copy { to, from, bytes } => {
                let (to, from) =
                    (std::ptr::with_exposed_provenance_mut::<u8>(to), std::ptr::with_exposed_provenance(from));
                // SAFETY: ranges of the device are in living allocations, as was just checked; those of the host are alive by the
                // promise of whoever queued the copy.
                unsafe { std::ptr::copy(from, to, bytes) };
            }
            &Work::Fill { to, value, bytes } => {
                // SAFETY: in a living allocation, as was just checked.
                unsafe { std::ptr::with_exposed_provenance_mut::<u8>(to).write_bytes(value, bytes) };
            }
            Work::Launch { function, launch, arguments } => {
                let Some(Function { name, .. }) = self.functions.get(&function.0) else {
                    return Err(self.fault(Operation::Launch, Misuse::DeadHandle, format!("{function:?}")));
                };
                (self.kernels)(name, *launch, &arguments.pointers()).inspect_err(|error| {
                    self.faults.push(error.clone());
                })?;
            }
            Work::Record(_) | Work::Wait(_) => {}
        }
        Ok(())
    }
}

fn operation(work: &Work) -> Operation {
    match work {
        Work::Copy { .. } => Operation::CopyOnDevice,
        Work::Fill { .. } => Operation::Fill,
        Work::Launch { .. } => Operation::Launch,
        Work::Record(_) => Operation::Record,
        Work::Wait(_) => Operation::Wait,
    }
}

/// SplitMix64: a few lines are enough to choose with.
pub(super) struct SplitMix(pub(super) u64);

impl SplitMix {
    /// A number below `bound`, which is small and not 0.
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) % bound as u64) as usize
    }
}
