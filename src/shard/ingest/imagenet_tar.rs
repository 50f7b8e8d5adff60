//! ILSVRC2012 as downloaded: `ILSVRC2012_img_train.tar`, a tar of one tar a synset, and `ILSVRC2012_img_val.tar`, a flat tar
//! whose labels come from a file ([`Labels`]). A folder may hold either or both.
//!
//! Samples are named `SYNSET/FILE` and sorted so; a label is the rank of the synset among all synsets of the source.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::archive::{Archive, Member};
use super::labels::Labels;
use super::{Dataset, IngestError, Item, LeftOut, Place, Reason, Split};

const FORMAT: &str = "imagenet";
const EXPECTED: &str =
    "give ILSVRC2012_img_train.tar (a tar of tars), ILSVRC2012_img_val.tar with --labels, or a folder with both";

/// The file name of the validation images, which tells them from other flat tars.
pub const VAL_TAR: &str = "ILSVRC2012_img_val.tar";
/// The file name of the training images.
pub const TRAIN_TAR: &str = "ILSVRC2012_img_train.tar";

/// Indexes a train tar, a validation tar (recognised by `labels` or its name), or a folder with both.
///
/// # Errors
/// [`IngestError`]: an archive or label file that is missing or broken, a validation tar without labels, no sample at all.
pub fn read(source: &Path, labels: Option<&Path>, synsets: Option<&Path>) -> Result<Dataset, IngestError> {
    let tars = tars(source)?;
    let labels = labels.map(|path| Labels::read(path, synsets)).transpose()?;
    let mut left_out = Vec::new();
    let (mut train, mut val) = (Vec::new(), Vec::new());
    for path in tars {
        let archive = Archive::open(&path)?;
        let members = archive.members(archive.all())?;
        if is_nested(&members) {
            train.extend(read_train(&archive, members, &mut left_out)?);
        } else {
            let labels = labels.as_ref().ok_or_else(|| IngestError::NeedsLabels { path: path.clone() })?;
            val.extend(read_val(&archive, members, labels, &mut left_out));
        }
    }
    let mut classes: Vec<String> = labels.map(|labels| labels.classes).unwrap_or_default();
    classes.extend(train.iter().map(|sample: &Sample| sample.synset.clone()));
    classes.sort_unstable();
    classes.dedup();
    let splits: Vec<Split> = [("train", train), ("val", val)]
        .into_iter()
        .filter(|(_, samples)| !samples.is_empty())
        .map(|(split, samples)| Split::new(split, classes.clone(), items(samples, &classes), Vec::new()))
        .collect();
    if splits.is_empty() {
        return Err(IngestError::Empty { path: source.to_owned(), format: FORMAT, expected: EXPECTED });
    }
    Ok(Dataset { format: FORMAT, splits, left_out })
}

/// Whether the members are tars themselves, as in the archive of the training images.
pub fn is_nested(members: &[Member]) -> bool {
    members.iter().any(|member| member.regular && member.name.ends_with(".tar"))
}

fn tars(source: &Path) -> Result<Vec<PathBuf>, IngestError> {
    let metadata = source.metadata().map_err(|e| IngestError::io(source, e))?;
    if !metadata.is_dir() {
        return Ok(vec![source.to_owned()]);
    }
    let tars: Vec<PathBuf> =
        [TRAIN_TAR, VAL_TAR].into_iter().map(|name| source.join(name)).filter(|path| path.is_file()).collect();
    if tars.is_empty() {
        return Err(IngestError::WrongKind { path: source.to_owned(), format: FORMAT, expected: EXPECTED });
    }
    Ok(tars)
}

struct Sample {
    synset: String,
    file: String,
    place: Place,
}

fn read_train(
    archive: &Arc<Archive>,
    outer: Vec<Member>,
    left_out: &mut Vec<LeftOut>,
) -> Result<Vec<Sample>, IngestError> {
    let mut samples = Vec::new();
    for class in outer {
        let Some(synset) = class.base().strip_suffix(".tar").filter(|_| class.regular) else {
            left_out.push(LeftOut::new(class.name, Reason::NoClass));
            continue;
        };
        let end = class.offset.saturating_add(class.length);
        if end > archive.all().end {
            // What is still there of the class is read; the loss is listed.
            left_out.push(LeftOut::new(class.name.clone(), Reason::Truncated("its archive ends inside it".into())));
        }
        for member in archive.members(class.offset..end)? {
            take(archive, synset, member, &mut samples, left_out);
        }
    }
    Ok(samples)
}

fn read_val(archive: &Arc<Archive>, members: Vec<Member>, labels: &Labels, left_out: &mut Vec<LeftOut>) -> Vec<Sample> {
    let mut samples = Vec::new();
    for member in members {
        match labels.synset(member.base()) {
            Some(synset) => take(archive, synset, member, &mut samples, left_out),
            None => left_out.push(LeftOut::new(member.name, Reason::NoLabel("not in the label file"))),
        }
    }
    samples
}

fn take(archive: &Arc<Archive>, synset: &str, member: Member, samples: &mut Vec<Sample>, left_out: &mut Vec<LeftOut>) {
    let file = member.base().to_owned();
    if !member.regular {
        left_out.push(LeftOut::new(format!("{synset}/{file}"), Reason::NotRegular));
        return;
    }
    let place = Place::Member { archive: archive.clone(), offset: member.offset, length: member.length };
    samples.push(Sample { synset: synset.to_owned(), file, place });
}

fn items(mut samples: Vec<Sample>, classes: &[String]) -> Vec<Item> {
    samples.sort_by(|a, b| (&a.synset, &a.file).cmp(&(&b.synset, &b.file)));
    let label = |synset: &String| classes.binary_search(synset).expect("classes hold every sample's synset") as u32;
    let item = |s: Sample| Item { label: label(&s.synset), name: format!("{}/{}", s.synset, s.file), place: s.place };
    samples.into_iter().map(item).collect()
}
