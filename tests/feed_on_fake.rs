//! What the trainer is fed: tensors through the stage of a device that is not there are those of the CPU's loader, bit for bit.
#![cfg(all(target_os = "linux", target_arch = "x86_64", feature = "torch"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod image_support;
mod kernels_support;
#[path = "kernels_coef/pictures.rs"]
mod pictures;
mod stage_support;

use std::sync::Arc;

use metacl::augment::{TaskPolicy, ViewSpec, recipe};
use metacl::device::feed::RowMixing;
use metacl::device::rows::mixed;
use metacl::device::{Feed, Feeder};
use metacl::episode::mix::draw_mix;
use metacl::episode::{EpisodeSpec, Order, Planner};
use metacl::gpu::fake::Mode;
use metacl::loader::{Expansions, LoaderOptions};
use metacl::shard::ShardSet;
use stage_support::Device;
use tch::Tensor;

const STEPS: u64 = 8;

fn planner(set: &ShardSet) -> Planner {
    let spec = EpisodeSpec {
        seed: 3,
        batch: 7,
        order: Order::Shuffled { seed: 3 },
        views: vec![recipe::ssl_imagenet(0.08, 1.0); 3],
        task: TaskPolicy::Replace { probability: 0.5 },
        view: ViewSpec::bicubic(32),
        rank: (0, 1),
    };
    Planner::new(spec, set.len()).unwrap()
}

fn equal(feed: Feed, other: Feed) {
    let mut steps = 0;
    for (ours, theirs) in feed.zip(other) {
        let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
        assert_eq!(ours.plan(), theirs.plan());
        assert_eq!(ours.images().size(), [21, 3, 32, 32]);
        assert!(ours.images().equal(&theirs.images()), "step {steps}");
        steps += 1;
    }
    assert_eq!(steps, STEPS);
}

#[test]
fn kernels_feed_what_threads_feed() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let sets = [stage_support::mixed(folders[0].path()), stage_support::small(folders[1].path())];
    let options = LoaderOptions { workers: 2, ..LoaderOptions::default() };
    for set in &sets {
        for expansions in [Expansions::Device, Expansions::Host] {
            let device = Device::new(Mode::Random(5));
            let threads = Feeder::on_cpu(options, tch::Device::Cpu);
            let kernels = Feeder::by_kernels(options, tch::Device::Cpu, device.engine.clone(), expansions);
            let start = |feeder: &Feeder| feeder.start(set, planner(set), 0..STEPS).unwrap();
            equal(start(&kernels), start(&threads));
            let copied = Feeder::on_cpu_for(device.fake.gpu(), options, tch::Device::Cpu);
            equal(start(&copied), start(&threads));
            assert_eq!(device.fake.faults(), []);
        }
    }
}

/// A rank's part of a short last batch may be no image: nothing is launched for it.
#[test]
fn a_rank_without_images_is_fed_empty_batches() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let sets = [stage_support::mixed(folders[0].path()), stage_support::small(folders[1].path())];
    let options = LoaderOptions { workers: 2, ..LoaderOptions::default() };
    for set in &sets {
        // Two batches, of which the second has one image.
        let batch = set.len() as u32 - 1;
        let of = |rank| EpisodeSpec { batch, order: Order::Sequential, rank, ..planner(set).spec().clone() };
        let device = Device::new(Mode::Random(5));
        let feeders = [
            Feeder::on_cpu(options, tch::Device::Cpu),
            Feeder::on_cpu_for(device.fake.gpu(), options, tch::Device::Cpu),
            Feeder::by_kernels(options, tch::Device::Cpu, device.engine.clone(), Expansions::Device),
        ];
        for feeder in &feeders {
            let parts = [0, 1].map(|rank| {
                let planner = Planner::new(of((rank, 2)), set.len()).unwrap();
                let feed = feeder.start(set, planner, 0..4).unwrap();
                feed.map(|batch| batch.unwrap().images().size()[0]).collect::<Vec<_>>()
            });
            let first = i64::from(batch) * 3;
            let halves = [i64::from(batch.div_ceil(2)) * 3, i64::from(batch / 2) * 3];
            assert_eq!(parts[0].iter().zip(&parts[1]).map(|(a, b)| a + b).collect::<Vec<_>>(), [first, 3, first, 3]);
            assert!(halves.contains(&parts[0][0]) && [parts[0][1], parts[1][1]].contains(&0), "{parts:?}");
        }
        assert_eq!(device.fake.faults(), []);
    }
}

/// The mixed rows that kernels lay below a batch are those that the trainer would make of it.
#[test]
fn kernels_mix_as_the_trainer_does() {
    let folder = tempfile::tempdir().unwrap();
    let set: Arc<ShardSet> = stage_support::small(folder.path());
    let device = Device::new(Mode::Lazy);
    let options = LoaderOptions::default();
    let feeder = Feeder::by_kernels(options, tch::Device::Cpu, device.engine.clone(), Expansions::Device);
    let mixing = RowMixing { supports: 2, draw: Arc::new(|step| draw_mix(9, step, 32)) };
    let feed = feeder.start_mixing(&set, planner(&set), 0..24, Some(mixing)).unwrap();
    let mut patches = 0;
    for (step, batch) in (0..).zip(feed) {
        let batch = batch.unwrap();
        let plan = draw_mix(9, step, 32);
        patches += u32::from(plan.patch.is_some());
        let expected = Tensor::cat(&[batch.images(), mixed(&batch.images().narrow(0, 14, 7), 7, &plan)], 0);
        let got = batch.with_mixed().unwrap();
        assert_eq!(got.size(), expected.size());
        assert!(got.equal(&expected), "step {step}: {plan:?}");
    }
    assert!((4..20).contains(&patches), "both ways were met: {patches}");
}
