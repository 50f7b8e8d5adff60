//! `metacl-train`: trains and evaluates encoders. Command line and file to a config, config to a run; subcommands beside it lie in
//! `train/commands.rs`.

#[path = "train/commands.rs"]
mod commands;
#[path = "train/launch.rs"]
mod launch;
#[path = "common/memory.rs"]
mod memory;
#[path = "common/storage.rs"]
mod storage;

use std::io::{self, IsTerminal};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use metacl::config::{self, Command};
use metacl::dist::launch::Placed;
use metacl::error::Error;
use metacl::shard::Storage;
use metacl::train::{self, Console, TrainError};

/// Where runs go, below the working folder.
const LOGS: &str = "logs";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("metacl-train: error: {error}");
            error.exit_code()
        }
    }
}

fn run() -> Result<ExitCode, Error> {
    memory::keep_freed_memory();
    let arguments: Vec<String> = std::env::args_os().skip(1).map(|text| text.to_string_lossy().into_owned()).collect();
    if commands::asked_for(&arguments) {
        return commands::run(&arguments).map(|()| ExitCode::SUCCESS);
    }
    match config::load(&arguments, &|name| std::env::var(name).ok())? {
        Command::Help => print!("{}", config::help()),
        Command::Version => println!("metacl-train {}", env!("CARGO_PKG_VERSION")),
        Command::Run(loaded) => {
            let placed = Placed::from_variables(&|name| std::env::var(name).ok()).map_err(TrainError::from)?;
            let stop = stop_on_ctrl_c();
            if placed.is_none()
                && let Some(ranks) = launch::Ranks::of(&loaded.config)?
            {
                return ranks.run(&stop).map_err(|error| TrainError::Launch(error).into());
            }
            let placed = placed.unwrap_or_else(Placed::alone);
            let console = Console { out: Box::new(io::stdout()), is_terminal: io::stdout().is_terminal() };
            let logs = std::env::var("EXMAN_PATH").unwrap_or_else(|_| LOGS.to_owned());
            if std::env::var_os("RUST_BACKTRACE").is_none() {
                // libtorch's refusals arrive as panics with a trace of many lines; `run` prints their first.
                panic::set_hook(Box::new(|_| {}));
            }
            let storage = Storage::new(loaded.config.storage(storage::variables()));
            let run = || train::run(&loaded, console, Path::new(&logs), &placed, &storage, &stop).map_err(Error::from);
            panic::catch_unwind(AssertUnwindSafe(run)).map_err(|payload| Error::panicked(&*payload))??;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Set by the first Ctrl-C (or SIGTERM), after which the run writes a checkpoint and ends; the second one ends it at once.
fn stop_on_ctrl_c() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let set = ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("\nstopping after this step with a checkpoint; once more stops at once");
    });
    if let Err(error) = set {
        eprintln!("metacl-train: note: Ctrl-C will stop without a checkpoint: {error}");
    }
    stop
}
