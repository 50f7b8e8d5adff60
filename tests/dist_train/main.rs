//! Several processes of the program do what one does: train, evaluate, resume; and end together, saying who went.
//!
//! `program`: starts it. `curves`: losses of 1, 2 and 4 ranks. `evaluation`: accuracies. `corrupt`: damaged samples. `launching`: who starts ranks. `failures`: ranks killed and
//! stopped at any step (METACL_KILLS=20: so many). `network`: a cut between two network namespaces at any step, as often.
#![cfg(all(feature = "torch", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod corrupt;
mod curves;
mod evaluation;
mod failures;
mod launching;
mod network;
mod program;
#[path = "../train_support/mod.rs"]
mod train_support;
