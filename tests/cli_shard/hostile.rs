//! Archives, batches and images made to do harm: what each is, and what is said of it.
//!
//! Nothing is ever unpacked to a file, so a member's name can lead nowhere; what counts is that it is listed or read, that memory and time
//! stay small, and that the message says what is wrong.

use std::fs;
use std::io::Write;
use std::path::Path;

use tempfile::tempdir;

use crate::make::*;

/// A header of any kind, name and stated size, its checksum right.
fn header(kind: u8, name: &str, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    // By hand: the builder refuses names that leave their folder.
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_size(size);
    header.set_mode(0o644);
    if let Some(gnu) = header.as_gnu_mut() {
        gnu.realsize = *b"00000000000\0";
    }
    header.set_cksum();
    header
}

/// The header and data of a member, padded to whole blocks.
fn member(kind: u8, name: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = [header(kind, name, data.len() as u64).as_bytes(), data].concat();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// A sound sample, then `hostile`.
fn after_a_good_one(hostile: &[u8]) -> Vec<u8> {
    [&member(b'0', "good.jpg", &jpeg(1, 9, 9)), hostile, &[0; 1024]].concat()
}

/// What lies in `folder` and below, without `out`.
fn everything_but_out(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("out") {
            found.extend(everything_but_out(&path));
        }
        found.push(path.display().to_string());
    }
    found.sort();
    found
}

/// Converts one archive, and says whether nothing was written but into `out`.
fn convert_archive(name: &str, bytes: &[u8], code: i32, look: impl FnOnce(&Path, Run)) {
    let temp = tempdir().unwrap();
    let (src, dst) = (temp.path().join("src").join(name), temp.path().join("out"));
    write(&src, bytes);
    let before = everything_but_out(temp.path());
    let run = convert(&src, &dst, &[], code);
    let mut after = everything_but_out(temp.path());
    after.retain(|path| *path != dst.display().to_string());
    assert_eq!(before, after, "{name}: something was written beside the dataset");
    look(&dst, run);
}

#[test]
fn names_that_leave_their_folder_are_only_names() {
    for name in ["../../escape.jpg", "/tmp/escape.jpg", "a/../../escape.jpg"] {
        let archive = after_a_good_one(&member(b'0', name, &jpeg(2, 8, 8)));
        convert_archive("set.tar", &archive, 0, |dst, _| {
            let names: Vec<String> = tags(dst, "train").into_iter().map(|(name, _)| name).collect();
            assert!(names.contains(&format!("set.tar/{name}")), "{names:?}");
        });
    }
    let renamed = [member(b'x', "pax", b"28 path=../../../escape.jpg\n"), member(b'0', "b.jpg", &jpeg(2, 8, 8))];
    convert_archive("set.tar", &after_a_good_one(&renamed.concat()), 0, |dst, _| {
        assert!(tags(dst, "train").iter().any(|(name, _)| name == "set.tar/../../../escape.jpg"));
    });
    let batch = member(b'0', "../../data_batch_1.bin", &cifar_binary(&[(&[3], 1)]));
    convert_archive("cifar.tar.gz", &gzip(&[batch, vec![0; 1024]].concat()), 0, |dst, _| {
        assert_eq!(tags(dst, "train"), [("data_batch_1/00000".to_owned(), 3)]);
    });
}

#[test]
fn members_that_are_no_files_are_listed() {
    let kinds =
        [(b'1', "hard link"), (b'2', "link"), (b'3', "device"), (b'4', "device"), (b'6', "pipe"), (b'S', "sparse")];
    for (kind, what) in kinds {
        convert_archive("set.tar", &after_a_good_one(&member(kind, "bad.jpg", b"")), 3, |dst, _| {
            assert_eq!(tags(dst, "train").len(), 1, "{what}");
            assert_eq!(
                rejected(dst, "train"),
                [("set.tar/bad.jpg".to_owned(), "not a regular file".to_owned())],
                "{what}"
            );
        });
    }
    // More than the archive holds.
    let long = header(b'0', "bad.jpg", 1 << 40);
    convert_archive("set.tar", &after_a_good_one(long.as_bytes()), 3, |dst, _| {
        assert!(rejected(dst, "train")[0].1.starts_with("too large: 1099511627776 bytes"));
    });
}

#[test]
fn archives_that_ask_for_too_much_are_refused() {
    let attributes = [&b"2097152 comment="[..], &vec![b'x'; 2_097_152 - 17], b"\n"].concat();
    let mut wrong_sum = header(b'0', "bad.jpg", 0);
    wrong_sum.as_old_mut().cksum = *b"000001\0 ";
    let huge_sparse = {
        let mut sparse = header(b'S', "bad.jpg", 0);
        let gnu = sparse.as_gnu_mut().unwrap();
        gnu.realsize = *b"77777777777\0";
        sparse.set_cksum();
        sparse.as_bytes().to_vec()
    };
    let image = member(b'0', "b.jpg", &jpeg(2, 8, 8));
    let rows: [(&str, Vec<u8>, &str); 7] = [
        (
            "a name of 2 MiB",
            [member(b'L', "././@LongLink", &vec![b'a'; 2 << 20]), image.clone()].concat(),
            "bytes of names and attributes",
        ),
        (
            "attributes of 2 MiB",
            [member(b'x', "pax", &attributes), image.clone()].concat(),
            "bytes of names and attributes",
        ),
        (
            "a size beyond 64 bits",
            [member(b'x', "pax", b"29 size=18446744073709551615\n"), image].concat(),
            "size overflow",
        ),
        ("a wrong checksum", wrong_sum.as_bytes().to_vec(), "checksum mismatch"),
        ("a hole of 8 GiB", huge_sparse, "mismatch in sparse file"),
        (
            "two names for one member",
            [member(b'L', "././@LongLink", b"a"), member(b'L', "././@LongLink", b"b")].concat(),
            "two long name entries",
        ),
        ("a name for no member", member(b'L', "././@LongLink", b"a"), "no future member found"),
    ];
    for (what, hostile, message) in rows {
        convert_archive("set.tar", &after_a_good_one(&hostile), 1, |dst, run| {
            assert_one_line(&run, "set.tar");
            assert!(run.err.contains(message) && !dst.exists(), "{what}: {}", run.err);
        });
    }
}

/// `length` zeros behind `head`, packed a thousandfold.
fn bomb(head: &[u8], length: u64) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(head).unwrap();
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0), length), &mut encoder).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn packed_archives_that_unpack_without_end_are_refused() {
    // Only the headers are believed, and before anything is unpacked: 64 MiB of zeros stand for as many as there may be.
    let rows = [
        ("a batch too long for one", header(b'0', "data_batch_1.bin", 1 << 29), "more than the 268435456"),
        ("a member of no use", header(b'0', "readme.html", 1 << 31), "more than the 1073741824"),
        ("a name without end", header(b'L', "././@LongLink", 1 << 40), "more than the 1073741824"),
        ("attributes without end", header(b'x', "pax", u64::MAX >> 8), "more than the 1073741824"),
    ];
    for (what, header, message) in rows {
        convert_archive("cifar.tar.gz", &bomb(header.as_bytes(), 64 << 20), 1, |_, run| {
            assert_one_line(&run, "cifar.tar.gz");
            assert!(run.err.contains(message), "{what}: {}", run.err);
        });
    }
    // Zeros alone end an archive at once.
    convert_archive("cifar.tar.gz", &bomb(&[], 64 << 20), 1, |_, run| assert_one_line(&run, "holds no sample"));
}

#[test]
fn images_that_ask_for_too_much_are_listed() {
    let temp = tempdir().unwrap();
    let (src, dst) = (temp.path().join("src"), temp.path().join("out"));
    write(src.join("a/good.jpg"), jpeg(1, 20, 20));
    write(src.join("a/larger.jpg"), jpeg(1, 30, 20));
    write(src.join("a/sides.png"), png_header(30_000, 30_000));
    write(src.join("a/wide.png"), png_header(u32::MAX >> 1, 1));
    // Only libjpeg-turbo reads as far as the scans before it refuses the file.
    let scans = if cfg!(feature = "turbo") { "scans" } else { "damaged" };
    write(src.join("a/scans.jpg"), many_scans(1000));
    convert(&src, &dst, &["--max-pixels", "500", "--store", "jpeg"], 3);
    assert_eq!(tags(&dst, "train"), [("a/good.jpg".to_owned(), 0)]);
    let listed = rejected(&dst, "train");
    let expected = [
        ("a/larger.jpg", "too large: 30x20 is 600 pixels, the limit is 500; raise it with --max-pixels"),
        ("a/scans.jpg", scans),
        ("a/sides.png", "too large: 30000x30000 is 900000000 pixels, the limit is 500; raise it with --max-pixels"),
        ("a/wide.png", "Memory limit exceeded"),
    ];
    assert_eq!(listed.len(), expected.len(), "{listed:?}");
    for ((name, reason), (file, what)) in listed.iter().zip(expected) {
        assert!(name == file && reason.contains(what), "{name}: {reason}");
    }
    // The default is Pillow's limit.
    convert(&src, &temp.path().join("default"), &["--store", "jpeg"], 3);
    let listed = rejected(&temp.path().join("default"), "train");
    assert!(
        listed.iter().any(|(name, reason)| name == "a/sides.png" && reason.contains("the limit is 178956970")),
        "{listed:?}"
    );
}

/// Whoever raised the limit to convert must be able to raise it to read.
#[test]
fn every_command_that_decodes_takes_the_same_limit() {
    let temp = tempdir().unwrap();
    let (src, dst) = (temp.path().join("src"), temp.path().join("out"));
    write(src.join("a/one.jpg"), jpeg(1, 30, 20));
    convert(&src, &dst, &["--max-pixels", "600", "--store", "jpeg"], 0);
    let file = |name: &str| path(&temp.path().join(name)).to_owned();
    let (decoded, sheet, views, look) =
        (file("one.ppm"), file("sheet.png"), file("views.safetensors"), file("look.png"));
    let commands: [&[&str]; 5] = [
        &["extract", "--index", "0", "--decode", "--out", &decoded],
        &["extract", "--contact-sheet", &sheet],
        &["views", "--recipe", "cifar", "--samples", "1", "--out", &views],
        &["preview", "--recipe", "cifar", "--out", &look],
        &["bench", "--recipe", "cifar", "--samples", "1"],
    ];
    for command in commands {
        let run = |limit: &str| shard(&[command, &[path(&dst), "--max-pixels", limit][..]].concat());
        let refused = run("599");
        assert_eq!(refused.code, 1, "{command:?}: {}", refused.err);
        assert_one_line(&refused, "the image is 30x20, more than the 599 pixels allowed");
        let taken = run("600");
        assert_eq!(taken.code, 0, "{command:?}: {}", taken.err);
    }
}

/// A PNG file that says it is of this size and holds 100 bytes.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut file = png(1, 2, 2);
    file[16..20].copy_from_slice(&width.to_be_bytes());
    file[20..24].copy_from_slice(&height.to_be_bytes());
    let mut crc = flate2::Crc::new();
    crc.update(&file[12..29]);
    file[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    file
}

/// A gray progressive JPEG of 8 x 8 whose AC coefficients come in `count` scans, each of which is allowed and empty.
fn many_scans(count: usize) -> Vec<u8> {
    let table = |class: u8| [&[0xff, 0xc4, 0, 20, class, 1][..], &[0; 15], &[0]].concat();
    let scan = |first: u8, last: u8| [0xff, 0xda, 0, 8, 1, 1, 0, first, last, 0, 0x7f];
    let mut file = [&[0xff, 0xd8, 0xff, 0xdb, 0, 67, 0][..], &[1; 64]].concat();
    file.extend([0xff, 0xc2, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0]);
    file.extend([table(0x00), table(0x10)].concat());
    file.extend(scan(0, 0));
    (0..count).for_each(|_| file.extend(scan(1, 63)));
    file.extend([0xff, 0xd9]);
    file
}

#[test]
fn a_png_that_hides_a_bomb_beside_its_pixels_costs_nothing() {
    // 100 MB of zeros as a compressed text and as a colour profile; neither is of use here.
    for (kind, head) in [(b"zTXt", &b"Comment\0\0"[..]), (b"iCCP", b"profile\0\0")] {
        let mut packed = flate2::write::ZlibEncoder::new(head.to_vec(), flate2::Compression::fast());
        std::io::copy(&mut std::io::Read::take(std::io::repeat(0), 100 << 20), &mut packed).unwrap();
        let data = packed.finish().unwrap();
        let mut crc = flate2::Crc::new();
        crc.update(kind);
        crc.update(&data);
        let chunk = [&(data.len() as u32).to_be_bytes()[..], kind, &data, &crc.sum().to_be_bytes()].concat();
        let mut file = png(3, 12, 10);
        file.splice(33..33, chunk);
        let temp = tempdir().unwrap();
        write(temp.path().join("src/a/bomb.png"), file);
        convert(&temp.path().join("src"), &temp.path().join("out"), &[], 0);
        assert_eq!(samples(&temp.path().join("out"), "train").len(), 1);
    }
}
