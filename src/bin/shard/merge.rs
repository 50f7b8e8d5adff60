//! `metacl-shard merge`: the parts of a conversion, joined.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use metacl::shard::{Location, ShardSet, SplitWriter, Storage, WriteOptions};

use super::destination::Destination;
use super::output::{Output, REJECTED};
use super::part::{self, Whole};
use super::{Failure, Outcome, dataset, text};

/// Join the parts that `convert --part i/n` wrote
///
/// Gives the dataset that a conversion in one go gives, sample for sample; only where files are cut may differ. Records are copied as
/// they are, and read back. Refused are parts of different conversions or of a source that changed between them, a part given twice,
/// and a set that is not complete; what is missing is named.
///
/// Example: metacl-shard merge data/parts/part-*-of-0004 -o data/imagenet
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// Folders or URLs of all parts, in any order
    #[arg(required = true)]
    parts: Vec<PathBuf>,
    /// Dataset folder to make, or its URL
    #[arg(short = 'o', long = "out", value_name = "DST")]
    dst: PathBuf,
    /// For a DST that is a URL: folder with room for the dataset, which is made there first [default: the system's]
    #[arg(long, value_name = "FOLDER")]
    stage: Option<PathBuf>,
}

/// One split of all parts that have it.
#[derive(Default)]
struct Parts {
    sets: Vec<ShardSet>,
    names: Vec<String>,
    places: Vec<Location>,
}

pub(super) fn run(args: &Args, storage: &Storage) -> Result<Outcome, Failure> {
    let mut splits: BTreeMap<String, Parts> = BTreeMap::new();
    for path in &args.parts {
        for place in dataset::splits(path, storage)? {
            let parts = splits.entry(place.name.clone()).or_default();
            parts.sets.push(place.open()?);
            parts.names.push(dataset::shown(path));
            parts.places.push(place.location);
        }
    }
    let wholes = splits.iter().map(|(name, parts)| part::whole(name, &parts.sets, &parts.names));
    let wholes = wholes.collect::<Result<Vec<_>, _>>()?;

    let destination = Destination::new(&args.dst, args.stage.as_deref(), storage)?;
    let names: Vec<&str> = splits.keys().map(String::as_str).collect();
    let classes = splits.values().next().map_or(&[][..], |parts| parts.sets[0].classes());
    destination.refuse_existing(&names, classes)?;
    let (mut output, _) = Output::create(destination.folder(), &names, classes)?;
    let mut lines = Vec::new();
    for ((name, parts), whole) in splits.iter().zip(wholes) {
        let folder = output.folder(name);
        lines.push(join(name, parts, &whole, &folder)?);
        list_rejected(parts, &whole, &folder, storage)?;
        output.complete(name);
    }
    output.finish()?;
    destination.publish()?;
    lines.iter().try_for_each(text::print)?;
    Ok(Outcome::Done)
}

fn join(name: &str, parts: &Parts, whole: &Whole, folder: &Path) -> Result<String, Failure> {
    let classes = parts.sets[0].classes().to_vec();
    let options = WriteOptions { classes, metadata: whole.metadata.clone(), ..WriteOptions::default() };
    let mut writer = SplitWriter::create(folder, options)?;
    for &number in &whole.order {
        parts.sets[number].shards().iter().try_for_each(|file| writer.append_file(file))?;
    }
    let summary = writer.finish()?;
    let [samples, files, joined] =
        [(summary.samples, "sample"), (summary.files, "file"), (whole.order.len() as u64, "part")]
            .map(|(number, noun)| text::count(number, noun));
    Ok(format!("{name}: {samples} in {files}, {}, out of {joined}", text::bytes(summary.bytes)))
}

/// Lists what all parts left out, in their order.
fn list_rejected(parts: &Parts, whole: &Whole, folder: &Path, storage: &Storage) -> Result<(), Failure> {
    let mut all = Vec::new();
    for &number in &whole.order {
        let list = match parts.places[number].join(REJECTED) {
            Location::Disk(path) if !path.exists() => None,
            Location::Disk(path) => Some(fs::read(path)?),
            url => storage.fetch(&url)?,
        };
        all.extend(list.unwrap_or_default());
    }
    if !all.is_empty() {
        fs::write(folder.join(REJECTED), all)?;
    }
    Ok(())
}
