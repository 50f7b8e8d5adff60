//! Files that are damaged, foreign or made to hurt: an error that names the file, never a panic.

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use metacl::train::exchange::{TorchFile, import};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::fixture;

fn read(bytes: &[u8]) -> Result<TorchFile, String> {
    TorchFile::read(Path::new("x.pth"), bytes.to_vec()).map_err(|error| error.to_string())
}

/// Reads every tensor; what it says of the first that cannot be read.
fn read_all(bytes: &[u8]) -> Result<(), String> {
    let mut file = read(bytes)?;
    let names: Vec<String> = file.shapes().into_keys().collect();
    names.iter().try_for_each(|name| file.tensor(name).map(drop).map_err(|error| error.to_string()))
}

#[test]
fn cut_files_are_refused() {
    for name in ["zip_of_21_letters.pth.tar", "legacy.pth.tar"] {
        let whole = fs::read(fixture(name)).unwrap();
        read_all(&whole).unwrap();
        for cut in (0..whole.len()).step_by(41).chain([whole.len() - 1]) {
            let refused = read_all(&whole[..cut]).unwrap_err();
            assert!(refused.starts_with("x.pth: "), "{name} cut to {cut}: {refused}");
        }
    }
}

#[test]
fn changed_bytes_never_panic() {
    for name in ["zip_of_21_letters.pth.tar", "legacy.pth.tar"] {
        let whole = fs::read(fixture(name)).unwrap();
        let mut changed = whole.clone();
        for at in (0..whole.len()).step_by(11) {
            for value in [0x00, 0xff, whole[at] ^ 0x10] {
                changed[at] = value;
                let _ = read_all(&changed);
            }
            changed[at] = whole[at];
        }
    }
}

/// A zip archive with `pickle` as its data.pkl and storage 0 of 16 bytes.
fn archive(pickle: &[u8], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in [("a/data.pkl", pickle), ("a/data/0", &[0; 16])] {
        zip.start_file(name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The pickle of `{'w': tensor}` with a view of four floats.
fn pickle(storage: &str, offset: u8, shape: &[u32], strides: &[u32]) -> Vec<u8> {
    let text = |text: &str| [&[b'X'][..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let tuple = |sides: &[u32]| {
        let numbers = sides.iter().flat_map(|side| [&[b'J'][..], &side.to_le_bytes()].concat());
        [&b"("[..], &numbers.collect::<Vec<u8>>(), b"t"].concat()
    };
    let storage =
        [b"((", &text("storage")[..], b"ctorch\n", storage.as_bytes(), b"\n", &text("0"), &text("cpu"), b"K\x04tQ"]
            .concat();
    [
        &b"\x80\x02}"[..],
        &text("w"),
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        &storage,
        &[b'K', offset],
        &tuple(shape),
        &tuple(strides),
        b"\x89}tRs.",
    ]
    .concat()
}

#[test]
fn views_outside_their_storage_are_refused() {
    let of = |storage: &str, offset, shape: &[u32], strides: &[u32]| {
        read_all(&archive(&pickle(storage, offset, shape, strides), CompressionMethod::Stored))
    };
    of("FloatStorage", 0, &[2, 2], &[2, 1]).unwrap();
    let outside: [(u8, &[u32], &[u32]); 6] = [
        (1, &[2, 2], &[2, 1]),
        (0, &[5], &[1]),
        (0, &[2_000_000_000, 2_000_000_000], &[0, 0]),
        (0, &[2, 2], &[2_000_000_000, 2_000_000_000]),
        (0, &[2, 2], &[1]),
        (0, &[u32::MAX], &[1]),
    ];
    for (offset, shape, strides) in outside {
        let refused = of("FloatStorage", offset, shape, strides).unwrap_err();
        assert!(refused.contains("tensor `w`") && refused.contains("leave its storage"), "{refused}");
    }
    assert!(of("DoubleStorage", 0, &[4], &[1]).unwrap_err().contains("has 16 bytes, its tensors need 32"));
    assert!(of("QInt8Storage", 0, &[4], &[1]).unwrap_err().contains("are not read"));
}

#[test]
fn what_is_no_state_dict_says_so() {
    let module = fs::read(fixture("module.pth")).unwrap();
    assert!(read(&module).err().unwrap().contains("save model.state_dict()"));
    let inert = archive(b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.", CompressionMethod::Stored);
    assert!(read(&inert).err().unwrap().contains("no state dict"));
    let empty = ZipWriter::new(Cursor::new(Vec::new())).finish().unwrap().into_inner();
    assert!(read(&empty).is_err());

    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let error = import(&path, &folder.path().join("out"), None).err().unwrap().to_string();
        assert!(error.contains(name), "{error}");
        error
    };
    assert!(refused("empty.pth", b"").contains("it is empty"));
    assert!(refused("text.pth", b"not a file of weights").contains("torch.save and safetensors files are read"));
    assert!(refused("torn.safetensors", b"\x40\x00\x00\x00\x00\x00\x00\x00{\"a\"").contains("damaged"));
    let fixture = fs::read(fixture("zip_of_21_letters.pth.tar")).unwrap();
    assert!(refused("small.pth", &fixture).contains("no backbone"));
}
