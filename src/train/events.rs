//! TensorBoard's event file: the numbers of `metrics.jsonl` as scalars, each line an event with its time.
//!
//! Frames are TFRecords: length (u64), masked CRC-32C of the length, the event, its masked CRC-32C; all little-endian. An event is a
//! protocol buffer of three fields, written by hand here: `wall_time` (1, double), `step` (2, varint), and `file_version` (3) or
//! `summary` (5) of values `tag` (1) and `simple_value` (2, float). Sources: TensorFlow, `core/lib/io/record_writer.h`,
//! `core/util/event.proto`, `core/framework/summary.proto`.
//!
//! Lives here: the file, its cut on resume. Not here: which numbers there are (`log`).

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// TensorBoard looks for `tfevents` in names and expects a time in this place; a run has one file, so one name.
const NAME: &str = "events.out.tfevents.0000000000.metacl";
/// What the first event of a file says.
const VERSION: &[u8] = b"brain.Event:2";
/// Bytes of a frame around its event.
const FRAME: usize = 16;

/// The event file of a run.
#[derive(Debug)]
pub(super) struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Opens the file in `folder`. A run that goes on from iteration `resumed` keeps the events up to it; a new one (`None`) starts anew.
    pub(super) fn open(folder: &Path, resumed: Option<u64>) -> Result<Self, (PathBuf, io::Error)> {
        let path = folder.join(NAME);
        let opened = Self::opened(&path, resumed);
        opened.map(|file| Self { path: path.clone(), file }).map_err(|reason| (path, reason))
    }

    fn opened(path: &Path, resumed: Option<u64>) -> io::Result<File> {
        let kept = match (resumed, fs::read(path)) {
            (Some(iter), Ok(bytes)) => kept(&bytes, iter),
            (Some(_), Err(reason)) if reason.kind() != io::ErrorKind::NotFound => return Err(reason),
            _ => 0,
        };
        let mut file = File::options().append(true).create(true).open(path)?;
        file.set_len(kept as u64)?;
        if kept == 0 {
            let mut event = Vec::new();
            double(&mut event, 1, now());
            bytes(&mut event, 3, VERSION);
            file.write_all(&frame(&event))?;
        }
        Ok(file)
    }

    /// Appends the numbers of a line.
    pub(super) fn append<'a>(&mut self, iter: u64, numbers: impl Iterator<Item = (&'a str, f64)>) -> io::Result<()> {
        self.file.write_all(&frame(&event(now(), iter, numbers)))
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Bytes of the frames up to iteration `last`: what follows them is past it, torn, or none of ours.
fn kept(file: &[u8], last: u64) -> usize {
    let mut end = 0;
    while let Some(event) = frame_at(&file[end..])
        && step(event).is_some_and(|step| step <= last)
    {
        end += FRAME + event.len();
    }
    end
}

/// The event of the frame that `bytes` begin with.
fn frame_at(bytes: &[u8]) -> Option<&[u8]> {
    let number = |at: usize| bytes.get(at..)?.first_chunk().map(|number| u32::from_le_bytes(*number));
    let (head, rest) = bytes.split_at_checked(8)?;
    let length = usize::try_from(u64::from_le_bytes(*head.first_chunk()?)).ok()?;
    let event = rest.get(4..)?.get(..length)?;
    (number(8)? == masked(head) && number(12 + length)? == masked(event)).then_some(event)
}

/// The step of an event written here: field 2, behind the nine bytes of the time; absent in the first.
fn step(event: &[u8]) -> Option<u64> {
    match event.get(9..)? {
        [0x10, rest @ ..] => {
            let mut step = 0u64;
            for (place, byte) in rest.iter().enumerate().take(10) {
                step |= u64::from(byte & 0x7f) << (7 * place).min(63);
                if byte & 0x80 == 0 {
                    return Some(step);
                }
            }
            None
        }
        _ => Some(0),
    }
}

fn event<'a>(time: f64, iter: u64, numbers: impl Iterator<Item = (&'a str, f64)>) -> Vec<u8> {
    let mut summary = Vec::new();
    for (name, number) in numbers {
        let mut value = Vec::new();
        bytes(&mut value, 1, tag(name).as_bytes());
        value.push(2 << 3 | 5);
        value.extend((number as f32).to_le_bytes());
        bytes(&mut summary, 1, &value);
    }
    let mut event = Vec::new();
    double(&mut event, 1, time);
    event.push(2 << 3);
    varint(&mut event, iter);
    bytes(&mut event, 5, &summary);
    event
}

/// TensorBoard groups by what stands before the slash: `train_loss` is `train/loss`, `lr` is `train/lr`.
fn tag(name: &str) -> String {
    let speed = ["images_per_s", "data_wait_share"];
    let groups = ["train", "test", "term", "knn", "linear", "few"];
    match name.split_once('_') {
        _ if speed.contains(&name) => format!("speed/{name}"),
        Some((group, rest)) if groups.contains(&group) => format!("{group}/{rest}"),
        _ => format!("train/{name}"),
    }
}

fn frame(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    [&length[..], &masked(&length).to_le_bytes(), event, &masked(event).to_le_bytes()].concat()
}

/// The checksum as TFRecords keep it: turned by 15 bits, plus a constant.
fn masked(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bit by bit: some hundred bytes a log line.
fn crc32c(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| crc >> 1 ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), bit))
}

fn bytes(out: &mut Vec<u8>, field: u8, content: &[u8]) {
    out.push(field << 3 | 2);
    varint(out, content.len() as u64);
    out.extend(content);
}

fn double(out: &mut Vec<u8>, field: u8, number: f64) {
    out.push(field << 3 | 1);
    out.extend(number.to_le_bytes());
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_castagnolis() {
        // RFC 3720, B.4, and the check value of the polynomial's catalogue.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn events_past_the_resumed_iteration_are_cut() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &mut EventFile, iter| file.append(iter, [("train_loss", 1.5)].into_iter()).unwrap();
        let steps = || {
            let file = fs::read(folder.path().join(NAME)).unwrap();
            let (mut at, mut steps) = (0, Vec::new());
            while let Some(event) = frame_at(&file[at..]) {
                steps.push(step(event).unwrap());
                at += FRAME + event.len();
            }
            (steps, file.len() - at)
        };
        let mut file = EventFile::open(folder.path(), None).unwrap();
        for iter in [100, 200, 300, 300] {
            write(&mut file, iter);
        }
        file.file.write_all(b"torn").unwrap();
        assert_eq!(steps(), (vec![0, 100, 200, 300, 300], 4));
        write(&mut EventFile::open(folder.path(), Some(250)).unwrap(), 300);
        assert_eq!(steps(), (vec![0, 100, 200, 300], 0));
        EventFile::open(folder.path(), Some(300)).unwrap();
        assert_eq!(steps(), (vec![0, 100, 200, 300], 0));
        EventFile::open(folder.path(), None).unwrap();
        assert_eq!(steps(), (vec![0], 0));
    }

    #[test]
    fn names_become_groups() {
        let rows =
            [("train_loss", "train/loss"), ("lr", "train/lr"), ("term_head", "term/head"), ("knn_top1", "knn/top1")];
        for (name, want) in rows.into_iter().chain([("images_per_s", "speed/images_per_s")]) {
            assert_eq!(tag(name), want);
        }
    }
}
