//! Ranks that are killed or stopped at any step: the others end with an error that names them, no process is left, and the run resumes to
//! exactly what it would have been.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use metacl::rng::{Purpose, Stream};

use super::curves::TOLERANCE;
use super::program::{Bench, Run, close, text};
use super::train_support::lines;

/// A hang; what takes so long would take for ever (or the default timeout, half an hour).
const HANG: Duration = Duration::from_secs(120);
/// 30 lines, each with a checkpoint; ranks wait some seconds for each other.
pub(crate) const LONG: [&str; 8] = ["--iters", "120", "--log_freq", "4", "--lr", "1e-4", "--dist_timeout", "4"];
const TWO: [&str; 2] = ["--nproc", "2"];

/// What happens to a rank, and when.
#[derive(Debug)]
pub(crate) struct Fate {
    rank: u32,
    signal: &'static str,
    /// Log lines before it.
    pub(crate) lines: usize,
    /// Milliseconds after the last of them.
    pub(crate) later: u64,
}

impl Fate {
    pub(crate) fn draw(seed: u64, index: u32) -> Self {
        let draw =
            |slot: u32, below: u64| Stream::new(seed, Purpose::Synthetic).draw([index, slot, 0, 0]).integer(below);
        Self {
            rank: draw(0, 2) as u32,
            signal: ["-KILL", "-STOP"][draw(1, 2) as usize],
            lines: 1 + draw(2, 25) as usize,
            later: draw(3, 40),
        }
    }
}

/// How often, and the seed of what happens each time.
pub(crate) fn rounds() -> (u32, u64) {
    let number = |variable: &str| std::env::var(variable).ok()?.parse().ok();
    (number("METACL_KILLS").unwrap_or(2) as u32, number("METACL_KILLS_SEED").unwrap_or(2))
}

/// Runs of two ranks: one that nothing happens to.
pub(crate) fn unbroken(bench: &Bench) -> Run {
    bench.run("whole", &[&LONG[..], &TWO].concat())
}

/// Holds a run that was broken off to what it becomes when it is started again.
pub(crate) fn assert_resumes(bench: &Bench, name: &str, whole: &Run, what: &str) {
    let folder = bench.folder(name);
    assert!(line_count(&folder) < whole.lines().len(), "{what}: broken off before the end");
    bench.run(name, &[&LONG[..], &TWO].concat());
    assert_eq!(lines(&folder), whole.lines(), "{what}");
}

/// The ranks that `launcher` has started.
fn ranks(launcher: u32) -> Option<[u32; 2]> {
    let children = fs::read_to_string(format!("/proc/{launcher}/task/{launcher}/children")).ok()?;
    let children: Vec<u32> = children.split_whitespace().filter_map(|id| id.parse().ok()).collect();
    let of = |rank: u32| {
        let wanted = format!("RANK={rank}").into_bytes();
        let environment = |id: &&u32| fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        children.iter().find(|id| environment(id).split(|byte| *byte == 0).any(|one| one == wanted)).copied()
    };
    Some([of(0)?, of(1)?])
}

fn wait_until(what: &str, child: &mut Child, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < HANG, "{what} never came");
        assert!(child.try_wait().unwrap().is_none(), "the run ended before {what}");
        sleep(Duration::from_millis(5));
    }
}

fn signal(signal: &str, id: u32) {
    assert!(Command::new("kill").args([signal, &id.to_string()]).status().unwrap().success());
}

fn line_count(folder: &Path) -> usize {
    fs::read_to_string(folder.join("metrics.jsonl")).map_or(0, |text| text.lines().count())
}

/// Waits for the end of `child`, which must come.
fn end(mut child: Child) -> Output {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > HANG {
            let _ = child.kill();
            panic!("the run hangs: {}", text(&child.wait_with_output().unwrap()));
        }
        sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

#[test]
fn a_rank_killed_or_stopped_at_any_step_is_named_and_the_run_resumes() {
    let (count, seed) = rounds();
    let bench = Bench::new();
    let whole = unbroken(&bench);
    let mut slowest = Duration::ZERO;
    for index in 0..count {
        let (fate, name) = (Fate::draw(seed, index), format!("broken-{index}"));
        let mut launcher = bench.command(&LONG).args(TWO).args(["--run_id", &name]).spawn().unwrap();
        let folder = bench.folder(&name);
        wait_until("the line", &mut launcher, || line_count(&folder) >= fate.lines);
        sleep(Duration::from_millis(fate.later));
        let ranks = ranks(launcher.id()).expect("both ranks run");
        signal(fate.signal, ranks[fate.rank as usize]);
        let start = Instant::now();
        let output = end(launcher);
        let took = start.elapsed();
        slowest = slowest.max(took);
        println!(
            "{fate:?}: ended after {:.1} s: {}",
            took.as_secs_f64(),
            text(&output).trim_end().lines().last().unwrap()
        );
        assert!(!output.status.success(), "{fate:?}: {}", text(&output));
        let named = match fate.rank {
            0 => "the store of rank 0 does not answer",
            _ => "rank 1 gives no sign of life",
        };
        assert!(text(&output).contains(named), "{fate:?}: {}", text(&output));
        for id in ranks {
            assert!(!Path::new(&format!("/proc/{id}")).exists(), "{fate:?}: process {id} is left");
        }
        assert_resumes(&bench, &name, &whole, &format!("{fate:?}"));
    }
    println!("{count} times, the slowest end after {:.1} s", slowest.as_secs_f64());
}

/// Two processes, then one, then four, each stopped but the last.
#[test]
fn a_run_that_is_told_to_stop_resumes_with_other_numbers_of_processes() {
    let bench = Bench::new();
    let flags = |count| ["--head", "PN", "--iters", "120", "--log_freq", "4", "--lr", "1e-6", "--nproc", count];
    let whole = bench.run("whole", &flags("1"));
    let folder = bench.folder("stopped");
    for (count, at) in [("2", 4), ("1", 12)] {
        let mut launcher = bench.command(&flags(count)).args(["--run_id", "stopped"]).spawn().unwrap();
        wait_until("a line", &mut launcher, || line_count(&folder) >= at);
        let told = if count == "1" { launcher.id() } else { ranks(launcher.id()).expect("both ranks run")[1] };
        signal("-INT", told);
        let output = end(launcher);
        assert!(output.status.success() && text(&output).contains("stopped at iteration"), "{}", text(&output));
        assert!((at..whole.lines().len()).contains(&line_count(&folder)), "stopped with {count} before the end");
    }
    let resumed = bench.run("stopped", &flags("4"));
    assert!(resumed.said.contains("resumed at iteration"), "{}", resumed.said);
    close("losses", &resumed.losses(), &whole.losses(), TOLERANCE);
}
