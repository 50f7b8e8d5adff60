//! Starts loaders of random recipes, threads and slots over a dataset, stops each at a random step, and looks at what it left behind: from
//! the second quarter of the time to the last memory may not grow by more than 2 %, open files and threads not at all, and nothing may hang.
//!
//! `cargo run --release --no-default-features -F turbo --example soak -- DATASET --minutes 20`
//!
//! Prints a line a minute and a verdict; exit code 1 where something grew, hung or failed. Counts are Linux's (`/proc/self`).

#[path = "../src/bin/common/resident.rs"]
mod resident;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use metacl::augment::TaskPolicy;
use metacl::augment::recipe::Recipe;
use metacl::episode::{EpisodeSpec, Order, Planner};
use metacl::loader::{Batch, Delivery, LoaderOptions, load_views};
use metacl::rng::{Purpose, Stream};
use metacl::shard::ShardSet;
use resident::Memory;

/// Memory at the end over memory after the warm-up.
const MOST_GROWTH: f64 = 1.02;
/// A loader that is stopped, and the batches before it, take milliseconds.
const HANGS: Duration = Duration::from_secs(120);
/// This one and the watch.
const THREADS: u64 = 2;
/// The system counts a thread that was joined until it has buried it.
const BURIAL: Duration = Duration::from_secs(10);

#[derive(Parser)]
#[command(about = "Start and stop loaders at random for a while, and check that nothing is left behind")]
struct Args {
    /// dataset, or split of one, as `metacl-shard convert` makes it
    dataset: PathBuf,
    /// how long
    #[arg(long, default_value_t = 20.0)]
    minutes: f64,
    /// seed of every choice
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    start_without_caches();
    match soak(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("soak: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// What threads keep for their next allocations counts as in use. glibc is told so only at a program's start: so it is started again.
fn start_without_caches() {
    const VARIABLE: &str = "GLIBC_TUNABLES";
    #[cfg(unix)]
    if std::env::var_os(VARIABLE).is_none()
        && let Ok(program) = std::env::current_exe()
    {
        use std::os::unix::process::CommandExt;
        let mut again = Command::new(program);
        again.args(std::env::args_os().skip(1)).env(VARIABLE, "glibc.malloc.tcache_count=0");
        eprintln!("soak: cannot start itself again: {}", again.exec());
    }
}

fn soak(args: &Args) -> Result<(), String> {
    let length = Duration::try_from_secs_f64(args.minutes * 60.0)
        .ok()
        .filter(|length| length.as_secs() > 0)
        .ok_or(format!("--minutes {}: give a second or more", args.minutes))?;
    let set = Arc::new(open(&args.dataset)?);
    println!("{} samples, {} minutes, seed {}", set.len(), args.minutes, args.seed);
    println!(
        "| minute | loaders | batches | in use after a stop, MB | resident, MB | most while running, MB | files | threads |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let beat = watchdog();
    let mut chance = Chance { stream: Stream::new(args.seed, Purpose::Synthetic), drawn: 0 };
    // What is made once, at the first use, is no leak.
    cycle(&args.dataset, &set, &Plan::largest(), &mut chance)?;
    let before = Left::settled(THREADS);
    if before.in_use == 0 || before.resident == 0 || before.files == 0 {
        return Err(
            "this system does not tell what a process holds (it is Linux's /proc/self and glibc's count)".into()
        );
    }
    let (start, minute) = (Instant::now(), (length / 8).min(Duration::from_secs(60)));
    let mut quarters = [Stops::default(); 4];
    for line in 1.. {
        let (end, mut stops) = ((minute * line).min(length), Stops::default());
        let mut plan = Plan::largest();
        loop {
            let (batches, most) = cycle(&args.dataset, &set, &plan, &mut chance)?;
            stops.add(batches, Left::settled(THREADS), most);
            beat.send(()).map_err(|_| "the watch over this run ended")?;
            if start.elapsed() >= end {
                break;
            }
            plan = Plan::draw(&mut chance);
        }
        println!("| {:.1} {stops}", end.as_secs_f64() / 60.0);
        let quarter = (end - minute / 2).as_secs_f64() / length.as_secs_f64() * 4.0;
        quarters[(quarter as usize).min(3)].join(stops);
        if end == length {
            break;
        }
    }
    verdict(before, quarters)
}

/// Ends the process where no beat comes for long: whoever hangs cannot say so.
fn watchdog() -> Sender<()> {
    let (beat, beats) = mpsc::channel();
    thread::spawn(move || {
        loop {
            match beats.recv_timeout(HANGS) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => {
                    eprintln!("soak: a loader hangs: no stop for {} s", HANGS.as_secs());
                    std::process::exit(1);
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    });
    beat
}

fn open(dataset: &Path) -> Result<ShardSet, String> {
    let train = dataset.join("train");
    let split = if train.is_dir() { &train } else { dataset };
    ShardSet::open(split).map_err(|error| error.to_string())
}

/// A loader and what becomes of its batches.
struct Plan {
    recipe: Recipe,
    task: TaskPolicy,
    batch: u64,
    options: LoaderOptions,
    /// Batches that are taken.
    steps: u64,
}

impl Plan {
    fn draw(chance: &mut Chance) -> Self {
        Self {
            recipe: chance.one_of(&[Recipe::Rrc, Recipe::Simclr, Recipe::Cifar]),
            task: chance.one_of(&[TaskPolicy::Upright, TaskPolicy::Replace { probability: 0.5 }, TaskPolicy::Expand]),
            batch: 1 + chance.below(16),
            options: LoaderOptions {
                workers: 1 + chance.below(4) as usize,
                slots: 1 + chance.below(4) as usize,
                delivery: chance.one_of(&[Delivery::U8, Delivery::UnitF32]),
                ..LoaderOptions::default()
            },
            steps: chance.below(12),
        }
    }

    /// The one that needs most memory: what all others leave behind comes on top of it.
    fn largest() -> Self {
        let options = LoaderOptions { workers: 4, slots: 4, delivery: Delivery::UnitF32, ..LoaderOptions::default() };
        Self { recipe: Recipe::Simclr, task: TaskPolicy::Expand, batch: 16, options, steps: 5 }
    }
}

/// One loader, from its start to its stop; how many batches it gave, and memory at its highest.
fn cycle(dataset: &Path, set: &Arc<ShardSet>, plan: &Plan, chance: &mut Chance) -> Result<(u64, Memory), String> {
    // Half of the loaders map the files anew, and are the last to hold them.
    let set = if chance.below(2) == 0 { Arc::new(open(dataset)?) } else { set.clone() };
    let spec = EpisodeSpec {
        seed: chance.below(1 << 32),
        batch: set.len().min(plan.batch) as u32,
        order: Order::Shuffled { seed: chance.below(1 << 32) },
        views: plan.recipe.views(),
        task: plan.task,
        view: plan.recipe.spec(),
        rank: (0, 1),
    };
    let planner = Planner::new(spec, set.len()).map_err(|error| error.to_string())?;
    let first = chance.below(1000);
    let mut loader = load_views(set, planner, plan.options, first..u64::MAX).map_err(|error| error.to_string())?;
    let (mut kept, mut most) = (Vec::new(), Memory::now());
    for step in first..first + plan.steps {
        // What is kept blocks its slot: it must go before its slot's next step is asked for.
        kept.retain(|batch: &Batch| batch.plan().step + plan.options.slots as u64 > step);
        let batch = loader.next().ok_or("a loader ended before its last step")?.map_err(|error| error.to_string())?;
        most = most.most(Memory::now());
        match chance.below(4) {
            // Late: after the loader, or when its slot is needed.
            0 => kept.push(batch),
            // Slowly.
            1 => thread::sleep(Duration::from_millis(chance.below(30))),
            _ => {}
        }
    }
    if chance.below(2) == 0 {
        kept.clear();
    }
    drop(loader);
    Ok((plan.steps, most.most(Memory::now())))
}

/// What a process holds once freed pages are given back.
#[derive(Clone, Copy, Default)]
struct Left {
    /// Bytes that were allocated and not freed.
    in_use: u64,
    /// Bytes of pages, which are given back only where nothing on them is in use.
    resident: u64,
    files: u64,
    threads: u64,
}

impl Left {
    fn now() -> Self {
        let count =
            |kind: &str| fs::read_dir(Path::new("/proc/self").join(kind)).map_or(0, |found| found.count() as u64);
        let in_use = trimmed();
        Self { in_use, resident: Memory::now().anonymous, files: count("fd"), threads: count("task") }
    }

    /// The same once no more than `threads` threads are left, or after some time.
    fn settled(threads: u64) -> Self {
        let start = Instant::now();
        loop {
            let left = Self::now();
            if left.threads <= threads || start.elapsed() > BURIAL {
                return left;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Has the allocator give back what was freed; bytes in use, 0 where it does not tell.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn trimmed() -> u64 {
    // SAFETY: both work under the allocator's locks; the first touches only free pages, the second returns plain numbers.
    let info = unsafe {
        libc::malloc_trim(0);
        libc::mallinfo2()
    };
    (info.uordblks + info.hblkhd) as u64
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trimmed() -> u64 {
    0
}

/// What some stops left. Of a size that does not grow with them, as it is part of what is measured.
#[derive(Clone, Copy, Default)]
struct Stops {
    loaders: u64,
    batches: u64,
    /// Sums.
    in_use: u64,
    resident: u64,
    /// The most.
    files: u64,
    threads: u64,
    /// Bytes of pages before a stop, at most.
    running: u64,
}

impl Stops {
    fn add(&mut self, batches: u64, left: Left, running: Memory) {
        let Left { in_use, resident, files, threads } = left;
        self.join(Self { loaders: 1, batches, in_use, resident, files, threads, running: running.anonymous });
    }

    fn join(&mut self, other: Self) {
        self.loaders += other.loaders;
        self.batches += other.batches;
        self.in_use += other.in_use;
        self.resident += other.resident;
        self.files = self.files.max(other.files);
        self.threads = self.threads.max(other.threads);
        self.running = self.running.max(other.running);
    }

    /// MB in use after a stop, on average; not a number where there was no stop.
    fn in_use(&self) -> f64 {
        mb(self.in_use) / self.loaders as f64
    }
}

impl fmt::Display for Stops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { loaders, batches, files, threads, .. } = self;
        let (in_use, resident, running) = (self.in_use(), mb(self.resident) / *loaders as f64, mb(self.running));
        write!(f, "| {loaders} | {batches} | {in_use:.3} | {resident:.2} | {running:.0} | {files} | {threads} |")
    }
}

/// Says what grew, if anything did.
fn verdict(before: Left, quarters: [Stops; 4]) -> Result<(), String> {
    let [first, second, third, last] = quarters;
    let most = |of: fn(&Stops) -> u64| of(&first).max(of(&second)).max(of(&third)).max(of(&last));
    let (files, threads) = (most(|stops| stops.files), most(|stops| stops.threads));
    let (use_growth, running_growth) = (last.in_use() / second.in_use(), mb(last.running) / mb(second.running));
    let percent = |growth: f64| (growth - 1.0) * 100.0;
    println!(
        "\n{} loaders. From the second quarter to the last: in use after a stop {:.3} and {:.3} MB ({:+.2} %), most while running {:.0} and \
         {:.0} MB ({:+.2} %); open files {} at first, {files} at most; threads {} at first, {threads} at most",
        quarters.iter().map(|stops| stops.loaders).sum::<u64>(),
        second.in_use(),
        last.in_use(),
        percent(use_growth),
        mb(second.running),
        mb(last.running),
        percent(running_growth),
        before.files,
        before.threads,
    );
    // What is not a number, of a quarter without a stop, is no proof.
    let flat = |growth: f64| growth <= MOST_GROWTH;
    let kept = [
        ("memory in use", flat(use_growth)),
        ("memory while running", flat(running_growth)),
        ("open files", files <= before.files),
        ("threads", threads <= before.threads),
    ];
    let grew: Vec<_> = kept.iter().filter(|(_, kept)| !kept).map(|(what, _)| *what).collect();
    if grew.is_empty() { Ok(()) } else { Err(format!("grew: {}", grew.join(", "))) }
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Choices that a seed fixes.
struct Chance {
    stream: Stream,
    drawn: u32,
}

impl Chance {
    /// Uniform in `0..bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.drawn += 1;
        self.stream.draw([self.drawn, 0, 0, 0]).integer(bound)
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}
