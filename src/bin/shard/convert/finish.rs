//! The end of a conversion: lists, places, words.

use super::{Args, Made};
use crate::shard::destination::Destination;
use crate::shard::journal::Journal;
use crate::shard::output::{Output, REJECTED, Rejected};
use crate::shard::split::Report;
use crate::shard::{Failure, Outcome, text};

/// Left-out files that are named on standard error; all are in `rejected.tsv`.
const NAMED: usize = 20;

/// Lists what was left out, moves the splits to their places, says what was done.
pub(super) fn finish(
    args: &Args,
    destination: &Destination,
    output: Output,
    (mut reports, outside): Made,
    journal: &mut Journal,
) -> Result<Outcome, Failure> {
    let Some(first) = reports.first_mut() else {
        name_left_out(&outside);
        let reason = outside.first().map_or(String::new(), |l| format!(" (the first: {}: {})", l.name, l.reason));
        let message = format!(
            "{}: none of {} can be taken{reason}",
            args.src.display(),
            text::count(outside.len() as u64, "file")
        );
        return Err(Failure::Failed(message));
    };
    first.left_out.extend(outside);
    let listed = reports.iter().filter(|report| !report.left_out.is_empty());
    let lists: Vec<String> =
        listed.map(|report| destination.shown(&output.place(&report.name).join(REJECTED))).collect();
    if !journal.is_whole() {
        reports.iter().try_for_each(|report| output.list_rejected(&report.name, &report.left_out))?;
        journal.whole()?;
    }
    output.finish()?;
    destination.publish()?;

    for report in &reports {
        text::print(report.line())?;
        name_left_out(&report.left_out);
    }
    let left_out: u64 = reports.iter().map(|report| report.left_out.len() as u64).sum();
    if left_out == 0 {
        return Ok(Outcome::Done);
    }
    text::print(format_args!("left out: {}, listed in {}", text::count(left_out, "file"), lists.join(", ")))?;
    Ok(Outcome::LeftOut)
}

fn name_left_out(left_out: &[Rejected]) {
    for Rejected { name, reason } in left_out.iter().take(NAMED) {
        eprintln!("metacl-shard: left out: {}: {}", text::one_line(name), text::one_line(reason));
    }
    if left_out.len() > NAMED {
        eprintln!("metacl-shard: left out: ... and {} more", text::thousands((left_out.len() - NAMED) as u64));
    }
}

/// What an interrupted conversion had made, all of it, when it was about to move it to its place.
pub(super) fn take_over(output: &mut Output, journal: &Journal) -> Result<Made, Failure> {
    let mut reports = Vec::new();
    for split in journal.splits().filter(|split| journal.done(split) > 0) {
        output.complete(split);
        reports.push(Report { left_out: output.rejected(split)?, ..journal.report(split) });
    }
    Ok((reports, Vec::new()))
}
