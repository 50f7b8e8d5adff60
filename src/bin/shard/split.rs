//! One split: every index prepared in parallel, every record written in order.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use metacl::shard::ingest::{LeftOut, Reason};
use metacl::shard::{NewSample, ShardError, SplitWriter, WriteOptions};
use serde::{Deserialize, Serialize};

use super::Failure;
use super::journal::{Finished, Journal};
use super::output::Rejected;
use super::pipeline::ordered;
use super::prepare::Prepared;
use super::progress::Progress;
use super::text;

/// Key of the metadata that holds the sum of the samples' bytes at the source.
pub(super) const SOURCE_BYTES: &str = "source_bytes";

/// Key of the metadata that counts, by kind, the JPEGs that could not become coefficients.
pub(super) const KEPT: &str = "kept_as_jpeg";

/// The counts of several such texts in one; `None` of none.
pub(super) fn add_kept<'a>(texts: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for (kind, count) in texts.flat_map(|text| text.split(", ")).filter_map(|entry| entry.rsplit_once(' ')) {
        *sums.entry(kind.to_owned()).or_default() += count.replace(',', "").parse::<u64>().unwrap_or(0);
    }
    list_kept(&sums)
}

fn list_kept(kinds: &BTreeMap<String, u64>) -> Option<String> {
    let kinds: Vec<String> = kinds.iter().map(|(kind, &count)| format!("{kind} {}", text::thousands(count))).collect();
    (!kinds.is_empty()).then(|| kinds.join(", "))
}

/// What is done about a file that cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Corrupt {
    /// Leave it out and list it
    Skip,
    /// End at the first, and make nothing
    Error,
}

impl Corrupt {
    /// Adds a file of `split` to those left out, or ends the command by it.
    fn leave_out(self, split: &str, file: LeftOut, left_out: &mut Vec<Rejected>) -> Result<(), Failure> {
        match self {
            Self::Skip => left_out.push(file.into()),
            Self::Error => return Err(Self::refusal(split, &file.name, &file.reason)),
        }
        Ok(())
    }

    /// What is said of the file that ends the command.
    pub(super) fn refusal(split: &str, name: &str, reason: impl Display) -> Failure {
        let what = "mend or remove the file, or leave it out with --corrupt skip";
        Failure::Failed(format!("{split}: {name}: {reason}; {what}"))
    }
}

/// What every split says of the program that made it.
pub(super) fn tool() -> (String, String) {
    ("tool".to_owned(), concat!("metacl-shard ", env!("CARGO_PKG_VERSION")).to_owned())
}

/// What is to be written.
pub(super) struct Plan<'a> {
    pub(super) name: &'a str,
    /// Indices `0..count` are prepared.
    pub(super) count: u64,
    pub(super) classes: &'a [String],
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) shard_size: u64,
    pub(super) workers: usize,
    pub(super) corrupt: Corrupt,
}

/// A sample's name and label.
pub(super) type Tag<'a> = (std::borrow::Cow<'a, str>, u32);

/// What became of a split.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) name: String,
    pub(super) samples: u64,
    pub(super) source_bytes: u64,
    pub(super) stored_bytes: u64,
    pub(super) shrunk: u64,
    /// JPEGs that could not become coefficients, by kind.
    pub(super) kept: BTreeMap<String, u64>,
    #[serde(skip)]
    pub(super) rate: f64,
    pub(super) left_out: Vec<Rejected>,
}

impl Report {
    /// Of a split that nothing has become of yet.
    pub(super) fn of(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// One line: counts, bytes, rate.
    pub(super) fn line(&self) -> String {
        let [read, stored] = [self.source_bytes, self.stored_bytes].map(text::bytes);
        let shrunk = if self.shrunk > 0 { format!(", {} shrunk", text::thousands(self.shrunk)) } else { String::new() };
        let samples = text::count(self.samples, "sample");
        let kept = self.kept().map_or(String::new(), |kinds| format!(", kept as JPEG: {kinds}"));
        format!("{}: {samples}{shrunk}{kept}; {read} read, {stored} stored, {:.0} samples/s", self.name, self.rate)
    }

    /// For instance `4:4:0 3, CMYK 1`; `None` where all became coefficients, or none had to.
    fn kept(&self) -> Option<String> {
        list_kept(&self.kept)
    }
}

/// Writes a split into `folder`; leaves no final file where no sample could be taken. With a journal it goes on where that ends, and notes
/// there what is finished.
pub(super) fn write<'a, S>(
    folder: &Path,
    plan: Plan<'_>,
    mut journal: Option<&mut Journal>,
    tag: impl Fn(u64) -> Tag<'a>,
    state: impl Fn() -> S + Sync,
    prepare: impl Fn(&mut S, u64) -> Result<Prepared, Reason> + Sync,
) -> Result<Report, Failure> {
    let options = WriteOptions {
        shard_size: plan.shard_size,
        classes: plan.classes.to_vec(),
        metadata: plan.metadata,
        ..Default::default()
    };
    let mut writer = match &mut journal {
        Some(journal) => resume(folder, plan.name, options, journal)?,
        None => SplitWriter::create(folder, options)?,
    };
    let (from, mut report) = match &journal {
        Some(journal) => (journal.done(plan.name), journal.report(plan.name)),
        None => (0, Report::of(plan.name)),
    };
    let mut listed = report.left_out.len();
    let mut note = |writer: &SplitWriter, next, report: &Report| match (&mut journal, writer.last_closed()) {
        (Some(journal), Some(part)) => {
            let left_out = report.left_out[std::mem::replace(&mut listed, report.left_out.len())..].to_vec();
            journal.finished(plan.name, Finished { part, next, report: Report { left_out, ..report.clone() } })
        }
        _ => Ok(()),
    };
    let mut progress = Progress::new(plan.name, from, plan.count);
    ordered(
        plan.count - from,
        plan.workers,
        state,
        |state, place| prepare(state, from + place),
        |place, result| {
            let index = from + place;
            progress.advance();
            let (name, label) = tag(index);
            let leave_out = |reason, left_out: &mut Vec<Rejected>| {
                plan.corrupt.leave_out(plan.name, LeftOut { name: name.to_string(), reason }, left_out)
            };
            let prepared = match result {
                Ok(prepared) => prepared,
                Err(reason @ Reason::Gone(_)) => {
                    let what = "a source must stay as it is while it is converted; bring it back and convert again";
                    return Err(Failure::Failed(format!("{}: {name}: {reason}; {what}", plan.name)));
                }
                Err(reason) => return leave_out(reason, &mut report.left_out),
            };
            let Prepared { bytes, codec, size, source_bytes, shrunk, kept } = prepared;
            let closed = writer.closed();
            match writer.append(&NewSample { bytes: &bytes, codec, size, label, name: &name }) {
                Err(refusal @ ShardError::Unstorable { .. }) => {
                    return leave_out(Reason::Unstorable(refusal.to_string()), &mut report.left_out);
                }
                appended => appended?,
            }
            if writer.closed() > closed {
                note(&writer, index, &report)?;
            }
            report.samples += 1;
            report.source_bytes += source_bytes;
            report.stored_bytes += bytes.len() as u64;
            report.shrunk += u64::from(shrunk);
            if let Some(kind) = kept {
                *report.kept.entry(kind.to_owned()).or_default() += 1;
            }
            Ok(())
        },
    )?;
    report.rate = progress.finish();
    if report.samples > 0 {
        let closed = writer.closed();
        writer.close()?;
        if writer.closed() > closed {
            note(&writer, plan.count, &report)?;
        }
        writer.set_metadata(SOURCE_BYTES, &report.source_bytes.to_string())?;
        if let Some(kinds) = report.kept() {
            writer.set_metadata(KEPT, &kinds)?;
        }
        writer.finish()?;
    }
    Ok(report)
}

/// Takes up the files that an interrupted conversion finished; those that do not hold any more are forgotten.
fn resume(folder: &Path, split: &str, options: WriteOptions, journal: &mut Journal) -> Result<SplitWriter, Failure> {
    let parts = journal.parts(split);
    let (writer, fault) = SplitWriter::resume(folder, options, &parts)?;
    if let Some(fault) = fault {
        eprintln!("metacl-shard: note: {fault}; it is made again, with all behind it");
    }
    if writer.closed() < parts.len() {
        journal.cut(split, writer.closed())?;
    }
    if writer.closed() > 0 {
        let [files, samples] = [(writer.closed() as u64, "finished file"), (journal.report(split).samples, "sample")]
            .map(|(number, noun)| text::count(number, noun));
        eprintln!("metacl-shard: note: {split}: goes on behind {files} with {samples}");
    }
    Ok(writer)
}
