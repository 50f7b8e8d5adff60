//! CIFAR-10 and CIFAR-100 (Krizhevsky 2009), as published: binary or pickled batches, as a folder, `.tar` or `.tar.gz`.
//!
//! Any subset of the batches is taken, in the order `data_batch_1`, `data_batch_2`, ... (CIFAR-100: `train`); samples keep the order of
//! the file and are named `BATCH/NUMBER`. Pixels become interleaved RGB. CIFAR-100 is labelled by its fine labels; the coarse
//! names and the coarse number of each fine class go into the metadata (`coarse_names`, `coarse_of_fine`, separated by commas).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use super::pickle::Pickle;
use super::{Dataset, IngestError, Item, LeftOut, Place, Reason, Split};
use crate::image::Size;

/// Every image is 32 x 32.
pub const SIZE: Size = Size::new(32, 32);

const FORMAT: &str = "cifar";
const EXPECTED: &str =
    "give a folder or .tar.gz with data_batch_1(.bin), test_batch(.bin), or CIFAR-100's train(.bin), test(.bin)";
const PLANE: usize = 32 * 32;
const IMAGE: usize = 3 * PLANE;
/// CIFAR-100's training batch, the largest file published, has 154 MB; more in one file is no CIFAR.
const MAX_BATCH_BYTES: u64 = 1 << 28;
/// All that is held or unpacked of one source; CIFAR-100 has 186 MB. A small .gz can unpack to a thousand times its length.
const MAX_SOURCE_BYTES: u64 = 1 << 30;

/// Indexes a folder or archive of batches.
///
/// # Errors
/// [`IngestError`]: no batch there, an archive or pickle that is broken, a file of impossible size.
pub fn read(source: &Path) -> Result<Dataset, IngestError> {
    let mut files = gather(source)?;
    let mut names = Names::default();
    for (file, bytes) in files.iter().filter(|(file, _)| role(file) == Some(Role::Names)) {
        names.read(&source.join(file), file, bytes)?;
    }
    let mut batches: Vec<String> =
        files.keys().filter(|file| matches!(role(file), Some(Role::Batch(..)))).cloned().collect();
    // Batch 10 after batch 9: by length, then by name.
    batches.sort_by_key(|file| (file.len(), file.clone()));

    let mut splits = BTreeMap::new();
    let mut coarse_of_fine = BTreeMap::new();
    for file in batches {
        let (Some(Role::Batch(split, many)), Some(bytes)) = (role(&file), files.remove(&file)) else { continue };
        let mut batch = if file.ends_with(".bin") {
            Batch::binary(bytes, many)
        } else {
            Batch::pickled(&source.join(&file), &bytes, many)?
        };
        coarse_of_fine.append(&mut batch.coarse_of_fine);
        let (items, left_out) = splits.entry(split).or_insert_with(|| (Vec::new(), Vec::new()));
        batch.into_items(&file, items, left_out);
    }

    let count = if coarse_of_fine.is_empty() { 10 } else { 100 };
    let classes = if names.fine.is_empty() { (0..count).map(|class| class.to_string()).collect() } else { names.fine };
    let mut dataset = Dataset { format: FORMAT, splits: Vec::new(), left_out: Vec::new() };
    for (split, (items, mut left_out)) in splits {
        let (items, unknown): (Vec<Item>, Vec<Item>) =
            items.into_iter().partition(|item| (item.label as usize) < classes.len());
        let reason = |item: &Item| Reason::BadLabel(format!("{}, of {} classes", item.label, classes.len()));
        left_out.extend(unknown.iter().map(|item| LeftOut::new(item.name.clone(), reason(item))));
        if items.is_empty() {
            dataset.left_out.extend(left_out);
            continue;
        }
        let mut split = Split::new(split.name(), classes.clone(), items, left_out);
        if !names.coarse.is_empty() && !coarse_of_fine.is_empty() {
            let numbers: Vec<String> = coarse_of_fine.values().map(u8::to_string).collect();
            split.metadata.insert("coarse_names".to_owned(), names.coarse.join(","));
            split.metadata.insert("coarse_of_fine".to_owned(), numbers.join(","));
        }
        dataset.splits.push(split);
    }
    if dataset.splits.is_empty() {
        return Err(IngestError::Empty { path: source.to_owned(), format: FORMAT, expected: EXPECTED });
    }
    Ok(dataset)
}

/// Whether a file of this name is a batch.
pub fn is_batch(file: &str) -> bool {
    matches!(role(file), Some(Role::Batch(..)))
}

/// Turns the planes at `offset` of `batch` into interleaved RGB, 3,072 bytes; `None` where the batch ends before.
pub(crate) fn interleave(batch: &[u8], offset: usize) -> Option<Vec<u8>> {
    let planes = batch.get(offset..offset.checked_add(IMAGE)?)?;
    Some((0..IMAGE).map(|at| planes[at % 3 * PLANE + at / 3]).collect())
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Which {
    Train,
    Test,
}

impl Which {
    fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }
}

/// How many labels an image has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Labels {
    /// CIFAR-10: the class.
    One,
    /// CIFAR-100: coarse, then fine.
    Two,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Batch(Which, Labels),
    Names,
}

fn role(file: &str) -> Option<Role> {
    let stem = file.strip_suffix(".bin").unwrap_or(file);
    let number =
        stem.strip_prefix("data_batch_").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    match (stem, file) {
        _ if number => Some(Role::Batch(Which::Train, Labels::One)),
        ("test_batch", _) => Some(Role::Batch(Which::Test, Labels::One)),
        ("train", _) => Some(Role::Batch(Which::Train, Labels::Two)),
        ("test", _) => Some(Role::Batch(Which::Test, Labels::Two)),
        (_, "batches.meta" | "batches.meta.txt" | "meta" | "fine_label_names.txt" | "coarse_label_names.txt") => {
            Some(Role::Names)
        }
        _ => None,
    }
}

/// The batches and name lists of `source`, by file name; other files are not touched.
fn gather(source: &Path) -> Result<BTreeMap<String, Vec<u8>>, IngestError> {
    let failed = |e| IngestError::io(source, e);
    if source.metadata().map_err(failed)?.is_dir() {
        return gather_folder(source);
    }
    let mut file = BufReader::new(File::open(source).map_err(failed)?);
    let mut magic = Vec::new();
    file.by_ref().take(2).read_to_end(&mut magic).map_err(failed)?;
    file = BufReader::new(File::open(source).map_err(failed)?);
    let stream: Box<dyn Read> =
        if magic == [0x1f, 0x8b] { Box::new(flate2::read::GzDecoder::new(file)) } else { Box::new(file) };
    gather_tar(source, stream)
}

fn gather_folder(source: &Path) -> Result<BTreeMap<String, Vec<u8>>, IngestError> {
    let (mut files, mut total) = (BTreeMap::new(), 0);
    for entry in fs::read_dir(source).map_err(|e| IngestError::io(source, e))? {
        let path = entry.map_err(|e| IngestError::io(source, e))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if role(name).is_none() || !path.is_file() {
            continue;
        }
        let open = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (length, file) = open.map_err(|e| IngestError::io(&path, e))?;
        check_total(source, &mut total, length)?;
        files.insert(name.to_owned(), read_limited(&path, length, file)?);
    }
    Ok(files)
}

fn gather_tar(source: &Path, stream: Box<dyn Read>) -> Result<BTreeMap<String, Vec<u8>>, IngestError> {
    let broken = |source_error| IngestError::Tar { path: source.to_owned(), offset: 0, source: source_error };
    let (mut files, mut total) = (BTreeMap::new(), 0);
    let mut tar = tar::Archive::new(stream);
    // Raw: long names and attributes, which batches have no need of, are passed over like any other member, not held.
    for entry in tar.entries().map_err(broken)?.raw(true) {
        let entry = entry.map_err(broken)?;
        check_total(source, &mut total, entry.size())?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = path.rsplit('/').next().unwrap_or(&path);
        if entry.header().entry_type().is_file() && role(name).is_some() {
            let length = entry.size();
            files.insert(name.to_owned(), read_limited(&source.join(name), length, entry)?);
        }
    }
    Ok(files)
}

/// Adds `length` to what was taken of `source` so far.
fn check_total(source: &Path, total: &mut u64, length: u64) -> Result<(), IngestError> {
    *total = total.saturating_add(length);
    if *total > MAX_SOURCE_BYTES {
        return Err(IngestError::TooLong { path: source.to_owned(), bytes: *total, limit: MAX_SOURCE_BYTES });
    }
    Ok(())
}

fn read_limited(path: &Path, length: u64, reader: impl Read) -> Result<Vec<u8>, IngestError> {
    if length > MAX_BATCH_BYTES {
        return Err(IngestError::TooLong { path: path.to_owned(), bytes: length, limit: MAX_BATCH_BYTES });
    }
    let mut bytes = Vec::new();
    reader.take(length).read_to_end(&mut bytes).map_err(|e| IngestError::io(path, e))?;
    Ok(bytes)
}

/// Class names, as far as the distribution holds them.
#[derive(Default)]
struct Names {
    fine: Vec<String>,
    coarse: Vec<String>,
}

impl Names {
    fn read(&mut self, path: &Path, file: &str, bytes: &[u8]) -> Result<(), IngestError> {
        if let Some(stem) = file.strip_suffix(".txt") {
            let text = String::from_utf8_lossy(bytes);
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
            *(if stem == "coarse_label_names" { &mut self.coarse } else { &mut self.fine }) = lines;
            return Ok(());
        }
        let pickle = parse(path, bytes)?;
        let list = |key| pickle.get(key).and_then(|id| strings(&pickle, id));
        self.coarse = list("coarse_label_names").unwrap_or_default();
        self.fine =
            list("label_names").or_else(|| list("fine_label_names")).ok_or_else(|| lacks(path, "label_names"))?;
        Ok(())
    }
}

/// One batch: where each image starts, and its label.
struct Batch {
    bytes: Vec<u8>,
    images: Vec<(usize, u32)>,
    coarse_of_fine: BTreeMap<u8, u8>,
    truncated: bool,
}

impl Batch {
    /// Records of `[label] [3072]` or `[coarse] [fine] [3072]`; an incomplete last record is reported, not read.
    fn binary(bytes: Vec<u8>, labels: Labels) -> Self {
        let header = if labels == Labels::Two { 2 } else { 1 };
        let records = bytes.chunks_exact(header + IMAGE);
        let truncated = bytes.is_empty() || !records.remainder().is_empty();
        let mut images = Vec::new();
        let mut coarse_of_fine = BTreeMap::new();
        for (number, record) in records.enumerate() {
            let fine = record[header - 1];
            images.push((number * (header + IMAGE) + header, u32::from(fine)));
            if labels == Labels::Two {
                coarse_of_fine.insert(fine, record[0]);
            }
        }
        Self { bytes, images, coarse_of_fine, truncated }
    }

    /// A dictionary with `data` (`u8`, `[images, 3072]`) and `labels`, or `fine_labels` and `coarse_labels`.
    fn pickled(path: &Path, bytes: &[u8], labels: Labels) -> Result<Self, IngestError> {
        let pickle = parse(path, bytes)?;
        let numbers = |key: &str| {
            let list = pickle.list(pickle.get(key)?)?;
            list.iter()
                .map(|&id| pickle.int(id).and_then(|number| u8::try_from(number).ok()))
                .collect::<Option<Vec<u8>>>()
        };
        let data = pickle.get("data").and_then(|id| pickle.array(id));
        let (shape, pixels) = data.ok_or_else(|| lacks(path, "data, a C-ordered array of u8"))?;
        let key = if labels == Labels::Two { "fine_labels" } else { "labels" };
        let fine = numbers(key).ok_or_else(|| lacks(path, key))?;
        let count = fine.len();
        if shape != [count as u64, IMAGE as u64] {
            let what = format!("data has shape {shape:?}, its {count} labels need [{count}, {IMAGE}]");
            return Err(IngestError::Pickle { path: path.to_owned(), offset: 0, what });
        }
        let coarse = if labels == Labels::Two { numbers("coarse_labels").unwrap_or_default() } else { Vec::new() };
        let coarse_of_fine = fine.iter().copied().zip(coarse).collect();
        let images = fine.iter().enumerate().map(|(image, &label)| (image * IMAGE, u32::from(label))).collect();
        Ok(Self { bytes: pixels.into_owned(), images, coarse_of_fine, truncated: false })
    }

    fn into_items(self, file: &str, items: &mut Vec<Item>, left_out: &mut Vec<LeftOut>) {
        let stem = file.strip_suffix(".bin").unwrap_or(file);
        if self.truncated {
            let what = format!("{file} ends inside record {}", self.images.len());
            left_out.push(LeftOut::new(format!("{stem}/{:05}", self.images.len()), Reason::Truncated(what)));
        }
        let batch = Arc::new(self.bytes);
        items.extend(self.images.into_iter().enumerate().map(|(number, (offset, label))| Item {
            name: format!("{stem}/{number:05}"),
            label,
            place: Place::Planes { batch: batch.clone(), offset },
        }));
    }
}

fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<Pickle<'a>, IngestError> {
    Pickle::parse(bytes).map_err(|e| IngestError::Pickle { path: path.to_owned(), offset: e.offset, what: e.what })
}

fn lacks(path: &Path, key: &str) -> IngestError {
    IngestError::Pickle { path: path.to_owned(), offset: 0, what: format!("the dictionary lacks {key}") }
}

fn strings(pickle: &Pickle<'_>, id: usize) -> Option<Vec<String>> {
    let strings = pickle.list(id)?.iter().map(|&id| Some(String::from_utf8_lossy(&pickle.bytes(id)?).into_owned()));
    strings.collect()
}
