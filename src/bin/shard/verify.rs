//! `metacl-shard verify`: every checksum of every file.

use std::path::PathBuf;

use metacl::shard::{ShardError, Storage};
use serde_json::json;

use super::text::{self, one_line, print};
use super::{Failure, Outcome, dataset};

/// Check every checksum of a dataset and list every fault
///
/// Reads all bytes. Exit code 0 where all is sound, 1 where anything is not. With --json: samples, files, faults (a line each).
///
/// Example: metacl-shard verify data/cifar10
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// Dataset, split folder or .mcs file, or its URL
    dst: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, storage: &Storage) -> Result<Outcome, Failure> {
    let mut faults: Vec<String> = Vec::new();
    let (mut samples, mut files) = (0, 0);
    for place in dataset::splits(&args.dst, storage)? {
        let (count, damaged) = place.verify()?;
        files += count;
        match place.open() {
            Ok(set) => samples += set.len(),
            // All files are sound, but not those of one whole split.
            Err(Failure::Failed(fault)) if damaged.is_empty() => faults.push(fault),
            Err(_) => {}
        }
        faults.extend(damaged.iter().map(ShardError::to_string));
    }
    if args.json {
        let faults: Vec<_> = faults.iter().map(|fault| one_line(fault)).collect();
        text::print_json(&json!({ "samples": samples, "files": files, "faults": faults }))?;
    } else {
        for fault in &faults {
            print(one_line(fault))?;
        }
        let sound = if faults.is_empty() { "sound".to_owned() } else { text::count(faults.len() as u64, "fault") };
        let [samples, files] = [(samples, "sample"), (files, "file")].map(|(number, noun)| text::count(number, noun));
        print(format_args!("{}: {samples} in {files}: {sound}", dataset::shown(&args.dst)))?;
    }
    Ok(if faults.is_empty() { Outcome::Done } else { Outcome::Faulty })
}
