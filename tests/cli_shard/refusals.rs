//! What is refused as a whole (exit codes 1 and 2), and what is left out, listed, and costs exit code 3.

use std::fs;
use std::path::Path;

use tempfile::tempdir;

use crate::make::*;

/// One good image, so that a conversion has something to take.
fn with_good(src: &Path) {
    write(src.join("a/good.jpg"), jpeg(1, 24, 24));
}

/// Converts `src` and returns the only left-out file's name and reason.
fn one_rejected(src: &Path) -> (String, String) {
    let dst = src.with_extension("out");
    let run = convert(src, &dst, &[], 3);
    assert_eq!(samples(&dst, "train").len(), 1);
    let mut rejected = rejected(&dst, "train");
    assert_eq!(rejected.len(), 1, "{rejected:?}");
    let (name, reason) = rejected.remove(0);
    assert!(
        run.err.contains(&name) && run.out.contains("1 file") && run.out.contains("rejected.tsv"),
        "{}{}",
        run.out,
        run.err
    );
    (name, reason)
}

#[test]
fn files_that_cannot_be_taken_are_listed_with_a_reason() {
    let whole = jpeg(2, 64, 64);
    let mut flipped = png(3, 30, 30);
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0xff;
    let mut wide = whole.clone();
    // The frame header's height and width: FF C0, length, precision, then two bytes each.
    let frame = wide.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    wide[frame + 5..frame + 9].copy_from_slice(&[0x00, 0x10, 0x80, 0x00]);
    let mut flat = whole.clone();
    flat[frame + 7..frame + 9].copy_from_slice(&[0, 0]);
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("text.jpg", b"no image at all".to_vec(), "no image"),
        ("empty.jpg", Vec::new(), "empty"),
        ("cut.jpg", whole[..whole.len() - 40].to_vec(), "damaged"),
        ("endless.jpg", whole[..whole.len() - 2].to_vec(), "damaged"),
        ("flipped.png", flipped, "damaged"),
        ("wide.jpg", wide, "too large"),
        ("flat.jpg", flat, "damaged"),
    ];
    for (name, bytes, reason) in cases {
        let temp = tempdir().unwrap();
        let src = temp.path().join("src");
        with_good(&src);
        write(src.join("a").join(name), bytes);
        let (listed, why) = one_rejected(&src);
        assert_eq!(listed, format!("a/{name}"));
        assert!(why.starts_with(reason), "{name}: {why}");
    }
}

#[test]
fn stray_files_are_listed() {
    let temp = tempdir().unwrap();
    let src = temp.path().join("src");
    with_good(&src);
    write(src.join("README"), "about");
    assert_eq!(one_rejected(&src).0, "README");
}

#[test]
fn no_check_takes_what_has_a_good_header() {
    let temp = tempdir().unwrap();
    let (src, dst) = (temp.path().join("src"), temp.path().join("out"));
    let whole = jpeg(2, 64, 64);
    write(src.join("a/cut.jpg"), &whole[..whole.len() - 40]);
    convert(&src, &dst, &["--no-check", "--store", "jpeg"], 0);
    assert_eq!(samples(&dst, "train").len(), 1);
}

#[cfg(unix)]
#[test]
fn link_loops_pipes_and_broken_links_do_not_hang() {
    use std::os::unix::fs::symlink;
    let temp = tempdir().unwrap();
    let (src, dst) = (temp.path().join("src"), temp.path().join("out"));
    with_good(&src);
    symlink("..", src.join("a/up")).unwrap();
    symlink(".", src.join("a/self")).unwrap();
    symlink("nowhere", src.join("a/broken.jpg")).unwrap();
    symlink("good.jpg", src.join("a/linked.jpg")).unwrap();
    let pipe = src.join("a/pipe.jpg");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    convert(&src, &dst, &[], 3);
    assert_eq!(tags(&dst, "train"), [("a/good.jpg".to_owned(), 0), ("a/linked.jpg".to_owned(), 0)]);
    let names: Vec<String> = rejected(&dst, "train").into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a/broken.jpg", "a/pipe.jpg", "a/self", "a/up"]);
}

#[test]
fn a_truncated_archive_gives_what_is_whole() {
    let temp = tempdir().unwrap();
    let whole = tar(&[
        ("a.jpg", jpeg(1, 20, 20)),
        ("a.cls", b"0".to_vec()),
        ("b.cls", b"1".to_vec()),
        ("b.jpg", jpeg(2, 90, 90)),
    ]);
    // The data of the last member begins 512 bytes behind its header; the two closing blocks are 1024 bytes.
    write(temp.path().join("train-0.tar"), &whole[..whole.len() - 1024 - 700]);
    let dst = temp.path().join("out");
    convert(&temp.path().join("train-0.tar"), &dst, &[], 3);
    assert_eq!(tags(&dst, "train"), [("train-0.tar/a.jpg".to_owned(), 0)]);
    let listed = rejected(&dst, "train");
    assert!(
        listed.len() == 1 && listed[0].0 == "train-0.tar/b.jpg" && listed[0].1.starts_with("truncated"),
        "{listed:?}"
    );
}

#[test]
fn webdataset_samples_without_their_parts_are_listed() {
    let temp = tempdir().unwrap();
    let text = |text: &str| text.as_bytes().to_vec();
    let members = [
        ("a.jpg", jpeg(1, 20, 20)),
        ("a.cls", text("0")),
        ("b.jpg", jpeg(2, 20, 20)),
        ("c.cls", text("1")),
        ("d.jpg", jpeg(3, 20, 20)),
        ("d.cls", text("dog")),
        ("e.jpg", jpeg(4, 20, 20)),
        ("e.cls", text("4000000000")),
    ];
    write(temp.path().join("set.tar"), tar(&members));
    let dst = temp.path().join("out");
    convert(&temp.path().join("set.tar"), &dst, &[], 3);
    assert_eq!(tags(&dst, "train"), [("set.tar/a.jpg".to_owned(), 0)]);
    let mut listed = rejected(&dst, "train");
    listed.sort();
    let starts = ["no label", "belongs to no image", "bad label: `dog`", "bad label: class number 4000000000"];
    for ((name, reason), (key, start)) in listed.iter().zip(["b", "c", "d", "e"].into_iter().zip(starts)) {
        assert!(name.starts_with(&format!("set.tar/{key}")) && reason.starts_with(start), "{name}: {reason}");
    }
    assert_eq!(listed.len(), 4);
}

#[test]
fn a_cifar_batch_cut_short_or_mislabelled_is_taken_as_far_as_it_goes() {
    let temp = tempdir().unwrap();
    let src = temp.path().join("src");
    let mut batch = cifar_binary(&[(&[3], 1), (&[10], 2), (&[4], 3)]);
    batch.truncate(batch.len() - 1);
    write(src.join("data_batch_1.bin"), batch);
    let dst = temp.path().join("out");
    convert(&src, &dst, &[], 3);
    assert_eq!(tags(&dst, "train"), [("data_batch_1/00000".to_owned(), 3)]);
    let listed = rejected(&dst, "train");
    assert!(listed[0].1.starts_with("truncated") && listed[1].1.starts_with("bad label: 10"), "{listed:?}");
}

#[test]
fn pickles_are_never_executed() {
    let temp = tempdir().unwrap();
    let src = temp.path().join("src");
    let witness = temp.path().join("witness");
    let command = format!("touch {}", witness.display());
    let mut call = b"\x80\x02}U\x04datacposix\nsystem\n".to_vec();
    call.extend([&[b'U', command.len() as u8], command.as_bytes(), b"\x85Rs."].concat());
    for pickle in [call, format!("cos\nsystem\n(S'{command}'\ntR.").into_bytes()] {
        write(src.join("data_batch_1"), pickle);
        let run = convert(&src, &temp.path().join("out"), &[], 1);
        assert_one_line(&run, "data_batch_1");
        assert!(!witness.exists() && !temp.path().join("out").exists());
    }
}

#[test]
fn missing_and_empty_sources_fail_with_one_line() {
    let temp = tempdir().unwrap();
    let at = |name: &str| temp.path().join(name);
    fs::create_dir(at("empty")).unwrap();
    fs::create_dir_all(at("hollow/train/a")).unwrap();
    write(at("text.tar"), "not a tar at all, but long enough to look at ".repeat(40));
    write(at("stray/a.jpg"), jpeg(1, 8, 8));
    write(at("bad/a/1.jpg"), "no image");
    write(at("shard.tar.gz"), gzip(b"nothing"));
    for name in ["missing", "empty", "hollow", "text.tar", "stray", "bad", "shard.tar.gz"] {
        let run = convert(&at(name), &at("out"), &[], 1);
        assert_one_line(&run, name);
        assert!(!at("out").exists(), "{name} left something behind");
    }
    let run = convert(&at("stray"), &at("out"), &["--format", "cifar"], 1);
    assert_one_line(&run, "stray");
}

#[test]
fn validation_images_without_labels_are_refused() {
    let temp = tempdir().unwrap();
    let src = temp.path().join("ILSVRC2012_img_val.tar");
    write(&src, tar(&[("ILSVRC2012_val_00000001.JPEG", jpeg(4, 9, 9))]));
    assert_one_line(&convert(&src, &temp.path().join("out"), &[], 1), "--labels");
}

#[test]
fn nothing_is_overwritten() {
    let temp = tempdir().unwrap();
    let (src, dst) = (temp.path().join("src"), temp.path().join("out"));
    with_good(&src);
    convert(&src, &dst, &[], 0);
    let before = fs::read(dst.join("train/00000.mcs")).unwrap();
    assert_one_line(&convert(&src, &dst, &[], 1), "train");
    assert_one_line(&convert(&src, &dst.join("train"), &[], 1), "00000.mcs");
    assert_eq!(shard(&["synthetic", path(&dst), "--train", "3"]).code, 1);
    assert_eq!(fs::read(dst.join("train/00000.mcs")).unwrap(), before);
    let names: Vec<_> = fs::read_dir(&dst).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["train"]);
}

#[test]
fn another_split_may_join_if_its_classes_agree() {
    let temp = tempdir().unwrap();
    let dst = temp.path().join("out");
    for (set, split) in [("one", "train"), ("two", "val")] {
        write(temp.path().join(set).join(split).join("a/1.jpg"), jpeg(1, 8, 8));
        convert(&temp.path().join(set), &dst, &[], 0);
    }
    write(temp.path().join("three/test/b/1.jpg"), jpeg(1, 8, 8));
    assert_one_line(&convert(&temp.path().join("three"), &dst, &[], 1), "classes");
}

#[test]
fn source_and_target_must_lie_apart() {
    let temp = tempdir().unwrap();
    let src = temp.path().join("src");
    with_good(&src);
    for dst in [src.clone(), temp.path().to_owned(), src.join("new/out"), src.join("../src")] {
        assert_one_line(&convert(&src, &dst, &[], 2), "SRC");
    }
}

#[test]
fn impossible_command_lines_are_usage_errors() {
    let cases: [&[&str]; 9] = [
        &[],
        &["convert"],
        &["convert", "a", "b", "--max-side", "0"],
        &["convert", "a", "b", "--shard-size", "many"],
        &["convert", "a", "b", "--format", "zip"],
        &["convert", "a", "b", "--workers", "0"],
        &["synthetic", "a", "--classes", "1000"],
        &["extract", "a"],
        &["fly"],
    ];
    for args in cases {
        let run = shard(args);
        assert_eq!(run.code, 2, "{args:?}: {}", run.err);
    }
}

#[test]
fn an_unwritable_target_is_one_line() {
    let temp = tempdir().unwrap();
    let src = temp.path().join("src");
    with_good(&src);
    write(temp.path().join("file"), "in the way");
    for dst in ["file", "file/deeper"] {
        assert_one_line(&convert(&src, &temp.path().join(dst), &[], 1), "file");
    }
}

#[test]
fn the_first_corrupt_file_ends_a_conversion_that_is_to_have_none() {
    let strict = ["--corrupt", "error"];
    for (name, bytes, reason) in
        [("a/cut.jpg", jpeg(2, 64, 64)[..400].to_vec(), "damaged"), ("stray.jpg", jpeg(3, 8, 8), "no class folder")]
    {
        let temp = tempdir().unwrap();
        let (src, dst) = (temp.path().join("src"), temp.path().join("out"));
        with_good(&src);
        convert(&src, &temp.path().join("sound"), &strict, 0);
        write(src.join(name), bytes);
        let run = convert(&src, &dst, &strict, 1);
        assert_one_line(&run, name);
        assert_one_line(&run, reason);
        assert!(!dst.exists(), "something was left");
        convert(&src, &dst, &["--corrupt", "skip"], 3);
        assert_eq!(samples(&dst, "train").len(), 1);
    }
}
