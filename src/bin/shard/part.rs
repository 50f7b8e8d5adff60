//! A conversion in parts, by as many machines: what a part takes, what it says of itself, and whether parts belong together.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use metacl::shard::ShardSet;
use metacl::shard::ingest::Split;
use xxhash_rust::xxh3::Xxh3;

use super::Failure;
use super::split::{KEPT, SOURCE_BYTES, add_kept};

/// Keys of the metadata of a part: `2/4`, `100..200 of 400`, digest of the whole split's list of samples.
const PART: &str = "part";
const RANGE: &str = "part_range";
const SOURCE: &str = "part_source";
/// All of them.
pub(super) const KEYS: [&str; 3] = [PART, RANGE, SOURCE];
/// Most parts; their folders' names have four digits.
const MOST: u32 = 9999;

/// `i/n`: the i-th of n, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    number: u32,
    of: u32,
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((number, of)) if (1..=of).contains(&number) && of <= MOST => Ok(Self { number, of }),
            _ => Err(format!("needed is i/n, for instance 1/4 to 4/4, with n up to {MOST}")),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl Part {
    /// The folder within the target that it writes to: no other part's.
    pub(super) fn folder(self) -> String {
        format!("part-{:04}-of-{:04}", self.number, self.of)
    }

    /// Of `count` samples in their order, those of this part: all parts' one after the other are all.
    fn range(self, count: u64) -> Range<u64> {
        let from = |number: u32| (u128::from(count) * u128::from(number) / u128::from(self.of)) as u64;
        from(self.number - 1)..from(self.number)
    }

    /// Leaves this part's samples in `split`, and in its metadata what merging asks for. What the source's list already refuses is
    /// the first part's to tell.
    pub(super) fn take(self, split: &mut Split) {
        let range = self.range(split.items.len() as u64);
        let about = [
            (PART, self.to_string()),
            (RANGE, format!("{}..{} of {}", range.start, range.end, split.items.len())),
            (SOURCE, format!("{:032x}", digest(split))),
        ];
        split.metadata.extend(about.map(|(key, value)| (key.to_owned(), value)));
        split.items.truncate(range.end as usize);
        split.items.drain(..range.start as usize);
        if self.number > 1 {
            split.left_out.clear();
        }
    }

    /// Whether it is this part that speaks for the source as a whole.
    pub(super) fn is_first(self) -> bool {
        self.number == 1
    }
}

/// Digest of names, labels and classes: parts of another source, or of this one with a file more, have another.
fn digest(split: &Split) -> u128 {
    let mut hash = Xxh3::new();
    let mut text = |text: &str| {
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    split.classes.iter().for_each(|class| text(class));
    for item in &split.items {
        text(&item.name);
        text(&item.label.to_string());
    }
    hash.digest128()
}

/// The parts of one split in their order, and the metadata of what they are together.
#[derive(Debug)]
pub(super) struct Whole {
    /// Which of the sets given, one after the other.
    pub(super) order: Vec<usize>,
    pub(super) metadata: BTreeMap<String, String>,
}

/// What a part says of itself.
struct About {
    part: Part,
    count: u64,
    common: BTreeMap<String, String>,
}

/// Holds `sets`, of split `split`, to be all parts of one conversion; `names` are what the user called them.
pub(super) fn whole(split: &str, sets: &[ShardSet], names: &[String]) -> Result<Whole, Failure> {
    let metadata: Vec<_> = sets.iter().map(ShardSet::metadata).collect();
    let classes: Vec<_> = sets.iter().map(ShardSet::classes).collect();
    together(split, &metadata, &classes, names)
}

fn together(
    split: &str,
    metadata: &[&BTreeMap<String, String>],
    classes: &[&[String]],
    names: &[String],
) -> Result<Whole, Failure> {
    let failed = |name: &str, what: String| Failure::Failed(format!("{name}, {split}: {what}"));
    let mut abouts = Vec::new();
    for (metadata, name) in metadata.iter().zip(names) {
        let about = about(metadata).ok_or_else(|| {
            failed(name, "is no part of a conversion; give what `metacl-shard convert --part i/n` wrote".to_owned())
        })?;
        abouts.push(about);
    }
    let Some(front) = abouts.first() else { return Err(Failure::Failed(format!("{split}: no part has it"))) };
    let mut order: Vec<Option<usize>> = vec![None; front.part.of as usize];
    for (number, about) in abouts.iter().enumerate() {
        let differs = || front.common.iter().find(|(key, value)| about.common.get(*key) != Some(value));
        if about.part.of != front.part.of || about.common != front.common || classes[number] != classes[0] {
            let what = differs().map_or("classes or number of parts".to_owned(), |(key, _)| key.clone());
            let what = format!("is of another conversion than {} ({what} differ); convert all parts alike", names[0]);
            return Err(failed(&names[number], what));
        }
        let place = &mut order[about.part.number as usize - 1];
        if let Some(other) = *place {
            let what = format!("is part {}, as is {}; give each part once", about.part, names[other]);
            return Err(failed(&names[number], what));
        }
        *place = Some(number);
    }
    let needed = |number: u32| !Part { number, ..front.part }.range(front.count).is_empty();
    let absent: Vec<String> = (1..)
        .zip(&order)
        .filter(|(number, place)| place.is_none() && needed(*number))
        .map(|(number, _)| Part { number, ..front.part }.to_string())
        .collect();
    if !absent.is_empty() {
        return Err(Failure::Failed(format!(
            "{split}: missing: part {}; convert and give them too",
            absent.join(", ")
        )));
    }
    let mut merged = front.common.clone();
    merged.remove(SOURCE);
    let bytes = metadata.iter().map(|metadata| metadata.get(SOURCE_BYTES)?.parse::<u64>().ok()).sum::<Option<u64>>();
    merged.extend(bytes.map(|bytes| (SOURCE_BYTES.to_owned(), bytes.to_string())));
    let kept = add_kept(metadata.iter().filter_map(|metadata| metadata.get(KEPT)).map(String::as_str));
    merged.extend(kept.map(|kept| (KEPT.to_owned(), kept)));
    Ok(Whole { order: order.into_iter().flatten().collect(), metadata: merged })
}

fn about(metadata: &BTreeMap<String, String>) -> Option<About> {
    let part = metadata.get(PART)?.parse().ok()?;
    let count = metadata.get(RANGE)?.rsplit_once(' ')?.1.parse().ok()?;
    let mut common = metadata.clone();
    common.retain(|key, _| ![PART, RANGE, SOURCE_BYTES, KEPT].contains(&key.as_str()));
    common.contains_key(SOURCE).then_some(About { part, count, common })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(part: &str, more: &[(&str, &str)]) -> BTreeMap<String, String> {
        let own = [(PART, part), (RANGE, "0..1 of 10"), (SOURCE, "abc"), ("store", "coef"), (SOURCE_BYTES, "7")];
        own.iter().chain(more).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn check(parts: &[BTreeMap<String, String>]) -> Result<Whole, String> {
        let names: Vec<String> = (0..parts.len()).map(|number| format!("p{number}")).collect();
        let classes = vec![&[][..]; parts.len()];
        match together("train", &parts.iter().collect::<Vec<_>>(), &classes, &names) {
            Ok(whole) => Ok(whole),
            Err(Failure::Failed(message) | Failure::Usage(message)) => Err(message),
        }
    }

    #[test]
    fn parts_one_after_the_other_are_all() {
        for count in [0, 1, 7, 1000, u64::from(u32::MAX)] {
            for of in [1, 2, 3, 8, MOST] {
                let mut end = 0;
                for number in 1..=of {
                    let range = Part { number, of }.range(count);
                    assert_eq!(range.start, end);
                    end = range.end;
                }
                assert_eq!(end, count);
            }
        }
        for bad in ["", "1", "0/3", "4/3", "1/0", "x/2", "-1/2", "1/10000"] {
            assert!(bad.parse::<Part>().is_err(), "{bad}");
        }
    }

    #[test]
    fn parts_that_do_not_belong_together_are_refused() {
        let kept = metadata("2/2", &[(KEPT, "4:4:0 3, CMYK 1")]);
        let whole = check(&[kept, metadata("1/2", &[(KEPT, "CMYK 2")])]).unwrap();
        assert_eq!(whole.order, [1, 0]);
        assert_eq!(whole.metadata[SOURCE_BYTES], "14");
        assert_eq!(whole.metadata[KEPT], "4:4:0 3, CMYK 3");
        assert!(!whole.metadata.contains_key(PART) && !whole.metadata.contains_key(SOURCE));
        let refused = |parts: &[BTreeMap<String, String>], word: &str| {
            let message = check(parts).unwrap_err();
            assert!(message.contains(word), "{message}");
        };
        refused(&[metadata("1/3", &[]), metadata("3/3", &[])], "missing: part 2/3");
        refused(&[metadata("1/2", &[]), metadata("1/2", &[])], "as is p0");
        refused(&[metadata("1/2", &[]), metadata("2/2", &[(SOURCE, "abd")])], "part_source");
        refused(&[metadata("1/2", &[]), metadata("2/2", &[("store", "raw")])], "store");
        refused(&[metadata("1/2", &[]), metadata("2/3", &[])], "number of parts");
        refused(&[BTreeMap::new()], "--part i/n");
    }
}
