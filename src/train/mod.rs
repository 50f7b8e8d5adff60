//! train

mod atomic;
pub mod checkpoint;
mod csv;
pub mod log;
pub mod progress;
pub mod run_dir;
