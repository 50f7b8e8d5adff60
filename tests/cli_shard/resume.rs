//! A conversion that is killed or stopped at any moment is gone on with by the same command and `--resume`, to the bytes of one that was not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use metacl::rng::{Purpose, Stream};
use tempfile::{TempDir, tempdir};

use crate::make::*;

/// In the later half of the training images.
const BAD: &str = "train/b/5.jpg";

fn journal(dst: &Path) -> PathBuf {
    dst.join(".unfinished/journal.jsonl")
}

/// The temporary files that are finished, in order, and where their records end.
fn finished(dst: &Path, split: &str) -> Vec<(PathBuf, u64)> {
    let text = fs::read_to_string(journal(dst)).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let of_split = lines.filter(|line| line["finished"]["split"] == split);
    let place = |line: serde_json::Value| {
        let part = &line["finished"]["file"]["part"];
        let name = part["file"].as_str().unwrap();
        (dst.join(".unfinished").join(split).join(name), part["body_end"].as_u64().unwrap())
    };
    of_split.map(place).collect()
}

/// A source, its conversion in one go, and another that stopped in the middle of the training images with finished files.
struct Stopped {
    temp: TempDir,
    src: PathBuf,
    whole: PathBuf,
    dst: PathBuf,
}

impl Stopped {
    fn new(more: &[&str]) -> Self {
        let temp = tempdir().unwrap();
        let src = source(temp.path());
        fs::remove_file(src.join("train/a/10.txt")).unwrap();
        // Nothing before the bad file is left out, so that a strict conversion gets there.
        let (whole, dst) = (temp.path().join("whole"), temp.path().join("out"));
        convert(&src, &whole, &[&SMALL[..], more].concat(), 3);
        let sound = fs::read(src.join(BAD)).unwrap();
        write(src.join(BAD), &sound[..300]);
        let run = convert(&src, &dst, &[&SMALL[..], more, &["--corrupt", "error"]].concat(), 1);
        assert!(run.err.contains("b/5.jpg") && run.err.contains("--resume"), "{}", run.err);
        write(src.join(BAD), sound);
        let dst = if more.is_empty() { dst } else { dst.join("part-0001-of-0001") };
        Self { temp, src, whole, dst }
    }

    fn resume(&self, note: &str) {
        let run = convert(&self.src, &self.dst, &RESUME, 3);
        assert!(run.err.contains(note), "{}", run.err);
        assert_same(&self.dst, &self.whole);
    }
}

/// Starts the conversion and kills it once its journal is `lines` lines longer, `late` later. Whether it was still running.
fn kill(src: &Path, dst: &Path, lines: usize, late: Duration) -> bool {
    let count = || fs::read(journal(dst)).map_or(0, |text| text.iter().filter(|&&byte| byte == b'\n').count());
    let mut command = Command::new(env!("CARGO_BIN_EXE_metacl-shard"));
    command.args(["convert", path(src), path(dst)]).args(RESUME).stdout(Stdio::null()).stderr(Stdio::null());
    let (from, start) = (count(), Instant::now());
    let mut child = command.spawn().unwrap();
    while count() < from + lines && child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(120), "nothing is finished");
        sleep(Duration::from_micros(200));
    }
    sleep(late);
    let running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    running
}

#[test]
fn a_conversion_killed_over_and_over_ends_as_an_unbroken_one() {
    let temp = tempdir().unwrap();
    let (src, whole) = (source(temp.path()), temp.path().join("whole"));
    convert(&src, &whole, &SMALL, 3);
    let rounds: u32 = std::env::var("METACL_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    let mut kills = 0;
    for round in 0..rounds {
        let dst = temp.path().join(format!("out{round}"));
        for attempt in 0.. {
            let draw = Stream::new(3, Purpose::Synthetic).draw([round, attempt, 0, 0]);
            let (lines, late) = (1 + draw.integer(3) as usize, Duration::from_micros(draw.integers(1, 20_000).1));
            if !kill(&src, &dst, lines, late) {
                break;
            }
            kills += 1;
        }
        if journal(&dst).exists() || !dst.join("train").exists() {
            convert(&src, &dst, &RESUME, 3);
        }
        assert_same(&dst, &whole);
    }
    println!("killed {kills} times");
    assert!(kills >= rounds, "killed {kills} times only");
}

/// What is done to the stage of a stopped conversion.
type Damage = fn(&Stopped);

#[test]
fn what_a_kill_may_leave_is_taken_up() {
    let cases: [(&str, Damage); 7] = [
        ("goes on behind", |_| {}),
        // Killed while it gave the files their place among the others.
        ("goes on behind", |stopped| {
            for (number, (file, end)) in finished(&stopped.dst, "train").into_iter().enumerate() {
                let mut bytes = fs::read(&file).unwrap();
                bytes[16..40].fill(number as u8);
                bytes.truncate(end as usize + number * 10);
                fs::write(file, bytes).unwrap();
            }
        }),
        // Killed while it gave them their names.
        ("goes on behind", |stopped| {
            for (number, (file, _)) in finished(&stopped.dst, "train").into_iter().enumerate().take(2) {
                fs::rename(&file, file.with_file_name(format!("{number:05}.mcs"))).unwrap();
            }
        }),
        // Lost with the power: half a file, a whole one, the end of the journal.
        ("made again", |stopped| {
            let (file, end) = &finished(&stopped.dst, "train")[2];
            fs::File::options().write(true).open(file).unwrap().set_len(end / 2).unwrap();
        }),
        ("made again", |stopped| {
            let file = &finished(&stopped.dst, "train")[1].0;
            let mut bytes = fs::read(file).unwrap();
            bytes[5000] ^= 4;
            fs::write(file, bytes).unwrap();
        }),
        ("goes on behind 2 finished files", |stopped| {
            let text = fs::read(journal(&stopped.dst)).unwrap();
            let third = finished(&stopped.dst, "train")[2].0.file_name().unwrap().to_str().unwrap().to_owned();
            let at = text.windows(third.len()).position(|window| window == third.as_bytes()).unwrap();
            fs::write(journal(&stopped.dst), &text[..at]).unwrap();
        }),
        ("", |stopped| {
            fs::remove_file(journal(&stopped.dst)).unwrap();
            fs::write(stopped.dst.join(".unfinished/train/.00007.mcs-abc.tmp"), "half").unwrap();
        }),
    ];
    for (note, damage) in cases {
        let stopped = Stopped::new(&[]);
        assert!(finished(&stopped.dst, "train").len() > 3);
        damage(&stopped);
        stopped.resume(note);
    }
}

/// Ends with all splits whole in the stage: somebody takes a name meanwhile.
fn blocked() -> Stopped {
    let stopped = Stopped::new(&[]);
    for attempt in 0..50 {
        let dst = stopped.temp.path().join(format!("blocked{attempt}"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_metacl-shard"));
        command.args(["convert", path(&stopped.src), path(&dst)]).args(SMALL).stderr(Stdio::null());
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        while !dst.join(".unfinished/val").exists() && child.try_wait().unwrap().is_none() {
            sleep(Duration::from_micros(100));
        }
        write(dst.join("val/mine"), "taken");
        if child.wait().unwrap().code() == Some(1) {
            assert!(!dst.join("train").exists(), "the split that was moved is taken back");
            fs::remove_dir_all(dst.join("val")).unwrap();
            return Stopped { dst, ..stopped };
        }
    }
    panic!("the name was never taken in time");
}

#[test]
fn what_was_whole_is_only_moved() {
    let stopped = blocked();
    stopped.resume("");

    // Killed while it removed the stage, its work done.
    let moved = blocked();
    for split in ["train", "val"] {
        fs::rename(moved.dst.join(".unfinished").join(split), moved.dst.join(split)).unwrap();
    }
    fs::remove_file(moved.dst.join(".unfinished/val.stamps")).unwrap();
    moved.resume("");

    let half_moved = blocked();
    fs::rename(half_moved.dst.join(".unfinished/train"), half_moved.dst.join("train")).unwrap();
    half_moved.resume("");
}

#[test]
fn other_options_and_a_changed_source_are_refused_by_name() {
    let stopped = Stopped::new(&[]);
    let before = files(&stopped.dst);
    let refused = |extra: &[&str], mention: &str| {
        let run = convert(&stopped.src, &stopped.dst, extra, 1);
        assert_one_line(&run, mention);
        assert_one_line(&run, ".unfinished");
        assert_eq!(files(&stopped.dst), before);
    };
    refused(&SMALL, "--resume");
    refused(&["--store", "raw", "--resume"], "shard_size 100000 (now 1073741824)");
    refused(&["--store", "jpeg", "--shard-size", "100000", "--resume"], "store raw (now jpeg)");
    refused(&[&RESUME[..], &["--max-side", "32"]].concat(), "max_side unset (now 32)");

    let early = stopped.src.join("train/a/1.jpg");
    let sound = fs::read(&early).unwrap();
    fs::remove_file(&early).unwrap();
    refused(&RESUME, "sample 1 (now a/10.jpg)");
    write(&early, jpeg(99, 64, 60));
    refused(&RESUME, "sample 1 (now a/1.jpg)");
    fs::remove_file(&early).unwrap();
    write(&early, sound);
    write(stopped.src.join("val/c/1.jpg"), jpeg(1, 8, 8));
    refused(&RESUME, "classes 2");

    assert_one_line(&shard(&["synthetic", path(&stopped.dst), "--train", "3"]), ".unfinished");
    assert_eq!(files(&stopped.dst), before);
}

#[test]
fn a_part_is_gone_on_with_too() {
    let part = ["--part", "1/1"];
    let stopped = Stopped::new(&part);
    assert!(finished(&stopped.dst, "train").len() > 3);
    convert(&stopped.src, &stopped.temp.path().join("out"), &[&RESUME[..], &part].concat(), 3);
    assert_same(&stopped.dst, &stopped.whole.join("part-0001-of-0001"));
}

#[test]
fn what_was_not_begun_is_begun() {
    let temp = tempdir().unwrap();
    let (src, whole, dst) = (source(temp.path()), temp.path().join("whole"), temp.path().join("out"));
    convert(&src, &whole, &SMALL, 3);
    write(dst.join(".unfinished/train/.00000.mcs-abc.tmp"), "half a file");
    convert(&src, &dst, &RESUME, 3);
    assert_same(&dst, &whole);

    // Nothing of it was finished, and nobody holds it.
    let dst = temp.path().join("again");
    write(dst.join(".unfinished/train/.00000.mcs-abc.tmp"), "half a file");
    let run = convert(&src, &dst, &SMALL, 3);
    assert!(run.err.contains("interrupted"), "{}", run.err);
    assert_same(&dst, &whole);

    let run = shard(&["convert", path(&src), "s3://bucket/set", "--resume"]);
    assert_eq!(run.code, 2);
    assert_one_line(&run, "--part 1/1 --resume");
}
