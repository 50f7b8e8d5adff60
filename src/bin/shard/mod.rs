//! The command line, and what all subcommands share.
//!
//! - One file a subcommand: [`convert`], [`merge`], [`synthetic`], [`inspect`], [`verify`], [`repair`], [`stats`], [`extract`], [`views`], [`preview`], [`mod@bench`].
//! - [`prepare`]: an item of a source to a record; `recode`: a JPEG to coefficients. [`pipeline`]: parallel work, results in order. [`split`]: one split through both.
//! - [`sheet`]: thumbnails of many samples in one picture.
//! - [`access`]: what it takes to read object storage. [`part`]: a conversion by many machines.
//! - [`destination`]: a folder or a URL to write to. [`output`]: nothing under a final name before it is whole; [`stage`]: the hidden folder where
//!   it is made, by one process at a time. [`journal`], [`stamps`]: what an interrupted conversion has done, and of what source.
//! - [`dataset`]: the splits of a path. [`limits`]: what is too large. [`progress`], [`text`], [`recipe`]: what the user sees.
//!
//! Exit codes: 0 done, 1 failed, 2 usage, 3 done with some files left out and listed.

mod access;
mod bench;
mod convert;
mod dataset;
mod destination;
mod extract;
mod inspect;
mod journal;
mod limits;
mod merge;
mod output;
mod part;
mod pipeline;
mod prepare;
mod preview;
mod progress;
mod recipe;
#[cfg(feature = "turbo")]
mod recode;
mod repair;
mod sheet;
mod split;
mod stage;
mod stamps;
mod stats;
mod synthetic;
mod text;
mod verify;
mod views;

use std::process::ExitCode;

use access::Access;
use clap::{Parser, Subcommand};

/// Makes, checks and shows image datasets of .mcs shard files.
///
/// A dataset is a folder with one subfolder a split (train, and val or test), each with files 00000.mcs, 00001.mcs, ...
/// Every command that reads takes the dataset, one split's folder or one .mcs file, as a path or as a URL of object storage: s3://,
/// gs://, az://, http://, https://. Credentials come by the variables of each provider's SDK (AWS_*, GOOGLE_*, AZURE_*); what is read
/// is kept in a cache.
///
/// Exit codes: 0 done, 1 failed, 2 usage, 3 done with some files left out and listed.
#[derive(Parser)]
#[command(name = "metacl-shard", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    access: Access,
}

#[derive(Subcommand)]
enum Command {
    Convert(convert::Args),
    Merge(merge::Args),
    Synthetic(synthetic::Args),
    Inspect(inspect::Args),
    Verify(verify::Args),
    Repair(repair::Args),
    Stats(stats::Args),
    Extract(extract::Args),
    Views(views::Args),
    Preview(preview::Args),
    Bench(bench::Args),
}

/// How a command ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// All done.
    Done,
    /// Done, but some files were left out, and listed.
    LeftOut,
    /// The command did its work and what it found is bad (`verify`).
    Faulty,
}

/// Why a command ended badly; one line.
#[derive(Debug)]
enum Failure {
    /// The command line asks for something impossible.
    Usage(String),
    /// Something went wrong on the way.
    Failed(String),
}

impl Failure {
    /// The same, with `more` said behind it.
    fn with(self, more: &str) -> Self {
        match self {
            Self::Usage(message) => Self::Usage(message + more),
            Self::Failed(message) => Self::Failed(message + more),
        }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.to_string())
    }
}

pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let storage = cli.access.storage();
    let result = match cli.command {
        Command::Convert(args) => convert::run(&args, &storage),
        Command::Merge(args) => merge::run(&args, &storage),
        Command::Synthetic(args) => synthetic::run(&args, &storage),
        Command::Inspect(args) => inspect::run(&args, &storage),
        Command::Verify(args) => verify::run(&args, &storage),
        Command::Repair(args) => repair::run(&args, &storage),
        Command::Stats(args) => stats::run(&args, &storage),
        Command::Extract(args) => extract::run(&args, &storage),
        Command::Views(args) => views::run(&args, &storage),
        Command::Preview(args) => preview::run(&args, &storage),
        Command::Bench(args) => bench::run(&args, &storage),
    };
    let (code, message) = match result {
        Ok(Outcome::Done) => (0, None),
        Ok(Outcome::LeftOut) => (3, None),
        Ok(Outcome::Faulty) => (1, None),
        Err(Failure::Failed(message)) => (1, Some(message)),
        Err(Failure::Usage(message)) => (2, Some(message)),
    };
    if let Some(message) = message {
        eprintln!("metacl-shard: error: {}", text::one_line(&message));
    }
    ExitCode::from(code)
}
