//! Order, lookup and plan of a sample, from 1,000 to 10,000,000 samples: the cost must not grow.

mod common;

use criterion::{BenchmarkId, criterion_group, criterion_main};
use metacl::augment::TaskPolicy;
use metacl::augment::recipe::Recipe;
use metacl::episode::{EpisodeError, EpisodeSpec, Order, Planner, SampleMeta};
use metacl::shard::{Codec, NewSample, ShardSet, SplitWriter, WriteOptions};

const BATCH: u32 = 256;

/// Samples of one byte that say they are photos.
fn index(folder: &std::path::Path, samples: u64) -> ShardSet {
    let mut writer = SplitWriter::create(folder, WriteOptions::default()).expect("a new folder");
    for sample in 0..samples {
        let size = metacl::image::Size::new(400 + (sample % 101) as u32, 375);
        let new = NewSample { bytes: &[0], size, codec: Codec::Jpeg, label: metacl::shard::NO_LABEL, name: "" };
        writer.append(&new).expect("room on the disk");
    }
    writer.finish().expect("room on the disk");
    ShardSet::open(folder).expect("just written")
}

fn plan(c: &mut criterion::Criterion<common::CpuTime>) {
    let parent = tempfile::tempdir().expect("a temporary folder");
    let mut group = c.benchmark_group("plan");
    group.throughput(common::each(BATCH as usize));
    for samples in [1_000, 100_000, 10_000_000] {
        let set = index(&parent.path().join(samples.to_string()), samples);
        for recipe in [Recipe::Rrc, Recipe::Simclr, Recipe::Cifar] {
            let spec = EpisodeSpec {
                seed: 1,
                batch: BATCH,
                order: Order::Shuffled { seed: 1 },
                views: recipe.views(),
                task: TaskPolicy::Upright,
                view: recipe.spec(),
                rank: (0, 1),
            };
            let planner = Planner::new(spec, set.len()).expect("enough samples");
            let meta = |sample: u32| {
                let info = set.info(sample.into()).expect("a sound index");
                Ok::<_, EpisodeError>(SampleMeta { size: info.size, label: info.label })
            };
            let first = planner.plan(0, meta).expect("photos can be cropped");
            assert_eq!(first.digest(), planner.plan(0, meta).expect("as before").digest());
            let mut step = 0;
            group.bench_function(BenchmarkId::new(format!("{recipe:?}").to_lowercase(), samples), |b| {
                b.iter(|| {
                    step += 1;
                    planner.plan(step, meta).expect("photos can be cropped")
                });
            });
        }
    }
}

criterion_group! { name = benches; config = common::criterion(); targets = plan }
criterion_main!(benches);
