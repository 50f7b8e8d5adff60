//! The way of a split's samples into its files.

use std::path::Path;

use metacl::shard::ingest::{LeftOut, Reason};
use metacl::shard::{NewSample, ShardError, SplitWriter, WriteOptions};

use super::{KEPT, Plan, Report, SOURCE_BYTES, Tag};
use crate::shard::Failure;
use crate::shard::journal::{Finished, Journal};
use crate::shard::pipeline::ordered;
use crate::shard::prepare::Prepared;
use crate::shard::progress::Progress;
use crate::shard::text;

/// Writes a split into `folder`; leaves no final file where no sample could be taken. With a journal it goes on where that ends, and notes
/// there what is finished.
pub(in crate::shard) fn write<'a, S>(
    folder: &Path,
    plan: &Plan<'_>,
    journal: Option<&mut Journal>,
    tag: impl Fn(u64) -> Tag<'a>,
    state: impl Fn() -> S + Sync,
    prepare: impl Fn(&mut S, u64) -> Result<Prepared, Reason> + Sync,
) -> Result<Report, Failure> {
    let mut writing = Writing::begin(folder, plan, journal)?;
    let from = writing.from;
    let mut progress = Progress::new(plan.name, from, plan.count);
    let prepare = |state: &mut S, place| prepare(state, from + place);
    ordered(plan.count - from, plan.workers, state, prepare, |place, result| {
        progress.advance();
        writing.take(from + place, tag(from + place), result)
    })?;
    writing.report.rate = progress.finish();
    writing.finish()
}

/// A split that is being written.
struct Writing<'a> {
    plan: &'a Plan<'a>,
    journal: Option<&'a mut Journal>,
    writer: SplitWriter,
    /// The first index that is not behind it already.
    from: u64,
    report: Report,
    /// How many of the files left out are in the journal.
    listed: usize,
}

impl<'a> Writing<'a> {
    fn begin(folder: &Path, plan: &'a Plan<'a>, mut journal: Option<&'a mut Journal>) -> Result<Self, Failure> {
        let options = WriteOptions {
            shard_size: plan.shard_size,
            classes: plan.classes.to_vec(),
            metadata: plan.metadata.clone(),
            ..Default::default()
        };
        let writer = match &mut journal {
            Some(journal) => resume(folder, plan.name, options, journal)?,
            None => SplitWriter::create(folder, options)?,
        };
        let (from, report) = match &journal {
            Some(journal) => (journal.done(plan.name), journal.report(plan.name)),
            None => (0, Report::of(plan.name)),
        };
        Ok(Self { plan, journal, writer, from, listed: report.left_out.len(), report })
    }

    /// Writes the sample at `index`, or leaves it out.
    fn take(&mut self, index: u64, (name, label): Tag<'_>, result: Result<Prepared, Reason>) -> Result<(), Failure> {
        let prepared = match result {
            Ok(prepared) => prepared,
            Err(reason @ Reason::Gone(_)) => {
                let what = "a source must stay as it is while it is converted; bring it back and convert again";
                return Err(Failure::Failed(format!("{}: {name}: {reason}; {what}", self.plan.name)));
            }
            Err(reason) => return self.leave_out(&name, reason),
        };
        let Prepared { bytes, codec, size, source_bytes, shrunk, kept } = prepared;
        let closed = self.writer.closed();
        match self.writer.append(&NewSample { bytes: &bytes, codec, size, label, name: &name }) {
            Err(refusal @ ShardError::Unstorable { .. }) => {
                return self.leave_out(&name, Reason::Unstorable(refusal.to_string()));
            }
            appended => appended?,
        }
        // This sample was the first that did not fit.
        self.note(closed, index)?;
        self.report.samples += 1;
        self.report.source_bytes += source_bytes;
        self.report.stored_bytes += bytes.len() as u64;
        self.report.shrunk += u64::from(shrunk);
        if let Some(kind) = kept {
            *self.report.kept.entry(kind.to_owned()).or_default() += 1;
        }
        Ok(())
    }

    fn leave_out(&mut self, name: &str, reason: Reason) -> Result<(), Failure> {
        let file = LeftOut { name: name.to_owned(), reason };
        self.plan.corrupt.leave_out(self.plan.name, file, &mut self.report.left_out)
    }

    /// Notes in the journal that a file is finished, if there are more than `closed` now: it holds what comes before `next`.
    fn note(&mut self, closed: usize, next: u64) -> Result<(), Failure> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let Some(part) = self.writer.last_closed().filter(|_| self.writer.closed() > closed) else { return Ok(()) };
        let report = self.report.since(self.listed);
        self.listed = self.report.left_out.len();
        journal.finished(self.plan.name, Finished { part, next, report })
    }

    fn finish(mut self) -> Result<Report, Failure> {
        if self.report.samples == 0 {
            return Ok(self.report);
        }
        let closed = self.writer.closed();
        self.writer.close()?;
        self.note(closed, self.plan.count)?;
        self.writer.set_metadata(SOURCE_BYTES, &self.report.source_bytes.to_string())?;
        if let Some(kinds) = self.report.kept() {
            self.writer.set_metadata(KEPT, &kinds)?;
        }
        self.writer.finish()?;
        Ok(self.report)
    }
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
