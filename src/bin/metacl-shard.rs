//! `metacl-shard`: makes, checks and shows datasets of `.mcs` shard files.
//!
//! One file a subcommand under `shard/`; this one only starts them.

#[path = "common/memory.rs"]
mod memory;
#[path = "common/resident.rs"]
mod resident;
#[path = "shard/mod.rs"]
mod shard;
#[path = "common/storage.rs"]
mod storage;

use std::process::ExitCode;

fn main() -> ExitCode {
    shard::main()
}
