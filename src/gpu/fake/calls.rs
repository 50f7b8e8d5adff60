//! What was asked of a fake device, for tests that say what a steady state may not do.

use crate::gpu::RawStream;

/// One call of the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What was asked.
    pub operation: Operation,
    /// The stream that it was asked of.
    pub stream: Option<RawStream>,
    /// Bytes allocated, copied or filled.
    pub bytes: usize,
    /// The kernel launched.
    pub kernel: Option<String>,
}

/// The operations of a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as the methods of `Driver`")]
#[non_exhaustive]
pub enum Operation {
    Allocate,
    Free,
    AllocatePinned,
    FreePinned,
    CreateStream,
    DestroyStream,
    SynchronizeStream,
    CreateEvent,
    DestroyEvent,
    Record,
    Query,
    SynchronizeEvent,
    Elapsed,
    Wait,
    CopyToDevice,
    CopyToHost,
    CopyOnDevice,
    Fill,
    LoadModule,
    UnloadModule,
    Function,
    AllowShared,
    Launch,
}

impl Operation {
    /// Whether a real device may make the host wait for work that is queued: synchronising does, and so do allocating,
    /// freeing and loading.
    pub fn blocks(self) -> bool {
        use Operation as O;
        matches!(
            self,
            O::SynchronizeStream
                | O::SynchronizeEvent
                | O::Allocate
                | O::Free
                | O::AllocatePinned
                | O::FreePinned
                | O::LoadModule
                | O::UnloadModule
        )
    }

    /// Its name in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Allocate => "allocate",
            Self::Free => "free",
            Self::AllocatePinned => "allocate_pinned",
            Self::FreePinned => "free_pinned",
            Self::CreateStream => "create_stream",
            Self::DestroyStream => "destroy_stream",
            Self::SynchronizeStream => "synchronize_stream",
            Self::CreateEvent => "create_event",
            Self::DestroyEvent => "destroy_event",
            Self::Record => "record",
            Self::Query => "query",
            Self::SynchronizeEvent => "synchronize_event",
            Self::Elapsed => "elapsed_ms",
            Self::Wait => "wait",
            Self::CopyToDevice => "copy_to_device",
            Self::CopyToHost => "copy_to_host",
            Self::CopyOnDevice => "copy_on_device",
            Self::Fill => "fill",
            Self::LoadModule => "load_module",
            Self::UnloadModule => "unload_module",
            Self::Function => "function",
            Self::AllowShared => "allow_shared",
            Self::Launch => "launch",
        }
    }
}
