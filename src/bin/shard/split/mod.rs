//! One split: every index prepared in parallel, every record written in order.
//!
//! - here: what is to be written, what is said of it. `write`: the way.

mod write;

use std::collections::BTreeMap;
use std::fmt::Display;

use metacl::shard::ingest::LeftOut;
use serde::{Deserialize, Serialize};
pub(super) use write::write;

use super::Failure;
use super::output::Rejected;
use super::text;

/// Key of the metadata that holds the sum of the samples' bytes at the source.
pub(super) const SOURCE_BYTES: &str = "source_bytes";

/// Key of the metadata that counts, by kind, the JPEGs that could not become coefficients.
pub(super) const KEPT: &str = "kept_as_jpeg";

/// The counts of several such texts in one; `None` of none.
pub(super) fn add_kept<'a>(texts: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for (kind, count) in texts.flat_map(|text| text.split(", ")).filter_map(|entry| entry.rsplit_once(' ')) {
        *sums.entry(kind.to_owned()).or_default() += count.replace(',', "").parse::<u64>().unwrap_or(0);
    }
    list_kept(&sums)
}

fn list_kept(kinds: &BTreeMap<String, u64>) -> Option<String> {
    let kinds: Vec<String> = kinds.iter().map(|(kind, &count)| format!("{kind} {}", text::thousands(count))).collect();
    (!kinds.is_empty()).then(|| kinds.join(", "))
}

/// What is done about a file that cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Corrupt {
    /// Leave it out and list it
    Skip,
    /// End at the first, and make nothing
    Error,
}

impl Corrupt {
    /// Adds a file of `split` to those left out, or ends the command by it.
    fn leave_out(self, split: &str, file: LeftOut, left_out: &mut Vec<Rejected>) -> Result<(), Failure> {
        match self {
            Self::Skip => left_out.push(file.into()),
            Self::Error => return Err(Self::refusal(split, &file.name, &file.reason)),
        }
        Ok(())
    }

    /// What is said of the file that ends the command.
    pub(super) fn refusal(split: &str, name: &str, reason: impl Display) -> Failure {
        let what = "mend or remove the file, or leave it out with --corrupt skip";
        Failure::Failed(format!("{split}: {name}: {reason}; {what}"))
    }
}

/// What every split says of the program that made it.
pub(super) fn tool() -> (String, String) {
    ("tool".to_owned(), concat!("metacl-shard ", env!("CARGO_PKG_VERSION")).to_owned())
}

/// What is to be written.
pub(super) struct Plan<'a> {
    pub(super) name: &'a str,
    /// Indices `0..count` are prepared.
    pub(super) count: u64,
    pub(super) classes: &'a [String],
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) shard_size: u64,
    pub(super) workers: usize,
    pub(super) corrupt: Corrupt,
}

/// A sample's name and label.
pub(super) type Tag<'a> = (std::borrow::Cow<'a, str>, u32);

/// What became of a split.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) name: String,
    pub(super) samples: u64,
    pub(super) source_bytes: u64,
    pub(super) stored_bytes: u64,
    pub(super) shrunk: u64,
    /// JPEGs that could not become coefficients, by kind.
    pub(super) kept: BTreeMap<String, u64>,
    #[serde(skip)]
    pub(super) rate: f64,
    pub(super) left_out: Vec<Rejected>,
}

impl Report {
    /// Of a split that nothing has become of yet.
    pub(super) fn of(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// The same, of the files left out only those behind the first `listed`.
    fn since(&self, listed: usize) -> Self {
        let (name, kept, left_out) = (self.name.clone(), self.kept.clone(), self.left_out[listed..].to_vec());
        let Self { samples, source_bytes, stored_bytes, shrunk, rate, .. } = *self;
        Self { name, samples, source_bytes, stored_bytes, shrunk, kept, rate, left_out }
    }

    /// One line: counts, bytes, rate.
    pub(super) fn line(&self) -> String {
        let [read, stored] = [self.source_bytes, self.stored_bytes].map(text::bytes);
        let shrunk = if self.shrunk > 0 { format!(", {} shrunk", text::thousands(self.shrunk)) } else { String::new() };
        let samples = text::count(self.samples, "sample");
        let kept = self.kept().map_or(String::new(), |kinds| format!(", kept as JPEG: {kinds}"));
        format!("{}: {samples}{shrunk}{kept}; {read} read, {stored} stored, {:.0} samples/s", self.name, self.rate)
    }

    /// For instance `4:4:0 3, CMYK 1`; `None` where all became coefficients, or none had to.
    fn kept(&self) -> Option<String> {
        list_kept(&self.kept)
    }
}
