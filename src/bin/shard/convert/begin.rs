//! What a conversion is to do, and whether an interrupted one was to do the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroU64;
use std::path::Path;

use clap::ValueEnum;
use metacl::rng::{Permutation, Purpose, Stream};
use metacl::shard::ingest::{Dataset, LeftOut, Split};
use xxhash_rust::xxh3::Xxh3;

use super::Args;
use crate::shard::Failure;
use crate::shard::journal::Journal;
use crate::shard::output::Rejected;
use crate::shard::split::{self, Corrupt};
use crate::shard::stamps::Stamps;

/// Under `--corrupt error`, what the list of the source already refuses ends the conversion before it begins.
pub(super) fn refuse_left_out(args: &Args, dataset: &Dataset) -> Result<(), Failure> {
    if args.corrupt == Corrupt::Skip {
        return Ok(());
    }
    let of_splits =
        dataset.splits.iter().flat_map(|split| split.left_out.iter().map(|file| (split.name.as_str(), file)));
    match dataset.left_out.iter().map(|file| ("source", file)).chain(of_splits).next() {
        Some((split, LeftOut { name, reason })) => Err(Corrupt::refusal(split, name, reason)),
        None => Ok(()),
    }
}

/// Leaves in `dataset` what `--limit` and `--part` ask for.
pub(super) fn take_part(args: &Args, dataset: &mut Dataset) {
    for (number, split) in (0..).zip(&mut dataset.splits) {
        take_subset(split, number, args);
        if let Some(part) = args.part {
            part.take(split);
        }
    }
    if args.part.is_some_and(|part| !part.is_first()) {
        dataset.left_out.clear();
    }
    // A part of few samples may have none of a split.
    dataset.splits.retain(|split| !split.items.is_empty() || !split.left_out.is_empty());
}

/// Keeps `--limit` of the items, in their order.
fn take_subset(split: &mut Split, number: u32, args: &Args) {
    let count = split.items.len() as u64;
    let Some(limit) = args.limit.map(NonZeroU64::get).filter(|&limit| limit < count) else { return };
    let order = Permutation::new(count, Stream::new(args.seed, Purpose::Split).key(), number);
    let mut chosen = vec![false; split.items.len()];
    (0..limit).for_each(|place| chosen[order.at(place) as usize] = true);
    let mut chosen = chosen.into_iter();
    split.items.retain(|_| chosen.next() == Some(true));
}

/// What the shard says about its making. No absolute path: a shard may be published.
fn metadata(args: &Args, format: &str, split: &mut Split) -> BTreeMap<String, String> {
    let mut metadata = std::mem::take(&mut split.metadata);
    let source = fs::canonicalize(&args.src).unwrap_or_else(|_| args.src.clone());
    let source = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
    metadata.extend([("source".to_owned(), source), ("format".to_owned(), format.to_owned())]);
    if let Some(store) = args.store.to_possible_value() {
        metadata.insert("store".to_owned(), store.get_name().to_owned());
    }
    if let Some(side) = args.max_side {
        metadata.insert("max_side".to_owned(), side.to_string());
    }
    if let Some(limit) = args.limit {
        metadata.extend([("limit".to_owned(), limit.to_string()), ("seed".to_owned(), args.seed.to_string())]);
    }
    metadata.extend([split::tool()]);
    metadata
}

/// Notes in the journal what is to be done, and beside it what the source is now. Where an interrupted conversion has finished files, these
/// must be of the same options and samples. The metadata of each split.
pub(super) fn begin(
    args: &Args,
    dataset: &mut Dataset,
    stage: &Path,
    journal: &mut Journal,
) -> Result<Vec<BTreeMap<String, String>>, Failure> {
    let format = dataset.format;
    let metadata: Vec<_> = dataset.splits.iter_mut().map(|split| metadata(args, format, split)).collect();
    let mut begun = BTreeMap::new();
    let mut all_stamps = Vec::new();
    for (split, metadata) in dataset.splits.iter().zip(&metadata) {
        let options = options(args, split, metadata);
        let stamps = Stamps::of(split, stage);
        if journal.done(&split.name) > 0 {
            refuse_other_options(stage, &split.name, journal, &options)?;
            // Once all is whole, the source is not needed any more.
            if !journal.is_whole() {
                refuse_other_samples(args, split, &stamps, journal)?;
            }
            refuse_left_out_before(args, &split.name, journal)?;
        }
        begun.insert(split.name.clone(), options);
        all_stamps.push(stamps);
    }
    if let Some(split) = journal.splits().find(|split| journal.done(split) > 0 && !begun.contains_key(*split)) {
        let message = "has no samples in the source any more, but finished files of an interrupted conversion";
        return Err(Failure::Failed(format!("{split}: {message}; {}", anew(stage))));
    }
    if !journal.is_whole() {
        all_stamps.iter().try_for_each(Stamps::keep)?;
        journal.begin(begun)?;
    }
    Ok(metadata)
}

/// All that decides which bytes are written, beside the samples.
fn options(args: &Args, split: &Split, metadata: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut classes = Xxh3::new();
    for class in &split.classes {
        classes.update(&(class.len() as u64).to_le_bytes());
        classes.update(class.as_bytes());
    }
    let more = [
        ("shard_size", args.shard_size.to_string()),
        ("max_pixels", args.limits.decoder().max_pixels.to_string()),
        ("no_check", args.no_check.to_string()),
        ("classes", format!("{} ({:016x})", split.classes.len(), classes.digest())),
    ];
    let mut options = metadata.clone();
    options.extend(more.map(|(key, value)| (key.to_owned(), value)));
    options
}

fn refuse_other_options(
    stage: &Path,
    split: &str,
    journal: &Journal,
    now: &BTreeMap<String, String>,
) -> Result<(), Failure> {
    let Some(then) = journal.options(split) else { return Ok(()) };
    let value =
        |options: &BTreeMap<String, String>, key: &str| options.get(key).map_or("unset", |value| value).to_owned();
    let keys: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let other = keys.into_iter().filter(|key| then.get(*key) != now.get(*key));
    let list: Vec<_> = other.map(|key| format!("{key} {} (now {})", value(then, key), value(now, key))).collect();
    if list.is_empty() {
        return Ok(());
    }
    let list = list.join(", ");
    Err(Failure::Failed(format!("{split}: this conversion was begun with {list}: give the same; {}", anew(stage))))
}

fn refuse_other_samples(args: &Args, split: &Split, stamps: &Stamps, journal: &Journal) -> Result<(), Failure> {
    let Some(index) = stamps.changed(journal.done(&split.name))? else { return Ok(()) };
    let now = split.items.get(index as usize).map_or("none", |item| item.name.as_str());
    Err(Failure::Failed(format!(
        "{}: has changed since the conversion was begun: {}: sample {index} (now {now}) is another, or has another length, time of \
         change or label; {}",
        args.src.display(),
        split.name,
        anew(stamps.folder())
    )))
}

/// Under `--corrupt error`, files that the interrupted conversion was allowed to leave out end this one.
fn refuse_left_out_before(args: &Args, split: &str, journal: &Journal) -> Result<(), Failure> {
    match (args.corrupt, journal.report(split).left_out.first()) {
        (Corrupt::Error, Some(Rejected { name, reason })) => Err(Corrupt::refusal(split, name, reason)),
        _ => Ok(()),
    }
}

fn anew(stage: &Path) -> String {
    format!("or delete {} to begin anew", stage.display())
}
