//! Several ranks give what one process gives on the joined batch: threads, and processes over loopback, which this executable starts from
//! itself. Who dies, stops or stays away is named, whoever asks.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "dist/collectives.rs"]
mod collectives;
#[path = "dist/evaluation.rs"]
mod evaluation;
#[path = "dist/failures.rs"]
mod failures;
mod golden_support;
#[path = "dist/processes.rs"]
mod processes;
#[path = "dist/steps.rs"]
mod steps;
mod train_support;

use std::sync::Arc;
use std::time::Duration;

use metacl::dist::{Comm, Local};
use processes::{Ranks, Role};

/// More than any operation takes here.
const LONG: Duration = Duration::from_secs(120);

/// What a rank does.
type Task = fn(Arc<dyn Comm>);

/// What each rank of a healthy world does.
const TASKS: [(&str, Task); 4] = [
    ("collectives", collectives::all),
    ("steps", steps::all),
    ("goldens", steps::goldens),
    ("evaluation", evaluation::all),
];

/// What a started process does; without the variables of [`Role`], nothing.
#[test]
fn as_rank() {
    let Some(role) = Role::of_environment() else { return };
    match TASKS.iter().find(|(name, _)| *name == role.task) {
        Some((_, task)) => task(Arc::new(role.join(LONG).unwrap())),
        None => failures::act(&role),
    }
}

fn on_threads(size: u32, task: Task) {
    std::thread::scope(|scope| {
        for comm in Local::world_of(size, LONG) {
            scope.spawn(move || task(Arc::new(comm)));
        }
    });
}

fn on_processes(size: u32, task: &str) {
    Ranks::start(size, task).all_succeed();
}

#[test]
fn collectives_of_one_process() {
    collectives::all(Arc::new(metacl::dist::Single::default()));
}

#[test]
fn collectives_of_threads() {
    on_threads(4, collectives::all);
}

#[test]
fn collectives_of_processes() {
    on_processes(1, "collectives");
    on_processes(2, "collectives");
    on_processes(4, "collectives");
}

#[test]
fn steps_of_threads_are_those_of_one_process() {
    on_threads(2, steps::all);
    on_threads(4, steps::all);
}

#[test]
fn steps_of_processes_are_those_of_one_process() {
    on_processes(2, "steps");
    on_processes(4, "steps");
}

#[test]
fn evaluation_by_threads_and_processes_is_that_of_one_process() {
    on_threads(3, evaluation::all);
    on_processes(4, "evaluation");
}

#[test]
fn golden_ranks_of_threads_and_processes() {
    let world = golden_support::tensors::Goldens::open("ranks").root().count("world") as u32;
    on_threads(world, steps::goldens);
    on_processes(world, "goldens");
}
