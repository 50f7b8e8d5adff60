//! `metacl-shard verify`: every checksum of every file.

use std::path::PathBuf;

use metacl::shard::{ShardSet, verify_files};
use serde_json::json;

use super::text::{self, one_line, print};
use super::{Failure, Outcome, dataset};

/// Check every checksum of a dataset and list every fault
///
/// Reads all bytes. Exit code 0 where all is sound, 1 where anything is not. With --json: samples, files, faults (file, what).
///
/// Example: metacl-shard verify data/cifar10
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// Dataset, split folder or .mcs file
    dst: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}
