//! Simulates the order of an epoch and its split over ranks, and checks it: every sample that a full batch can hold is seen once, by one
//! rank, and every rank sees as many. Prints the table of ARCHITECTURE.md.
//!
//! `cargo run --release --no-default-features --example scale -- --samples 1000000000`

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use metacl::augment::TaskPolicy;
use metacl::augment::recipe::Recipe;
use metacl::episode::{EpisodeError, EpisodeSpec, Order, Planner, SampleMeta, Sampler};
use metacl::image::Size;

#[derive(Parser)]
#[command(about = "Simulate an epoch's order over many ranks and check that each sample is seen once")]
struct Args {
    /// samples of the dataset
    #[arg(long, default_value_t = 100_000_000)]
    samples: u64,
    /// images of a batch that one rank takes
    #[arg(long, default_value_t = 64)]
    images: u32,
    /// numbers of ranks
    #[arg(long, value_delimiter = ',', default_value = "1,8,64,512,4096")]
    ranks: Vec<u32>,
    /// the epoch, from 0
    #[arg(long, default_value_t = 0)]
    epoch: u64,
    /// seed of the order
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What an epoch showed of the samples and of the ranks.
#[derive(Default)]
struct Seen {
    once: u64,
    again: u64,
    least: u64,
    most: u64,
}

fn main() -> Result<(), String> {
    let args = Args::parse();
    println!("{} samples, {} images a rank, epoch {}, 2 views at 224 px\n", args.samples, args.images, args.epoch);
    println!(
        "| ranks | batch | steps | seen once | seen again | left out | samples a rank | order, us a step | order and plan, us a step |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for &ranks in &args.ranks {
        row(&args, ranks)?;
    }
    Ok(())
}

fn row(args: &Args, ranks: u32) -> Result<(), String> {
    let batch = u64::from(args.images) * u64::from(ranks);
    let sampler = Sampler::new(args.samples, batch, Order::Shuffled { seed: args.seed })
        .filter(|_| u32::try_from(batch).is_ok() && batch > 0)
        .ok_or(format!("{} samples give no batch of {} images on {ranks} ranks", args.samples, args.images))?;
    let steps = sampler.batches_per_epoch();
    let seen = walk(args, sampler, ranks);
    let left_out = args.samples - seen.once;
    let (order, plan) = cost(args, sampler, ranks)?;
    println!(
        "| {ranks} | {batch} | {steps} | {} | {} | {left_out} | {} | {:.1} | {:.1} |",
        seen.once,
        seen.again,
        if seen.least == seen.most { seen.least.to_string() } else { format!("{}..{}", seen.least, seen.most) },
        order.as_secs_f64() * 1e6,
        plan.as_secs_f64() * 1e6
    );
    let even = seen.least == seen.most && seen.again == 0 && left_out == args.samples % batch;
    even.then_some(()).ok_or(format!("{ranks} ranks do not share an epoch of {} samples evenly", args.samples))
}

/// Every step of the epoch, as each rank finds it by itself. Ranks are dealt out over the cores.
fn walk(args: &Args, sampler: Sampler, ranks: u32) -> Seen {
    let marks: Vec<AtomicU64> = (0..args.samples.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let (steps, from) = (sampler.batches_per_epoch(), args.epoch * sampler.batches_per_epoch());
    let mark = |sample: u32| {
        let bit = 1 << (sample % 64);
        marks[sample as usize / 64].fetch_or(bit, Ordering::Relaxed) & bit != 0
    };
    let share = |thread: u64| {
        let (mut again, mut counts) = (0, vec![0; ranks as usize]);
        for step in (thread..steps).step_by(threads as usize) {
            for rank in 0..ranks {
                let samples = sampler.share(from + step, (rank, ranks)).samples;
                counts[rank as usize] += samples.len() as u64;
                again += samples.into_iter().filter(|&sample| mark(sample)).count() as u64;
            }
        }
        (again, counts)
    };
    let (mut again, mut counts) = (0, vec![0; ranks as usize]);
    std::thread::scope(|scope| {
        let walkers: Vec<_> = (0..threads).map(|thread| scope.spawn(move || share(thread))).collect();
        for walker in walkers {
            let (twice, own) = walker.join().expect("a walker does not panic");
            again += twice;
            counts.iter_mut().zip(own).for_each(|(sum, part): (&mut u64, u64)| *sum += part);
        }
    });
    let once = marks.iter().map(|word| u64::from(word.load(Ordering::Relaxed).count_ones())).sum();
    let (least, most) = (counts.iter().min().copied(), counts.iter().max().copied());
    Seen { once, again, least: least.unwrap_or_default(), most: most.unwrap_or_default() }
}

/// What one rank spends on a step: its part of the order, and that with the plan of two views of each image.
fn cost(args: &Args, sampler: Sampler, ranks: u32) -> Result<(Duration, Duration), String> {
    const STEPS: u64 = 64;
    const RUNS: u32 = 20;
    let spec = EpisodeSpec {
        seed: args.seed,
        batch: args.images * ranks,
        order: Order::Shuffled { seed: args.seed },
        views: Recipe::Simclr.views(),
        task: TaskPolicy::Upright,
        view: Recipe::Simclr.spec(),
        rank: (ranks - 1, ranks),
    };
    let rank = spec.rank;
    let planner = Planner::new(spec, args.samples).map_err(|error| error.to_string())?;
    let meta = |_| Ok::<_, EpisodeError>(SampleMeta { size: Size::new(500, 375), label: 0 });
    // The quickest of some runs: whatever else the machine does only adds to it.
    let each = |work: &dyn Fn(u64) -> usize| {
        let run = || {
            let begin = Instant::now();
            assert!((0..STEPS).all(|step| work(step) > 0), "an empty part of a batch");
            begin.elapsed() / STEPS as u32
        };
        (0..RUNS).map(|_| run()).min().unwrap_or_default()
    };
    planner.plan(0, meta).map_err(|error| error.to_string())?;
    let order = each(&|step| sampler.share(step, rank).samples.len());
    let plan = each(&|step| planner.plan(step, meta).map_or(0, |plan| plan.views.len()));
    Ok((order, plan))
}
