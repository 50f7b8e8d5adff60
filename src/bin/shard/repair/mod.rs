//! `metacl-shard repair`: a dataset out of the intact samples of a damaged one.
//!
//! - here: the command. `source`: the files of a split, and what they still tell. `quarantine`: what is lost, kept and listed.

mod quarantine;
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use metacl::config::parse_bytes;
use metacl::shard::salvage::{Loss, Lost, Piece};
use metacl::shard::{Location, ShardError, SplitWriter, Storage, WriteOptions};
use quarantine::Quarantine;
use source::Source;

use super::dataset::{self, Place};
use super::output::{Output, REJECTED};
use super::{Failure, Outcome, text};

/// Make a sound dataset of what is intact in a damaged one
///
/// Every file is looked through, whatever of it is left: header, index or records damaged, cut short, or gone. A sample is intact where the
/// checksum of its record holds and its entry in the index is known: nothing else says its label and name, so the records of an
/// index page that does not hold are lost with it. Of a file whose end is cut off, with the checksums of its index pages, those pages are
/// taken that lead from record to record to themselves; a note says so. Classes that no file of a split has left come from another
/// split, or else are numbers.
///
/// DATA is not touched. The intact samples of all its splits go to DST, in their order; sound splits are copied too (give one split's
/// folder to repair that alone). What is lost goes to DST/quarantine: the bytes, and a line each in quarantine.jsonl with split, file,
/// offset, length, name and label where they are known, and reason. Exit code 0 where nothing is lost (or nothing is damaged, then
/// nothing is written), 3 where something is.
///
/// Example: metacl-shard repair data/imagenet/train -o data/rescued
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// Dataset, split folder or .mcs file on a disk
    data: PathBuf,
    /// Dataset folder to make [default: DATA.repaired]
    #[arg(short = 'o', long = "out", value_name = "DST")]
    dst: Option<PathBuf>,
    /// Largest shard file, e.g. 512M or 2G
    #[arg(long, value_name = "BYTES", default_value = "1G", value_parser = parse_bytes)]
    shard_size: u64,
}

pub(super) fn run(args: &Args, storage: &Storage) -> Result<Outcome, Failure> {
    source::on_disk(&Location::parse(&args.data)?)?;
    let places = dataset::splits(&args.data, storage)?;
    if is_sound(&places)? {
        text::print(format_args!("{}: sound, nothing to repair", args.data.display()))?;
        return Ok(Outcome::Done);
    }
    let sources = places.iter().map(Source::read).collect::<Result<Vec<_>, _>>()?;
    let dst = args.dst.clone().unwrap_or_else(|| default_target(&args.data));
    let mut names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
    names.push(quarantine::FOLDER);
    let classes = source::classes(&sources)?;
    let (mut output, _) = Output::create(&dst, &names, &classes)?;
    let mut quarantine = Quarantine::create(&output.folder(quarantine::FOLDER))?;
    let mut lines = Vec::new();
    for source in &sources {
        let kept = rescue(source, &classes, args.shard_size, &output.folder(&source.name), &mut quarantine)?;
        if kept > 0 {
            output.complete(&source.name);
        }
        lines.push(source.line(kept));
    }
    if sources.iter().all(|source| !output.is_complete(&source.name)) {
        return Err(Failure::Failed(format!("{}: no sample is intact; convert again", args.data.display())));
    }
    let lost = quarantine.close()?;
    if lost > 0 {
        output.complete(quarantine::FOLDER);
    }
    let list = output.place(quarantine::FOLDER).join(quarantine::LIST);
    output.finish()?;

    lines.iter().try_for_each(text::print)?;
    text::print(format_args!("{}: made; {} is as it was", dst.display(), args.data.display()))?;
    if lost == 0 {
        return Ok(Outcome::Done);
    }
    text::print(format_args!("lost: {}, listed in {}", text::count(lost, "piece"), list.display()))?;
    Ok(Outcome::LeftOut)
}

fn is_sound(places: &[Place]) -> Result<bool, Failure> {
    for place in places {
        if !place.verify()?.1.is_empty() || place.open().is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `DATA.repaired`, beside it.
fn default_target(data: &Path) -> PathBuf {
    let real = fs::canonicalize(data).unwrap_or_else(|_| data.to_owned());
    let mut name = real.file_name().unwrap_or_default().to_owned();
    name.push(".repaired");
    real.with_file_name(name)
}

/// Writes the intact samples of `source` into `folder`; how many.
fn rescue(
    source: &Source,
    classes: &[String],
    shard_size: u64,
    folder: &Path,
    quarantine: &mut Quarantine,
) -> Result<u64, Failure> {
    let metadata = source.metadata();
    let options = WriteOptions { shard_size, classes: classes.to_vec(), metadata, ..WriteOptions::default() };
    let mut writer = SplitWriter::create(folder, options)?;
    let mut kept = 0;
    for file in &source.files {
        for piece in file.pieces() {
            match piece {
                Piece::Lost(lost) => quarantine.add(&source.name, file.path(), &lost)?,
                Piece::Intact { sample, offset } => match writer.append(&sample) {
                    Err(ShardError::Unstorable { refusal, .. }) => {
                        // The class list that this file had is gone.
                        let tag = Some((sample.name, sample.label));
                        let lost = Lost { offset, bytes: sample.bytes, tag, reason: Loss::Record(refusal) };
                        quarantine.add(&source.name, file.path(), &lost)?;
                    }
                    appended => {
                        appended?;
                        kept += 1;
                    }
                },
            }
        }
        if file.is_unproven() {
            let what =
                "its page table is lost; records hold, but nothing proves that labels and names of its samples do";
            eprintln!("metacl-shard: note: {}: {what}", file.path().display());
        }
    }
    for path in &source.missing {
        quarantine.add_missing(&source.name, path)?;
    }
    if kept > 0 {
        writer.finish()?;
        let list = source.folder.join(REJECTED);
        if list.is_file() {
            fs::copy(list, folder.join(REJECTED))?;
        }
    }
    Ok(kept)
}
