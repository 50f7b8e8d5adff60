//! Label files of the ILSVRC2012 validation images, whose archive says nothing about classes.
//!
//! Two forms are read, told apart by their first line:
//!
//! - lines `NAME SYNSET` (`ILSVRC2012_val_00000001.JPEG n01751748`), in any order;
//! - the devkit's `ILSVRC2012_validation_ground_truth.txt`: line `i` is the ILSVRC2012_ID of image `i`. IDs are not ranks of sorted
//!   synsets, so a synset list has to come with it: lines `ID SYNSET`, or plain synsets where line `k` is the synset of ID `k`
//!   (both made from the devkit's `meta.mat`).

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use super::IngestError;

/// Which class each validation image shows.
#[derive(Debug)]
pub struct Labels {
    /// Class names, sorted.
    pub classes: Vec<String>,
    by: By,
}

#[derive(Debug)]
enum By {
    Name(HashMap<String, String>),
    Number(Vec<String>),
}

impl Labels {
    /// Reads the label file and, for the devkit's form, the synset list.
    ///
    /// # Errors
    /// [`IngestError::LabelLine`] for a line of another form or an unknown ID, [`IngestError::NeedsLabels`] where the list is
    /// missing, [`IngestError::SortedSynsets`], and those of reading.
    pub fn read(labels: &Path, synsets: Option<&Path>) -> Result<Self, IngestError> {
        let text = text(labels)?;
        let first = text.lines().next().unwrap_or_default();
        if first.trim().parse::<u32>().is_err() {
            return Self::by_name(labels, &text);
        }
        let synsets = synsets.ok_or_else(|| IngestError::NeedsLabels { path: labels.to_owned() })?;
        Self::by_number(labels, &text, &synset_list(synsets)?)
    }

    fn by_name(path: &Path, text: &str) -> Result<Self, IngestError> {
        let mut names = HashMap::new();
        for (line, content) in lines(text) {
            let [name, synset] = words(content).ok_or_else(|| bad_line(path, line, content, "`NAME SYNSET`"))?;
            names.insert(name.to_owned(), synset.to_owned());
        }
        Ok(Self { classes: sorted(names.values()), by: By::Name(names) })
    }

    fn by_number(path: &Path, text: &str, synsets: &BTreeMap<u32, String>) -> Result<Self, IngestError> {
        let mut numbers = Vec::new();
        for (line, content) in lines(text) {
            let synset = content.trim().parse().ok().and_then(|id: u32| synsets.get(&id));
            let synset = synset.ok_or_else(|| bad_line(path, line, content, "an ILSVRC2012_ID of the synset list"))?;
            numbers.push(synset.clone());
        }
        Ok(Self { classes: sorted(numbers.iter()), by: By::Number(numbers) })
    }

    /// The synset of the image file `name`, if the labels know it.
    pub fn synset(&self, name: &str) -> Option<&str> {
        match &self.by {
            By::Name(names) => names.get(name).map(String::as_str),
            By::Number(numbers) => {
                let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
                let number: usize = stem.rsplit('_').next()?.parse().ok()?;
                numbers.get(number.checked_sub(1)?).map(String::as_str)
            }
        }
    }
}

/// Synsets by ILSVRC2012_ID.
fn synset_list(path: &Path) -> Result<BTreeMap<u32, String>, IngestError> {
    let text = text(path)?;
    let mut synsets = BTreeMap::new();
    let mut plain = Vec::new();
    for (line, content) in lines(&text) {
        let fields: Vec<&str> = content.split_whitespace().collect();
        match (fields.first().and_then(|field| field.parse::<u32>().ok()), fields.as_slice()) {
            (Some(id), [_, synset, ..]) => drop(synsets.insert(id, (*synset).to_owned())),
            (None, [synset, ..]) => plain.push((*synset).to_owned()),
            _ => return Err(bad_line(path, line, content, "`ID SYNSET` or a synset")),
        }
    }
    if plain.len() > 1 && plain.is_sorted() {
        return Err(IngestError::SortedSynsets { path: path.to_owned() });
    }
    synsets.extend((1..).zip(plain));
    Ok(synsets)
}

fn text(path: &Path) -> Result<String, IngestError> {
    fs::read_to_string(path).map_err(|e| IngestError::io(path, e))
}

/// Lines with something on them, numbered from 1.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty())
}

fn words(line: &str) -> Option<[&str; 2]> {
    let mut words = line.split_whitespace();
    let pair = [words.next()?, words.next()?];
    words.next().is_none().then_some(pair)
}

fn sorted<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut names: Vec<String> = names.cloned().collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn bad_line(path: &Path, line: usize, value: &str, expected: &'static str) -> IngestError {
    IngestError::LabelLine { path: path.to_owned(), line, value: value.chars().take(60).collect(), expected }
}
