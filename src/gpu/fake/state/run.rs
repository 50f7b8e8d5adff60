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
                let count = self.chance.count();
                self.run_some(count);
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
        // At least one, so that a loop of queries ends.
        let count = self.chance.count().max(1);
        self.run_some(count);
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

    fn run_some(&mut self, count: usize) {
        for _ in 0..count {
            if let Some(stream) = self.any_ready() {
                self.run_one(stream);
            }
        }
    }

    fn any_ready(&mut self) -> Option<u64> {
        self.chance.pick(&self.queues.ready())
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
                // SAFETY: ranges of the device are in living allocations, as was just checked; those of the host are
                // alive by the promise of whoever queued the copy.
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
