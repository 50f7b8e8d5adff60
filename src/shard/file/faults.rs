//! Every fault of a page of a file, not just the first.

use rayon::prelude::*;

use super::ShardFile;
use crate::shard::check::{self, Flaw};
use crate::shard::error::{Refusal, ShardError};
use crate::shard::format;

impl ShardFile {
    /// Every fault of page `number`: the page itself, or its records and their padding. Where a page does not hold, it is not known
    /// where its records lie.
    pub(in crate::shard) fn faults(&self, number: u64) -> Vec<ShardError> {
        if let Err(fault) = self.touch(number) {
            return vec![fault];
        }
        let first = number * u64::from(self.header.page_entries);
        #[cfg(feature = "remote")]
        if self.is_remote() {
            // Fails where reading will.
            let samples = first..first + check::entries_of(&self.header, number);
            samples.for_each(|sample| drop(self.read_ahead(sample)));
        }
        let records = (0..check::entries_of(&self.header, number)).into_par_iter();
        let mut faults: Vec<_> = records.flat_map_iter(|place| self.record_faults(first + place)).collect();
        let page = self.page(number);
        let end = page.offset + page.length;
        let until = format::align(end).expect("checked at opening");
        faults.extend(self.padding(end, &self.map[end as usize..until as usize]));
        faults
    }

    /// Faults of a record and its padding.
    fn record_faults(&self, sample: u64) -> Vec<ShardError> {
        let spot = match self.spot(sample) {
            Ok(spot) => spot,
            Err(error) => return vec![error],
        };
        let (bytes, sound) = match self.padded(&spot, true) {
            Ok(padded) => padded,
            Err(error) => return vec![error],
        };
        let (record, padding) = bytes.split_at(spot.entry.length as usize);
        let damage = (!sound).then(|| self.damage(&spot, record));
        let padding = self.padding(spot.entry.offset + u64::from(spot.entry.length), padding);
        damage.into_iter().chain(padding).collect()
    }

    /// A byte that is not zero, of `bytes` from `start` on.
    fn padding(&self, start: u64, bytes: &[u8]) -> Option<ShardError> {
        let at = bytes.iter().position(|&byte| byte != 0)?;
        Some(self.explain(Flaw::new(start + at as u64, Refusal::NotZero { found: bytes[at] })))
    }
}
