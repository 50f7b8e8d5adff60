//! Real faults: a full disk, a read-only one, a source that cannot be read or goes away, two conversions of one target. Each ends by itself
//! with a message that names the file and what to do, and leaves nothing that looks like a dataset.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use tempfile::tempdir;

use crate::make::*;

/// Mounts in `$1` a disk with the options `$2`, in a namespace of its own; then runs the script `$3` with `shard`, the program, and
/// the rest as its arguments.
const DISK: &str = r#"
disk=$1; options=$2; script=$3; shard=$4; shift 4
mount -t tmpfs -o "$options" tmpfs "$disk" || exit 99
eval "$script"
"#;

/// What `script` said with a disk mounted at `disk`; `None`, with a note, where the system does not let us.
fn on_a_disk(disk: &Path, options: &str, script: &str, args: &[&str]) -> Option<String> {
    let run = |script: &str| -> std::io::Result<Output> {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", DISK, "sh", path(disk), options, script]);
        command.arg(env!("CARGO_BIN_EXE_metacl-shard")).args(args).stdin(Stdio::null()).output()
    };
    fs::create_dir_all(disk).unwrap();
    let text = |output: &Output| format!("{}{}", text(&output.stdout), text(&output.stderr));
    match run("true") {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            eprintln!("not tested, disks cannot be mounted here: {}", text(&output));
            return None;
        }
        Err(error) => {
            eprintln!("not tested, no `unshare`: {error}");
            return None;
        }
    }
    let output = run(script).unwrap();
    assert!(output.status.success(), "{}", text(&output));
    Some(text(&output))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Starts `convert src dst` with one worker and small files.
fn start(src: &Path, dst: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metacl-shard"));
    command.args(["convert", path(src), path(dst), "--workers", "1"]).args(SMALL);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn ended(child: Child) -> Run {
    let output = child.wait_with_output().unwrap();
    Run { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}

#[test]
fn a_full_disk_leaves_nothing_but_finished_files_which_go_on() {
    let temp = tempdir().unwrap();
    let (src, whole, disk) = (source(temp.path()), temp.path().join("whole"), temp.path().join("disk"));
    convert(&src, &whole, &SMALL, 3);

    // Nothing is finished: one file would hold all.
    let script = r#""$shard" convert "$@" 2>&1; echo "code $?"; ls -A "$disk""#;
    let dst = disk.join("out");
    let Some(said) = on_a_disk(&disk, "size=400k", script, &[path(&src), path(&dst), "--store", "raw"]) else { return };
    assert!(said.contains("No space left") && said.contains("make room"), "{said}");
    assert!(said.ends_with("code 1\n"), "something was left: {said}");

    // Some files are; with more room, the conversion goes on.
    let script = r#"
"$shard" convert "$@" 2>&1; echo "code $?"; ls "$disk/out"
mount -o remount,size=4m "$disk"
"$shard" convert "$@" --resume 2>&1; echo "code $?"
cp -r "$disk/out" "$disk.copy"
"#;
    let said = on_a_disk(&disk, "size=400k", script, &[&[path(&src), path(&dst)], &SMALL[..]].concat()).unwrap();
    let (full, resumed) = said.split_once("code 1\n").unwrap_or_else(|| panic!("{said}"));
    assert!(full.contains("No space left") && full.contains("make room") && full.contains("--resume"), "{said}");
    assert!(resumed.starts_with("metacl-shard: note: train: goes on behind"), "something has a final name: {said}");
    assert!(resumed.contains("code 3"), "{said}");
    assert_same(&temp.path().join("disk.copy"), &whole);
}

#[test]
fn a_read_only_disk_is_named() {
    let temp = tempdir().unwrap();
    let (src, disk) = (source(temp.path()), temp.path().join("disk"));
    let script = r#""$shard" convert "$@" 2>&1; echo "code $?"; ls -A "$disk""#;
    for dst in [disk.clone(), disk.join("out")] {
        let Some(said) = on_a_disk(&disk, "ro", script, &[path(&src), path(&dst)]) else { return };
        assert!(said.contains(path(&dst)) && said.contains("Read-only"), "{said}");
        assert!(said.contains("choose another folder") && said.ends_with("code 1\n"), "{said}");
    }
}

#[test]
fn sources_that_cannot_be_read_are_listed_or_named() {
    let temp = tempdir().unwrap();
    let (src, dst) = (temp.path().join("src"), temp.path().join("out"));
    write(src.join("a/good.jpg"), jpeg(1, 24, 24));
    write(src.join("a/folder.jpg/deep.jpg"), jpeg(2, 24, 24));
    for (link, target) in [
        ("a/dangling.jpg", "nowhere"),
        ("a/itself.jpg", "itself.jpg"),
        ("a/memory.jpg", "/proc/self/mem"),
        ("a/zeros.jpg", "/dev/zero"),
        ("a/up", ".."),
        ("a/folder.jpg/self", "."),
        ("loop", "."),
    ] {
        symlink(target, src.join(link)).unwrap();
    }
    convert(&src, &dst, &[], 3);
    let expected = ["a/folder.jpg/deep.jpg", "a/good.jpg"].map(|name| (name.to_owned(), 0));
    assert_eq!(tags(&dst, "train"), expected);
    let mut reasons = rejected(&dst, "train");
    reasons.sort();
    let starts = [
        ("a/dangling.jpg", "unreadable: No such file"),
        ("a/folder.jpg/self", "a link to a folder"),
        ("a/itself.jpg", "unreadable: Too many levels"),
        ("a/memory.jpg", "empty"),
        ("a/up", "a link to a folder"),
        ("a/zeros.jpg", "not a regular file"),
        ("loop", "a link to a folder"),
    ];
    assert_eq!(reasons.len(), starts.len(), "{reasons:?}");
    for ((name, reason), (expected, start)) in reasons.iter().zip(starts) {
        assert!(name == expected && reason.starts_with(start), "{name}: {reason}");
    }

    let pipe = temp.path().join("pipe.tar");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for src in [pipe.as_path(), Path::new("/dev/null")] {
        let run = convert(src, &temp.path().join("none"), &[], 1);
        assert_one_line(&run, path(src));
        assert_one_line(&run, "not a regular file; give");
        assert!(!temp.path().join("none").exists());
    }
}

#[test]
fn a_source_that_goes_away_ends_the_conversion() {
    let temp = tempdir().unwrap();
    let (src, whole, dst) = (source(temp.path()), temp.path().join("whole"), temp.path().join("out"));
    convert(&src, &whole, &SMALL, 3);
    let mut child = start(&src, &dst);
    let finished = || fs::read_to_string(dst.join(".unfinished/journal.jsonl")).unwrap_or_default();
    while !finished().contains("finished") && child.try_wait().unwrap().is_none() {
        sleep(Duration::from_micros(200));
    }
    let away = temp.path().join("away");
    fs::rename(&src, &away).unwrap();
    let run = ended(child);
    assert_eq!(run.code, 1, "{}{}", run.out, run.err);
    assert_one_line(&run, "jpg: gone since the source was listed");
    assert_one_line(&run, "--resume");
    let names: Vec<_> = fs::read_dir(&dst).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [".unfinished"]);

    fs::rename(away, &src).unwrap();
    convert(&src, &dst, &RESUME, 3);
    assert_same(&dst, &whole);
}

#[test]
fn of_two_conversions_of_one_target_one_makes_all_of_it() {
    let temp = tempdir().unwrap();
    let sources = ["one", "two"].map(|name| source(&temp.path().join(name)));
    fs::rename(sources[1].join("train/a/3.jpg"), sources[1].join("train/a/33.jpg")).unwrap();
    let wholes = ["whole1", "whole2"].map(|name| temp.path().join(name));
    sources.iter().zip(&wholes).for_each(|(src, whole)| drop(convert(src, whole, &SMALL, 3)));
    for round in 0..6 {
        let dst = temp.path().join(format!("out{round}"));
        let first = start(&sources[round % 2], &dst);
        // At once, or while the first is at work.
        while round >= 3 && !dst.join(".unfinished/journal.jsonl").exists() {
            sleep(Duration::from_micros(200));
        }
        let second = start(&sources[1 - round % 2], &dst);
        let runs = [ended(first), ended(second)];
        let winners: Vec<usize> = (0..2).filter(|&at| runs[at].code == 3).collect();
        assert_eq!(winners.len(), 1, "{}\n{}", runs[0].err, runs[1].err);
        let loser = &runs[1 - winners[0]];
        assert_eq!(loser.code, 1);
        assert_one_line(loser, path(&dst));
        assert!(loser.err.contains("another process") || loser.err.contains("exists"), "{}", loser.err);
        assert!(round < 3 || winners == [0], "the later one won");
        assert_same(&dst, &wholes[if winners[0] == 0 { round % 2 } else { 1 - round % 2 }]);
    }
}
