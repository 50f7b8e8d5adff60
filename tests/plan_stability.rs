//! Plans never change: old runs, other executors and other machines rely on their bytes.
//!
//! A failure here means that the same seed no longer gives the same run: undo the change, or append a new slot instead.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use metacl::augment::{TaskPolicy, ViewPolicy, ViewSpec, recipe};
use metacl::episode::{EpisodeError, EpisodePlan, EpisodeSpec, Order, Planner, SampleMeta};
use metacl::image::Size;
use metacl::rng::{Permutation, Purpose, Stream};

fn plan(policy: ViewPolicy, out: u32, task: TaskPolicy, step: u64) -> EpisodePlan {
    let spec = EpisodeSpec {
        seed: 1234,
        batch: 2,
        order: Order::Shuffled { seed: 1234 },
        views: vec![policy; 2],
        task,
        view: ViewSpec::bicubic(out),
        rank: (0, 1),
    };
    let meta = |sample: u32| -> Result<_, EpisodeError> {
        Ok(SampleMeta { size: Size::new(400 + sample % 200, 300 + sample % 100), label: sample % 10 })
    };
    Planner::new(spec, 1_281_167).unwrap().plan(step, meta).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn streams_and_orders_are_frozen() {
    assert_eq!(Stream::new(42, Purpose::View).draw([3, 1_000_000, 1, 11]).0, FROZEN_DRAW);
    let order = Permutation::new(50_000, Stream::new(42, Purpose::Order).key(), 7);
    assert_eq!([0, 1, 2, 49_999].map(|place| order.at(place)), FROZEN_ORDER);
}

#[test]
fn plans_are_frozen() {
    let cases = [
        plan(recipe::ssl_imagenet(0.08, 1.0), 224, TaskPolicy::Upright, 0),
        plan(recipe::ssl_cifar(0.08, 0.5), 32, TaskPolicy::Replace { probability: 0.5 }, 640_583),
        plan(recipe::padded_crop_and_mirror(), 32, TaskPolicy::Upright, 1),
        plan(recipe::centre(), 224, TaskPolicy::Upright, 2),
    ];
    let seen: Vec<_> = cases.iter().flat_map(|plan| plan.views.iter().map(|view| hex(&view.to_bytes()))).collect();
    assert_eq!(seen, FROZEN_VIEWS, "seen:\n{}", seen.join("\n"));
    let samples: Vec<_> = cases.iter().map(|plan| (plan.epoch, plan.samples.clone())).collect();
    let frozen: Vec<_> = FROZEN_SAMPLES.iter().map(|(epoch, samples)| (*epoch, samples.to_vec())).collect();
    assert_eq!(samples, frozen);
}

const FROZEN_DRAW: [u32; 4] = [650619192, 2518451077, 3900972856, 3183859659];
const FROZEN_ORDER: [u64; 4] = [49658, 1739, 10076, 49942];
const FROZEN_SAMPLES: [(u32, [u32; 2]); 4] =
    [(0, [974248, 549756]), (1, [576870, 994927]), (0, [1120221, 906383]), (0, [70808, 1256182])];
const FROZEN_VIEWS: [&str; 16] = [
    "000000005b00080058011601f0d200006991ac3f2c3d773ee0d3a63ed064883d00000000000000000000000000000000",
    "01000000f5000500d400c200f9e40000555a763fddb2e23f190b9f3e4e6361bddaacda3f000000000000000000000000",
    "0000000095002700e000c50000e400000000803f0000803f0000803f000000009b27ab3f000000000000000000000000",
    "010000001b0023003901f700f1b4000040bd883e1ab5e13fe38d783f59aa9abd32de703e000000000000000000000000",
    "00000000450000006901710107e400000000803f0000803f0000803f0000000000000000000000000000000000000000",
    "01000000ce003d00b100b20006e400000000803f0000803f0000803f0000000000000000000000000000000000000000",
    "000000000e005a00f200e200f74b00000730963ff6424c3f614f843fff08c13d00000000000000000000000000000000",
    "0100000001016e00ac00c400f63900008311863fa29a863fbc73693f75e003bd00000000000000000000000000000000",
    "00000000560129002000200000e400000000803f0000803f0000803f0000000000000000040000000000000000000000",
    "010000004801ee002000200001e400000000803f0000803f0000803f0000000000000000040000000000000000000000",
    "000000006f0093002000200001e400000000803f0000803f0000803f0000000000000000040000000000000000000000",
    "01000000040223012000200001e400000000803f0000803f0000803f0000000000000000040000000000000000000000",
    "000000001a00140065010d0100e400000000803f0000803f0000803f0000000000000000000000000000000000000000",
    "0100000024001800fd014e0100e400000000803f0000803f0000803f0000000000000000000000000000000000000000",
    "000000001a00140065010d0100e400000000803f0000803f0000803f0000000000000000000000000000000000000000",
    "0100000024001800fd014e0100e400000000803f0000803f0000803f0000000000000000000000000000000000000000",
];
