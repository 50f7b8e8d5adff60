//! What is read from a path: shards, archives, configs.

use std::fs;
use std::ops::Range;
use std::path::Path;

use metacl::config;
use metacl::shard::ingest::archive::Archive;
use metacl::shard::ingest::{Format, Options, read};
use metacl::shard::salvage::{Piece, Salvage};
use metacl::shard::{NO_LABEL, ShardSet, Verify, verify_files};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Calls `look` with a file of these bytes.
pub(super) fn with_file(suffix: &str, bytes: &[u8], look: impl FnOnce(&Path)) {
    let file = tempfile::Builder::new().prefix("train").suffix(suffix).tempfile().expect("room for a small file");
    fs::write(file.path(), bytes).expect("room for a small file");
    look(file.path());
}

/// A shard file, as it is and with its checksums put right: opened, every sample read, every byte verified.
pub(super) fn shard(bytes: &[u8]) {
    with_file(".mcs", bytes, read_shard);
    if let Some(sealed) = sealed(bytes) {
        with_file(".mcs", &sealed, read_shard);
    }
}

fn read_shard(path: &Path) {
    let faults = verify_files(&[path.to_owned()]);
    let salvage = Salvage::read(path).expect("just written");
    let intact = salvage.pieces().filter(|piece| matches!(piece, Piece::Intact { .. })).count() as u64;
    let Ok(set) = ShardSet::open(path) else { return assert!(!faults.is_empty(), "sound, but cannot be opened") };
    let set = set.with_verify(Verify::Always);
    let mut sound = true;
    for sample in (0..set.len()).take(1000) {
        let asked = [set.info(sample).map(drop), set.name(sample).map(drop), set.record(sample).map(drop)];
        sound &= asked.iter().all(Result::is_ok) && set.stored(sample).is_ok() && set.read_ahead(sample).is_ok();
    }
    assert!(set.info(set.len()).is_err(), "a sample behind the last one");
    assert!(!faults.is_empty() || intact == set.len(), "sound, but {intact} of {} are intact", set.len());
    assert!(sound || !faults.is_empty(), "sound, but a sample cannot be read");
}

/// A shard whose checksums hold, wherever the sections can be found: `shard/format.md`.
fn sealed(bytes: &[u8]) -> Option<Vec<u8>> {
    let [header, footer_bytes, block_bytes, entry_bytes] = [64, 80, 24, 40];
    let mut bytes = bytes.to_vec();
    let footer = bytes.len().checked_sub(footer_bytes).filter(|&at| at >= header)?;
    let number = |bytes: &[u8], at: usize| usize::try_from(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?)).ok();
    let block = |bytes: &[u8], at: usize| {
        let start = number(bytes, at)?;
        Some(start..start.checked_add(number(bytes, at + 8)?).filter(|&end| start <= end && end <= bytes.len())?)
    };
    let seal = |bytes: &mut Vec<u8>, at: usize| {
        if let Some(range) = block(bytes, at) {
            let sum = xxh3_64(&bytes[range]);
            bytes[at + 16..at + 24].copy_from_slice(&sum.to_le_bytes());
        }
    };
    let starts = |range: Option<Range<usize>>, step: usize| {
        range.unwrap_or(0..0).step_by(step).filter(move |at| at + step <= footer)
    };
    for row in starts(block(&bytes, footer + block_bytes), block_bytes) {
        for entry in starts(block(&bytes, row), entry_bytes) {
            let length = u32::from_le_bytes(*bytes[entry + 8..].first_chunk()?) as usize;
            let record = number(&bytes, entry).and_then(|start| bytes.get(start..start.checked_add(length)?));
            if let Some(sum) = record.map(xxh3_64) {
                bytes[entry + 32..entry + 40].copy_from_slice(&sum.to_le_bytes());
            }
        }
        seal(&mut bytes, row);
    }
    seal(&mut bytes, footer);
    seal(&mut bytes, footer + block_bytes);
    let mut identity = Xxh3::new();
    identity.update(&bytes[..header]);
    identity.update(&bytes[footer..footer + 2 * block_bytes]);
    bytes[footer + 48..footer + 64].copy_from_slice(&identity.digest128().to_le_bytes());
    let sum = xxh3_64(&bytes[footer..footer + 64]);
    bytes[footer + 64..footer + 72].copy_from_slice(&sum.to_le_bytes());
    Some(bytes)
}

/// A tar or tar.gz, read as each format that may come in one; every member and sample is loaded.
pub(super) fn tar(bytes: &[u8]) {
    with_file(".tar", bytes, |path| {
        if let Ok(archive) = Archive::open(path)
            && let Ok(members) = archive.members(archive.all())
        {
            for member in members {
                let _ = archive.read(member.offset, member.length).map(|read| assert!(read.len() <= bytes.len()));
            }
        }
        for format in [None, Some(Format::Imagenet), Some(Format::Webdataset), Some(Format::Cifar)] {
            let Ok(dataset) = read(path, &Options { format, ..Options::default() }) else { continue };
            for split in dataset.splits {
                for item in &split.items {
                    let known = item.label == NO_LABEL || (item.label as usize) < split.classes.len();
                    assert!(known, "{}: label {}", item.name, item.label);
                    let _ = item.load();
                }
            }
        }
    });
}

/// A config file, and what it resolves to, written and read again.
pub(super) fn config(bytes: &[u8]) {
    with_file(".yaml", bytes, |path| {
        let arguments = ["--config".to_owned(), path.display().to_string()];
        let Ok(config::Command::Run(loaded)) = config::load(&arguments, &|_| None) else { return };
        let resolved = loaded.config.to_yaml();
        with_file(".yaml", resolved.as_bytes(), |path| {
            let again = config::Config::read_resolved(path).expect("a resolved config is read again");
            assert_eq!(again.to_yaml(), resolved);
        });
    });
}
