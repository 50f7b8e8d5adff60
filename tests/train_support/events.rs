//! Reads TensorBoard's event files, written apart from the program that writes them.

use std::fs;
use std::path::{Path, PathBuf};

/// The one event file of a run's folder.
pub fn event_file(run: &Path) -> PathBuf {
    let files = run.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.display().to_string().contains("tfevents")).collect();
    assert_eq!(files.len(), 1);
    files.remove(0)
}

/// CRC-32C by a table of nibbles, masked as TFRecords do: written apart from the program's.
fn masked_crc(bytes: &[u8]) -> u32 {
    let table: Vec<u32> =
        (0..16u32).map(|i| (0..4).fold(i, |c, _| if c & 1 == 1 { c >> 1 ^ 0x82F6_3B78 } else { c >> 1 })).collect();
    let nibble = |crc: u32, value: u32| table[((crc ^ value) & 15) as usize] ^ crc >> 4;
    let crc = !bytes.iter().fold(u32::MAX, |crc, byte| nibble(nibble(crc, u32::from(*byte)), u32::from(*byte) >> 4));
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    number
}

/// Fields of a protocol buffer: number and content, that of fixed width or of given length; a varint's as eight bytes.
fn fields(mut message: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let length = match key & 7 {
            0 => {
                found.push((key >> 3, varint(&mut message).to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => varint(&mut message) as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, message[..length].to_vec()));
        message = &message[length..];
    }
    found
}

/// Every scalar of an event file: step, tag, value. Checks frames and their sums.
pub fn scalars(path: &Path) -> Vec<(u64, String, f32)> {
    let file = fs::read(path).unwrap();
    let (mut rest, mut found, mut events) = (&file[..], Vec::new(), 0);
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        assert_eq!(u32::from_le_bytes(rest[8..12].try_into().unwrap()), masked_crc(&rest[..8]));
        let event = &rest[12..12 + length];
        assert_eq!(u32::from_le_bytes(rest[12 + length..16 + length].try_into().unwrap()), masked_crc(event));
        rest = &rest[16 + length..];
        let event = fields(event);
        let of = |number: u64| event.iter().find(|(found, _)| *found == number).map(|(_, content)| content.clone());
        assert!(f64::from_le_bytes(of(1).unwrap().try_into().unwrap()) > 1.6e9, "seconds since 1970");
        if events == 0 {
            assert_eq!(of(3).unwrap(), b"brain.Event:2");
        } else {
            let step = u64::from_le_bytes(of(2).unwrap().try_into().unwrap());
            for (_, value) in fields(&of(5).unwrap()) {
                let value = fields(&value);
                let tag = String::from_utf8(value[0].1.clone()).unwrap();
                found.push((step, tag, f32::from_le_bytes(value[1].1.clone().try_into().unwrap())));
            }
        }
        events += 1;
    }
    found
}
