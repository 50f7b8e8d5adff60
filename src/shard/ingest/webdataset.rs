//! WebDataset tars: members that share a path up to the first dot of the file name are one sample.
//!
//! The image is `KEY.jpg`, `.jpeg` or `.png`; the label `KEY.cls` (a number in text) or `KEY.json` (a number under `label`, `cls` or
//! `class`). Other members of a key (captions, scores) are ignored. A set without any label is taken without labels. The split is
//! the first of the words `train`, `val`, `validation`, `valid`, `test` in the tar's file name, otherwise `train`. Classes are called
//! by their numbers. Samples are named `TAR/KEY.ext` and sorted so; compressed tars are refused, as they cannot be read by offset.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::archive::{Archive, Member};
use super::{Dataset, IngestError, Item, LeftOut, Place, Reason, SPLITS, Split};
use crate::shard::NO_LABEL;

const FORMAT: &str = "webdataset";
const EXPECTED: &str = "give a tar, or a folder of tars, with members KEY.jpg (or .jpeg, .png) and KEY.cls (or .json)";
/// Larger class numbers are taken for a mistake: a class list is kept for every number up to the largest.
const MAX_CLASSES: u32 = 1_000_000;
const MAX_LABEL_BYTES: u64 = 1 << 20;

/// Indexes one tar or all `*.tar` of a folder.
///
/// # Errors
/// [`IngestError`]: nothing there, a broken or compressed tar, no image in any.
pub fn read(source: &Path) -> Result<Dataset, IngestError> {
    let mut by_split: BTreeMap<usize, (Vec<Item>, Vec<LeftOut>)> = BTreeMap::new();
    for path in tars(source)? {
        let archive = Archive::open(&path)?;
        let members = archive.members(archive.all())?;
        let split = SPLITS.iter().position(|&split| split == split_of(&archive.file_name())).unwrap_or(0);
        let (items, left_out) = by_split.entry(split).or_default();
        read_tar(&archive, members, items, left_out);
    }
    let labelled = by_split.values().any(|(items, _)| items.iter().any(|item| item.label != NO_LABEL));
    if labelled {
        by_split.values_mut().for_each(|(items, left_out)| leave_out_unlabelled(items, left_out));
    }
    let labels = by_split.values().flat_map(|(items, _)| items.iter().map(|item| item.label));
    let count = labels.filter(|&label| label != NO_LABEL).max().map_or(0, |largest| largest + 1);
    let classes: Vec<String> = (0..count).map(|class| class.to_string()).collect();

    let mut dataset = Dataset { format: FORMAT, splits: Vec::new(), left_out: Vec::new() };
    for (split, (items, left_out)) in by_split {
        if items.is_empty() {
            dataset.left_out.extend(left_out);
        } else {
            dataset.splits.push(Split::new(SPLITS[split], classes.clone(), items, left_out));
        }
    }
    if dataset.splits.is_empty() {
        return Err(IngestError::Empty { path: source.to_owned(), format: FORMAT, expected: EXPECTED });
    }
    Ok(dataset)
}

/// The `*.tar` files of the folder `source`, sorted, or `source` itself where it is a file.
pub fn tars(source: &Path) -> Result<Vec<PathBuf>, IngestError> {
    let failed = |e| IngestError::io(source, e);
    if !source.metadata().map_err(failed)?.is_dir() {
        return Ok(vec![source.to_owned()]);
    }
    let mut tars = Vec::new();
    for entry in fs::read_dir(source).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "tar") && path.is_file() {
            tars.push(path);
        }
    }
    tars.sort();
    Ok(tars)
}

/// The split that a tar's file name tells.
fn split_of(file_name: &str) -> &'static str {
    file_name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .find_map(|word| match word.to_ascii_lowercase().as_str() {
            "train" => Some("train"),
            "val" | "validation" | "valid" => Some("val"),
            "test" => Some("test"),
            _ => None,
        })
        .unwrap_or("train")
}

/// The members of one key.
#[derive(Default)]
struct Group {
    images: Vec<Member>,
    label: Option<Result<u32, Reason>>,
    others: Vec<String>,
}

fn read_tar(archive: &Arc<Archive>, members: Vec<Member>, items: &mut Vec<Item>, left_out: &mut Vec<LeftOut>) {
    let tar = archive.file_name();
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for member in members {
        let dot = member.name.len() - member.base().len() + member.base().find('.').unwrap_or(member.base().len());
        let (key, extension) = member.name.split_at(dot);
        if !member.regular {
            left_out.push(LeftOut::new(format!("{tar}/{}", member.name), Reason::NotRegular));
            continue;
        }
        let extension = extension.to_ascii_lowercase();
        let group = groups.entry(key.to_owned()).or_default();
        match extension.as_str() {
            ".jpg" | ".jpeg" | ".png" => group.images.push(member),
            ".cls" => group.label = label_of(archive, &member, parse_cls),
            ".json" if group.label.is_none() => group.label = label_of(archive, &member, parse_json),
            _ => group.others.push(member.name),
        }
    }
    for (key, group) in groups {
        take_group(archive, &tar, &key, group, items, left_out);
    }
}

fn take_group(
    archive: &Arc<Archive>,
    tar: &str,
    key: &str,
    group: Group,
    items: &mut Vec<Item>,
    left_out: &mut Vec<LeftOut>,
) {
    if group.images.is_empty() {
        let names = if group.others.is_empty() { vec![key.to_owned()] } else { group.others };
        left_out.extend(names.into_iter().map(|name| LeftOut::new(format!("{tar}/{name}"), Reason::NoImage)));
        return;
    }
    let mut images = group.images.into_iter();
    let Some(image) = images.next() else { return };
    left_out.extend(images.map(|second| LeftOut::new(format!("{tar}/{}", second.name), Reason::Duplicate)));
    let name = format!("{tar}/{}", image.name);
    match group.label.transpose() {
        Ok(label) => {
            let place = Place::Member { archive: archive.clone(), offset: image.offset, length: image.length };
            items.push(Item { name, label: label.unwrap_or(NO_LABEL), place });
        }
        Err(reason) => left_out.push(LeftOut { name, reason }),
    }
}

fn leave_out_unlabelled(items: &mut Vec<Item>, left_out: &mut Vec<LeftOut>) {
    let unlabelled = items.extract_if(.., |item| item.label == NO_LABEL);
    left_out.extend(unlabelled.map(|item| LeftOut::new(item.name, Reason::NoLabel("no .cls or .json beside it"))));
}

/// The label that `member` holds; `None` where it is well formed but speaks of something else.
fn label_of(
    archive: &Archive,
    member: &Member,
    parse: fn(&[u8]) -> Result<Option<u64>, ()>,
) -> Option<Result<u32, Reason>> {
    if member.length > MAX_LABEL_BYTES {
        return Some(Err(Reason::BadLabel(format!("{} has {} bytes", member.name, member.length))));
    }
    let bytes = match archive.read(member.offset, member.length) {
        Ok(bytes) => bytes,
        Err(error) => return Some(Err(Reason::Unreadable(error.to_string()))),
    };
    let shown = || String::from_utf8_lossy(&bytes).trim().chars().take(40).collect::<String>();
    match parse(&bytes) {
        Ok(None) => None,
        Ok(Some(label)) if label < u64::from(MAX_CLASSES) => Some(Ok(label as u32)),
        Ok(Some(label)) => Some(Err(Reason::BadLabel(format!("class number {label} is above {}", MAX_CLASSES - 1)))),
        Err(()) => Some(Err(Reason::BadLabel(format!("`{}` holds no class number", shown())))),
    }
}

fn parse_cls(bytes: &[u8]) -> Result<Option<u64>, ()> {
    let text = std::str::from_utf8(bytes).map_err(drop)?;
    text.trim().parse().map(Some).map_err(drop)
}

fn parse_json(bytes: &[u8]) -> Result<Option<u64>, ()> {
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(drop)?;
    let label = ["label", "cls", "class"].into_iter().find_map(|key| value.get(key));
    label.map(|label| label.as_u64().ok_or(())).transpose()
}
