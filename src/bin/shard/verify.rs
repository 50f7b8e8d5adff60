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

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let mut faults = Vec::new();
    let (mut samples, mut files) = (0, 0);
    for place in dataset::splits(&args.dst)? {
        let shards = place.files()?;
        files += shards.len() as u64;
        faults.extend(verify_files(&shards));
        samples += ShardSet::open(&place.path).map_or(0, |set| set.len());
    }
    if args.json {
        let faults: Vec<_> = faults.iter().map(|fault| json!({ "what": fault.to_string() })).collect();
        text::print_json(&json!({ "samples": samples, "files": files, "faults": faults }))?;
    } else {
        for fault in &faults {
            print(one_line(&fault.to_string()))?;
        }
    }
    Ok(if faults.is_empty() { Outcome::Done } else { Outcome::Faulty })
}
