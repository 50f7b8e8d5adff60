//! What a fake device knows, behind its one lock, and the checks of what a call names. Below: `run`, running what is
//! queued.

use std::collections::{HashMap, HashSet};

use super::calls::{Call, Operation};
use super::chance::Chance;
use super::memory::{Kind, Memory};
use super::queue::{Queues, Ticket, Work};
use super::{Kernels, Mode, SHARED_WITHOUT_PERMISSION, STATIC_SHARED};
use crate::gpu::{Arguments, GpuError, Launch, Misuse, RawEvent, RawFunction, RawModule, RawStream};

mod run;

/// Threads that a block may have, as on every card.
pub(super) const THREADS: u32 = 1024;

pub(super) struct State {
    mode: Mode,
    chance: Chance,
    kernels: Box<Kernels>,
    pub(super) memory: Memory,
    pub(super) queues: Queues,
    pub(super) events: HashMap<u64, Event>,
    modules: HashSet<u64>,
    functions: HashMap<u64, Function>,
    /// The last handle given; handles of all kinds differ, so that none passes for another's.
    last_handle: u64,
    last_ticket: Ticket,
    /// Recordings of timed events, with the number of operations that had run when they passed.
    times: HashMap<Ticket, Option<u64>>,
    executed: u64,
    /// The first error of queued work, which stays.
    failed: Option<GpuError>,
    pub(super) faults: Vec<GpuError>,
    pub(super) calls: Vec<Call>,
}

pub(super) struct Event {
    timed: bool,
    latest: Ticket,
}

#[derive(Clone)]
struct Function {
    module: u64,
    name: String,
    shared: usize,
}

impl State {
    pub(super) fn new(mode: Mode, kernels: Box<Kernels>) -> Self {
        Self {
            mode,
            chance: Chance::new(if let Mode::Random(seed) = mode { seed } else { 0 }),
            kernels,
            memory: Memory::new(1 << 30),
            queues: Queues::new(),
            events: HashMap::new(),
            modules: HashSet::new(),
            functions: HashMap::new(),
            last_handle: 0xfa00,
            last_ticket: Ticket::default(),
            times: HashMap::new(),
            executed: 0,
            failed: None,
            faults: Vec::new(),
            calls: Vec::new(),
        }
    }

    /// Notes a call; an error where queued work has failed before.
    pub(super) fn note(
        &mut self,
        operation: Operation,
        stream: Option<RawStream>,
        bytes: usize,
    ) -> Result<(), GpuError> {
        self.calls.push(Call { operation, stream, bytes, kernel: None });
        self.result()
    }

    fn result(&self) -> Result<(), GpuError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Notes a misuse, and gives it.
    fn fault(&mut self, operation: Operation, misuse: Misuse, detail: String) -> GpuError {
        let fault = GpuError::Misuse { call: operation.name(), misuse, detail };
        self.faults.push(fault.clone());
        fault
    }

    pub(super) fn expect(
        &mut self,
        held: bool,
        operation: Operation,
        misuse: Misuse,
        detail: impl FnOnce() -> String,
    ) -> Result<(), GpuError> {
        if held { Ok(()) } else { Err(self.fault(operation, misuse, detail())) }
    }

    pub(super) fn expect_stream(&mut self, operation: Operation, stream: RawStream) -> Result<(), GpuError> {
        self.expect(self.queues.has(stream.0), operation, Misuse::DeadHandle, || format!("{stream:?}"))
    }

    /// The event's latest recording.
    pub(super) fn expect_event(&mut self, operation: Operation, event: RawEvent) -> Result<Ticket, GpuError> {
        match self.events.get(&event.0) {
            Some(found) => Ok(found.latest),
            None => Err(self.fault(operation, Misuse::DeadHandle, format!("{event:?}"))),
        }
    }

    pub(super) fn expect_function(&mut self, operation: Operation, function: RawFunction) -> Result<(), GpuError> {
        let known = self.functions.contains_key(&function.0);
        self.expect(known, operation, Misuse::DeadHandle, || format!("{function:?}"))
    }

    /// The allocation that holds these bytes.
    pub(super) fn expect_memory(
        &mut self,
        operation: Operation,
        place: (usize, Kind),
        bytes: usize,
    ) -> Result<Option<usize>, GpuError> {
        self.memory
            .find(place, bytes)
            .map_err(|misuse| self.fault(operation, misuse, format!("{bytes} bytes at {:#x}", place.0)))
    }

    fn handle(&mut self) -> u64 {
        self.last_handle += 1;
        self.last_handle
    }

    pub(super) fn create_stream(&mut self) -> u64 {
        let stream = self.handle();
        self.queues.create(stream);
        stream
    }

    pub(super) fn create_event(&mut self, timed: bool) -> u64 {
        let event = self.handle();
        self.events.insert(event, Event { timed, latest: Ticket::default() });
        event
    }

    pub(super) fn load_module(&mut self) -> u64 {
        let module = self.handle();
        self.modules.insert(module);
        module
    }

    pub(super) fn unload_module(&mut self, module: RawModule) -> Result<(), GpuError> {
        let operation = Operation::UnloadModule;
        let before = self.note(operation, None, 0);
        let known = self.modules.remove(&module.0);
        self.expect(known, operation, Misuse::DeadHandle, || format!("{module:?}"))?;
        let functions = &self.functions;
        let queued = self.queues.launches(|function| functions.get(&function.0).is_some_and(|f| f.module == module.0));
        self.functions.retain(|_, function| function.module != module.0);
        self.expect(!queued, operation, Misuse::PendingOperations, || format!("{module:?} has a launch queued"))?;
        before
    }

    pub(super) fn function(&mut self, module: RawModule, name: &str) -> Result<RawFunction, GpuError> {
        self.note(Operation::Function, None, 0)?;
        let known = self.modules.contains(&module.0);
        self.expect(known, Operation::Function, Misuse::DeadHandle, || format!("{module:?}"))?;
        let function = self.handle();
        let shared = SHARED_WITHOUT_PERMISSION - STATIC_SHARED;
        self.functions.insert(function, Function { module: module.0, name: name.to_owned(), shared });
        Ok(RawFunction(function))
    }

    pub(super) fn allow_shared(&mut self, function: RawFunction, bytes: usize, most: usize) -> Result<(), GpuError> {
        let operation = Operation::AllowShared;
        self.note(operation, None, bytes)?;
        self.expect_function(operation, function)?;
        let fits = bytes + STATIC_SHARED <= most;
        self.expect(fits, operation, Misuse::LaunchShape, || format!("{bytes} and {STATIC_SHARED} of {most} bytes"))?;
        if let Some(function) = self.functions.get_mut(&function.0) {
            function.shared = bytes;
        }
        Ok(())
    }

    /// Ends an allocation's life, whatever has failed before.
    pub(super) fn free(&mut self, operation: Operation, kind: Kind, address: usize) -> Result<(), GpuError> {
        let before = self.note(operation, None, 0);
        self.memory.free(kind, address).map_err(|misuse| self.fault(operation, misuse, format!("{address:#x}")))?;
        if self.memory.is_full_of_dead() {
            self.notice_late_writes();
            self.memory.forget_dead();
        }
        before
    }

    /// Looks for writes to freed memory.
    pub(super) fn notice_late_writes(&mut self) {
        for start in self.memory.late_writes() {
            self.fault(Operation::Free, Misuse::FreedMemory, format!("{start:#x} was written after it was freed"));
        }
    }

    /// A new recording of a living event.
    pub(super) fn record(&mut self, event: u64) -> Ticket {
        self.last_ticket.0 += 1;
        let ticket = self.last_ticket;
        if let Some(event) = self.events.get_mut(&event) {
            event.latest = ticket;
            if event.timed {
                self.times.insert(ticket, None);
            }
        }
        ticket
    }

    /// A "millisecond" is one operation that ran, on any stream.
    pub(super) fn elapsed(&mut self, start: RawEvent, end: RawEvent) -> Result<f32, GpuError> {
        let operation = Operation::Elapsed;
        let (from, to) = (self.expect_event(operation, start)?, self.expect_event(operation, end)?);
        let passed = |ticket| self.times.get(&ticket).copied().flatten();
        match (passed(from), passed(to)) {
            (Some(from), Some(to)) => Ok(to as f32 - from as f32),
            _ => Err(self.fault(operation, Misuse::NoTime, format!("{start:?}, {end:?}"))),
        }
    }

    /// Queues a copy after the checks that the driver cannot make.
    pub(super) fn copy(
        &mut self,
        operation: Operation,
        to: (usize, Kind),
        from: (usize, Kind),
        bytes: usize,
        stream: RawStream,
    ) -> Result<(), GpuError> {
        self.note(operation, Some(stream), bytes)?;
        self.expect_stream(operation, stream)?;
        let held = [self.expect_memory(operation, to, bytes)?, self.expect_memory(operation, from, bytes)?];
        self.push(stream, Work::Copy { to: to.0, from: from.0, bytes }, held.into_iter().flatten().collect())
    }

    /// Queues a launch after the checks that a device makes, and of the pointers among its arguments.
    pub(super) fn launch(
        &mut self,
        function: RawFunction,
        launch: Launch,
        arguments: &Arguments,
        stream: RawStream,
    ) -> Result<(), GpuError> {
        let operation = Operation::Launch;
        let before = self.note(operation, Some(stream), 0);
        let found = self.functions.get(&function.0).cloned();
        if let Some(call) = self.calls.last_mut() {
            call.kernel = found.as_ref().map(|found| found.name.clone());
        }
        before?;
        self.expect_stream(operation, stream)?;
        let Some(Function { shared, name, .. }) = found else {
            return Err(self.fault(operation, Misuse::DeadHandle, format!("{function:?}")));
        };
        let fits = launch.grid > 0 && (1..=THREADS).contains(&launch.block) && launch.shared as usize <= shared;
        self.expect(fits, operation, Misuse::LaunchShape, || format!("{name}: {launch:?}, {shared} bytes allowed"))?;
        let mut held = Vec::new();
        for address in arguments.addresses().filter(|&address| address != 0) {
            let start = self.memory.find_any(address as usize);
            held.push(start.map_err(|misuse| self.fault(operation, misuse, format!("{name}: {address:#x}")))?);
        }
        self.push(stream, Work::Launch { function, launch, arguments: arguments.clone() }, held)
    }
}
