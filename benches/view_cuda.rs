//! The kernels on a GPU: time by device events beside the memory floor, and whole batches from the page cache on.
//!
//!     view_cuda [--json] [--copy_gb_per_s X]
//!
//! A launch's floor is the time that a copy within the device's memory takes to move as many bytes as the launch must: what is counted stands
//! with each figure. Sources lie in several sets in turn, and the caches are overwritten before each launch. Every batch is compared with the
//! CPU's before it is timed. Photos are made up; with the feature `turbo`, METACL_BENCH_PHOTOS names a folder of real ones.
//!
//! Needs no file of the source tree. Exit code: 0, 1 where something differs or fails, 3 where there is no GPU.

#[path = "view_cuda/clock.rs"]
mod clock;
#[path = "view_cuda/data.rs"]
mod data;
#[path = "view_cuda/expand.rs"]
mod expand;
#[path = "view_cuda/fake.rs"]
mod fake;
#[path = "../tests/kernels_support/mod.rs"]
mod kernels_support;
#[path = "view_cuda/launch.rs"]
mod launch;
#[path = "view_cuda/report.rs"]
mod report;
#[path = "view_cuda/whole.rs"]
mod whole;

use std::process::ExitCode;

use clap::Parser;
use metacl::gpu::{Cache, GpuError, Stream};
use metacl::image::Size;
use metacl::stage::{Engine, EngineError};

use data::Photos;
use report::Report;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Time the kernels on a GPU
#[derive(Parser)]
#[command(name = "view_cuda")]
struct Args {
    /// Print all figures as JSON in the last line
    #[arg(long)]
    json: bool,
    /// Bytes that a copy within the device's memory reads and writes in a nanosecond [default: measured]
    #[arg(long = "copy_gb_per_s", value_name = "X")]
    copy_gb_per_s: Option<f64>,
    /// Run on a device without a card: tries the program, figures mean nothing
    #[arg(long, hide = true)]
    fake: bool,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// How much is timed.
struct Scale {
    photo: Size,
    /// Photos of a launch.
    photos: usize,
    /// Of a dataset.
    icons: u32,
    /// Images of a batch of icons.
    icon_batch: u32,
    /// Sets of sources, in turn.
    sets: usize,
    /// Timings of a launch, whose median counts.
    times: usize,
    /// Bytes of a copy, and of what overwrites the caches.
    copied: usize,
    cold: usize,
    /// Samples of a dataset of photos, batches of a run of those, and of one of icons.
    samples: u64,
    photo_steps: u64,
    icon_steps: u64,
}

const FULL: Scale = Scale {
    photo: Size { width: 500, height: 375 },
    photos: 256,
    icons: 50_000,
    icon_batch: 512,
    sets: 3,
    times: 31,
    copied: 1 << 30,
    cold: 256 << 20,
    samples: 2048,
    photo_steps: 200,
    icon_steps: 2000,
};

const FAKE: Scale = Scale {
    photo: Size { width: 100, height: 75 },
    photos: 4,
    icons: 64,
    icon_batch: 16,
    sets: 2,
    times: 3,
    copied: 1 << 16,
    cold: 1 << 16,
    samples: 24,
    photo_steps: 4,
    icon_steps: 4,
};

/// What every timing works with.
struct Bench {
    engine: Engine,
    stream: Stream,
    scale: Scale,
    photos: Photos,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let found = if args.fake { tried(&args) } else { timed(&args) };
    match found {
        Ok(report) => {
            report.print(args.json);
            ExitCode::SUCCESS
        }
        Err(error) => match error.downcast_ref() {
            Some(EngineError::Gpu(GpuError::NotBuilt | GpuError::NoDriver | GpuError::NoDevice)) => {
                eprintln!("view_cuda: {error}; nothing is timed");
                // Among all benches, having nothing to do is no failure.
                if args.bench { ExitCode::SUCCESS } else { ExitCode::from(3) }
            }
            _ => {
                eprintln!("view_cuda: error: {error}");
                ExitCode::FAILURE
            }
        },
    }
}

fn timed(args: &Args) -> Outcome<Report> {
    run(args, Engine::open(0, &Cache::default())?, FULL)
}

fn tried(args: &Args) -> Outcome<Report> {
    let (fake, engine) = fake::engine()?;
    let report = run(args, engine, FAKE)?;
    fake.drain()?;
    match &fake.faults()[..] {
        [] => Ok(report),
        faults => Err(format!("misuse of the device: {faults:?}").into()),
    }
}

fn run(args: &Args, engine: Engine, scale: Scale) -> Outcome<Report> {
    let stream = engine.gpu().stream()?;
    let photos = Photos::get(scale.photos.min(64), scale.photo);
    let bench = Bench { engine, stream, scale, photos };
    let copy = match args.copy_gb_per_s {
        Some(given) => given,
        None => clock::copy_gb_per_s(&bench)?,
    };
    let mut report = Report::new(bench.engine.gpu().limits().name.clone(), copy);
    launch::photos(&bench, &mut report)?;
    launch::icons(&bench, &mut report)?;
    expand::records(&bench, &mut report)?;
    whole::icons(&bench, &mut report)?;
    whole::photos(&bench, &mut report)?;
    Ok(report)
}
