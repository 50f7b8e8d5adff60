//! A small sound shard, and the means to break one rule of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::image::Size;
use crate::shard::error::{Fault, Refusal};
use crate::shard::format::{self, Block, ENTRY, FOOTER, Footer, HEADER, PAGE};
use crate::shard::{Codec, NO_LABEL, NewSample, ShardError, SplitWriter, WriteOptions, verify_files};

/// The bytes of a shard file.
pub(super) struct Forged(pub(super) Vec<u8>);

impl Forged {
    /// Three samples in two index pages: JPEG, raw of 2x1 pixels, PNG without a label. Two classes, two pairs.
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 1 << 20);
        Self(fs::read(folder.path().join("00000.mcs")).unwrap())
    }

    pub(super) fn put<const N: usize>(&mut self, at: u64, field: [u8; N]) {
        self.0[at as usize..][..N].copy_from_slice(&field);
    }

    pub(super) fn footer_at(&self) -> u64 {
        (self.0.len() - FOOTER) as u64
    }

    pub(super) fn footer(&self) -> Footer {
        Footer::parse(&self.0[self.0.len() - FOOTER..])
    }

    /// Row `number` of the page table.
    pub(super) fn page(&self, number: u64) -> Block {
        Block::parse(&self.0[self.row_at(number) as usize..][..PAGE])
    }

    pub(super) fn row_at(&self, number: u64) -> u64 {
        self.footer().table.offset + number * PAGE as u64
    }

    /// Where the entry of sample `sample` is; two to a page.
    pub(super) fn entry_at(&self, sample: u64) -> u64 {
        self.page(sample / 2).offset + sample % 2 * ENTRY as u64
    }

    /// Makes every checksum right again whose section can be found.
    pub(super) fn seal(&mut self) {
        let (mut footer, end) = (self.footer(), self.footer_at());
        if footer.table.end() == Some(end) {
            for row in (footer.table.offset..end).step_by(PAGE) {
                let block = self.summed(Block::parse(&self.0[row as usize..][..PAGE]));
                self.put(row, block.encode());
            }
        }
        (footer.meta, footer.table) = (self.summed(footer.meta), self.summed(footer.table));
        let footer = Footer::new(&self.0[..HEADER], footer.meta, footer.table);
        self.put(self.footer_at(), footer.encode());
    }

    fn summed(&self, block: Block) -> Block {
        let end = block.end().and_then(|end| usize::try_from(end).ok());
        let inside = end.and_then(|end| self.0.get(block.offset as usize..end));
        Block { checksum: inside.map_or(block.checksum, format::checksum), ..block }
    }

    /// The first fault of the file, looked at whole.
    pub(super) fn fault(&self) -> Option<Fault> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("forged.mcs");
        fs::write(&path, &self.0).unwrap();
        match verify_files(&[path]).into_iter().next()? {
            ShardError::Refused(fault) => Some(*fault),
            other => panic!("{other}"),
        }
    }
}

/// Breaks a rule of a sound file, seals it, and expects the refusal that `break_rule` returns, at its offset.
pub(super) fn assert_refused(break_rule: impl FnOnce(&mut Forged) -> (u64, Refusal)) {
    let mut forged = Forged::new();
    let (offset, refusal) = break_rule(&mut forged);
    forged.seal();
    let fault = forged.fault().expect("the forged file passed");
    assert_eq!((fault.offset, fault.refusal), (offset, refusal));
}

/// Writes the samples of [`Forged::new`] into `folder`.
pub(super) fn write(folder: &Path, shard_size: u64) {
    let options = WriteOptions {
        shard_size,
        classes: vec!["cat".to_owned(), "hauß".to_owned()],
        metadata: BTreeMap::from([("a", "1"), ("b", "22")].map(|(key, value)| (key.to_owned(), value.to_owned()))),
        page_entries: 2,
    };
    let mut writer = SplitWriter::create(folder, options).unwrap();
    let size = Size::new(2, 1);
    for sample in [
        NewSample { bytes: b"not really a jpeg", size, codec: Codec::Jpeg, label: 0, name: "cat/ä.jpg" },
        NewSample { bytes: &[1, 2, 3, 4, 5, 6], size, codec: Codec::Raw, label: 1, name: "haus/12" },
        NewSample { bytes: b"png", size, codec: Codec::Png, label: NO_LABEL, name: "" },
    ] {
        writer.append(&sample).unwrap();
    }
    writer.finish().unwrap();
}
