//! Classes and metadata.

use super::{Flaw, ensure};
use crate::shard::error::Refusal;
use crate::shard::format::{Meta, u32_at};

/// Parses the section that starts at `offset` of its file. Allocates for texts that are there, never for a count.
pub(in crate::shard) fn check_metadata(section: &[u8], offset: u64) -> Result<Meta, Flaw> {
    let mut texts = Texts { section, at: 0, offset };
    let mut meta = Meta::default();
    for _ in 0..texts.count()? {
        meta.classes.push(texts.text()?.to_owned());
    }
    for _ in 0..texts.count()? {
        let place = texts.place();
        let (key, value) = (texts.text()?, texts.text()?);
        let above = meta.pairs.last_key_value().is_none_or(|(last, _)| last.as_str() < key);
        ensure(above, place, Refusal::MetadataOrder { key: key.to_owned() })?;
        meta.pairs.insert(key.to_owned(), value.to_owned());
    }
    let left = texts.left();
    ensure(left == 0, texts.place(), Refusal::MetadataRest { left })?;
    Ok(meta)
}

struct Texts<'a> {
    section: &'a [u8],
    at: usize,
    offset: u64,
}

impl<'a> Texts<'a> {
    fn place(&self) -> u64 {
        self.offset + self.at as u64
    }

    fn left(&self) -> u64 {
        (self.section.len() - self.at) as u64
    }

    fn take(&mut self, length: u32) -> Result<&'a [u8], Flaw> {
        let (needed, left) = (u64::from(length), self.left());
        ensure(needed <= left, self.place(), Refusal::MetadataEnd { needed, left })?;
        let taken = &self.section[self.at..][..length as usize];
        self.at += length as usize;
        Ok(taken)
    }

    fn count(&mut self) -> Result<u32, Flaw> {
        Ok(u32_at(self.take(4)?, 0))
    }

    fn text(&mut self) -> Result<&'a str, Flaw> {
        let length = self.count()?;
        let place = self.place();
        std::str::from_utf8(self.take(length)?).map_err(|_| Flaw::new(place, Refusal::Utf8))
    }
}
