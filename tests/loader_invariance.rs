//! A batch is a function of data, spec and step: threads, slots, ranks and where the run started cannot change a byte.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use metacl::augment::{TaskPolicy, ViewPlan, ViewSpec, recipe, reference};
use metacl::episode::rows::dealt;
use metacl::episode::{EpisodePlan, EpisodeSpec, Order, Planner, RowLayout};
use metacl::image::{Pixels, Size};
use metacl::loader::{LoaderOptions, OnCorrupt, load_views};
use metacl::rng::{Purpose, Stream};
use metacl::shard::{Codec, NewSample, ShardSet, SplitWriter, WriteOptions};

const SAMPLES: u32 = 40;

fn size_of(sample: u32) -> Size {
    Size::new(33 + sample % 7 * 5, 30 + sample % 5 * 9)
}

/// Smooth pictures with some noise, another one for each sample.
fn picture(sample: u32) -> Vec<u8> {
    let Size { width, height } = size_of(sample);
    let stream = Stream::new(3, Purpose::Synthetic);
    let value = |x: u32, y: u32, c: u32| {
        let noise = stream.draw([sample, y * width + x, c, 0]).integer(40);
        ((x * (3 + c) + y * (5 - c) + sample * 11) % 216) as u8 + noise as u8
    };
    (0..height).flat_map(|y| (0..width).flat_map(move |x| (0..3).map(move |c| value(x, y, c)))).collect()
}

fn dataset(folder: &Path) -> Arc<ShardSet> {
    let options = WriteOptions {
        shard_size: 60_000,
        classes: vec!["even".into(), "odd".into()],
        metadata: BTreeMap::new(),
        ..WriteOptions::default()
    };
    let mut writer = SplitWriter::create(folder, options).unwrap();
    for sample in 0..SAMPLES {
        let (bytes, name) = (picture(sample), format!("{sample:03}"));
        let new = NewSample { bytes: &bytes, size: size_of(sample), codec: Codec::Raw, label: sample % 2, name: &name };
        writer.append(&new).unwrap();
    }
    writer.finish().unwrap();
    Arc::new(ShardSet::open(folder).unwrap())
}

fn spec(rank: (u32, u32)) -> EpisodeSpec {
    EpisodeSpec {
        seed: 11,
        batch: 8,
        order: Order::Shuffled { seed: 11 },
        views: vec![recipe::ssl_imagenet(0.08, 1.0); 2],
        task: TaskPolicy::Replace { probability: 0.5 },
        view: ViewSpec::bicubic(32),
        rank,
    }
}

fn batches(
    set: &Arc<ShardSet>,
    spec: EpisodeSpec,
    workers: usize,
    slots: usize,
    steps: std::ops::Range<u64>,
) -> Vec<Vec<u8>> {
    let planner = Planner::new(spec, set.len()).unwrap();
    let options = LoaderOptions { workers, slots, ..LoaderOptions::default() };
    let loader = load_views(set.clone(), planner, options, steps).unwrap();
    loader.map(|batch| batch.unwrap().bytes().to_vec()).collect()
}

#[test]
fn threads_and_slots_do_not_change_a_byte() {
    let folder = tempfile::tempdir().unwrap();
    let set = dataset(&folder.path().join("train"));
    let one = batches(&set, spec((0, 1)), 1, 1, 0..12);
    assert_eq!(one.len(), 12);
    assert_ne!(one[0], one[5], "an epoch later the views are others");
    for (workers, slots) in [(2, 3), (8, 2), (8, 5)] {
        assert!(batches(&set, spec((0, 1)), workers, slots, 0..12) == one, "{workers} workers, {slots} slots");
    }
}

#[test]
fn a_later_start_meets_the_same_batches() {
    let folder = tempfile::tempdir().unwrap();
    let set = dataset(&folder.path().join("train"));
    let whole = batches(&set, spec((0, 1)), 2, 3, 0..12);
    assert!(batches(&set, spec((0, 1)), 2, 3, 7..12) == whole[7..]);
}

/// A batch: its plan and its rows.
type Whole = (EpisodePlan, Vec<u8>);

/// The batch that ranks hold parts of, as one process would hold it.
fn joined(parts: &[&Whole]) -> Whole {
    let (world, first) = (parts.len(), &parts[0].0);
    let (batch, rounds, row_bytes) = (first.batch, first.batch.div_ceil(world), ViewSpec::bicubic(32).bytes());
    let layout = RowLayout::of_images(batch, first.layout.copies, first.layout.views);
    let (mut images, mut classes) = (vec![None; batch], vec![None; layout.classes]);
    let mut rows = vec![None; layout.rows()];
    for (rank, (plan, bytes)) in parts.iter().enumerate() {
        assert_eq!((plan.step, plan.epoch, plan.batch), (first.step, first.epoch, batch));
        // A short batch is dealt as a full one is, but for the images that it lacks.
        let places = (0..rounds).map(|nth| dealt(rounds, world, rank, nth)).filter(|&place| place < batch);
        let places: Vec<_> = places.collect();
        assert_eq!(places.len(), plan.images());
        for (image, place) in places.into_iter().enumerate() {
            let meta = (plan.samples[image], plan.sizes[image], plan.labels[image]);
            assert!(images[place].replace(meta).is_none());
            for copy in 0..layout.copies {
                classes[copy * batch + place] = Some(plan.classes[copy * plan.images() + image]);
            }
            for (nth, row) in plan.rows_of(image).enumerate() {
                let (whole, view) = (nth * batch + place, plan.views[row]);
                assert!(!batch.is_multiple_of(world) || whole == plan.layout.joined_row(world, rank, row));
                let view = ViewPlan { source: place as u32, ..view };
                assert!(rows[whole].replace((view, &bytes[row * row_bytes..][..row_bytes])).is_none());
            }
        }
    }
    let images: Vec<_> = images.into_iter().map(Option::unwrap).collect();
    let (views, bytes): (_, Vec<_>) = rows.into_iter().map(Option::unwrap).unzip();
    let plan = EpisodePlan {
        layout,
        samples: images.iter().map(|image| image.0).collect(),
        sizes: images.iter().map(|image| image.1).collect(),
        labels: images.iter().map(|image| image.2).collect(),
        classes: classes.into_iter().map(Option::unwrap).collect(),
        views,
        ..first.clone()
    };
    (plan, bytes.concat())
}

/// Any number of ranks, of any number of workers each, over more than an epoch of 37 samples, whose last batch has 5 or is left out.
#[test]
fn a_batch_is_the_same_for_any_number_of_ranks_and_workers() {
    const STEPS: u64 = 7;
    let folder = tempfile::tempdir().unwrap();
    let set = dataset(&folder.path().join("train"));
    let subset: Arc<[u32]> = (0..SAMPLES).filter(|sample| sample % 13 != 5).collect();
    assert_eq!(subset.len(), 37);
    let load = |task, order, rank, workers| -> Vec<Whole> {
        let planner = Planner::over(EpisodeSpec { task, order, ..spec(rank) }, subset.clone()).unwrap();
        let options = LoaderOptions { workers, ..LoaderOptions::default() };
        let loader = load_views(set.clone(), planner, options, 0..STEPS).unwrap();
        let own = loader.map(|batch| {
            let batch = batch.unwrap();
            (batch.plan().clone(), batch.bytes().to_vec())
        });
        own.collect()
    };
    for task in [TaskPolicy::Upright, TaskPolicy::Replace { probability: 0.5 }, TaskPolicy::Expand] {
        for order in [Order::Shuffled { seed: 11 }, Order::ShuffledToTheEnd { seed: 11 }] {
            let whole = load(task, order, (0, 1), 1);
            let sizes: Vec<_> = whole.iter().map(|(plan, _)| (plan.epoch, plan.images())).collect();
            match order {
                Order::Shuffled { .. } => assert_eq!(sizes[3..5], [(0, 8), (1, 8)]),
                _ => assert_eq!(sizes[3..6], [(0, 8), (0, 5), (1, 8)]),
            }
            for (world, workers) in
                [1, 2, 4, 8].into_iter().flat_map(|world| [1, 2, 3, 8].map(|workers| (world, workers)))
            {
                let parts: Vec<_> = (0..world).map(|rank| load(task, order, (rank, world), workers)).collect();
                for (step, (plan, bytes)) in whole.iter().enumerate() {
                    let (same, rows) = joined(&parts.iter().map(|part| &part[step]).collect::<Vec<_>>());
                    let case = format!("{task:?}, {order:?}, {world} ranks of {workers} workers, step {step}");
                    assert_eq!((same.digest(), &same), (plan.digest(), plan), "{case}");
                    assert!(rows == *bytes, "{case}");
                }
            }
        }
    }
}

#[test]
fn rows_show_what_the_plan_says() {
    let folder = tempfile::tempdir().unwrap();
    let set = dataset(&folder.path().join("train"));
    let planner = Planner::new(spec((0, 1)), set.len()).unwrap();
    for batch in load_views(set.clone(), planner, LoaderOptions::default(), 0..3).unwrap() {
        let batch = batch.unwrap();
        let plan = batch.plan();
        for (view, bytes) in plan.views.iter().zip(batch.bytes().chunks(ViewSpec::bicubic(32).bytes())) {
            let sample = plan.samples[view.source as usize];
            let image = Pixels::new(picture(sample), size_of(sample)).unwrap();
            let expected = reference::render(image.as_ref(), view, ViewSpec::bicubic(32));
            let tolerance = if view.blur_sigma > 0.0 { metacl::augment::BLUR_LEVELS } else { 0 };
            assert!(bytes.iter().zip(&expected).all(|(a, b)| a.abs_diff(*b) <= tolerance), "{view}");
        }
    }
}

/// Flips a byte in the record of each of `samples`, on disk.
fn damage(folder: &Path, samples: &[u32]) {
    for path in metacl::shard::shard_files(folder).unwrap() {
        let mut bytes = std::fs::read(&path).unwrap();
        for &sample in samples {
            let record = picture(sample);
            if let Some(at) = bytes.windows(record.len()).position(|window| window == record) {
                bytes[at + record.len() / 2] ^= 0x10;
            }
        }
        std::fs::write(&path, bytes).unwrap();
    }
}

/// What a step showed: rows, samples, labels, and who gave way to whom.
type Shown = (Vec<u8>, Vec<u32>, Vec<u32>, Vec<(u32, u32)>);

fn substituted(set: &Arc<ShardSet>, rank: (u32, u32), workers: usize, steps: std::ops::Range<u64>) -> Vec<Shown> {
    let planner = Planner::new(spec(rank), set.len()).unwrap();
    let options = LoaderOptions { workers, corrupt: OnCorrupt::Substitute, ..LoaderOptions::default() };
    let loader = load_views(set.clone(), planner, options, steps).unwrap();
    let shown = loader.map(|batch| {
        let batch = batch.unwrap();
        let plan = batch.plan();
        let replaced = batch.replaced().iter().map(|replaced| (replaced.sample, replaced.by)).collect();
        (batch.bytes().to_vec(), plan.samples.clone(), plan.labels.clone(), replaced)
    });
    shown.collect()
}

#[test]
fn corrupt_samples_give_way_to_the_same_ones_whoever_reads_them() {
    const DAMAGED: [u32; 5] = [0, 7, 8, 21, 39];
    let folder = tempfile::tempdir().unwrap();
    let (sound, damaged) = (folder.path().join("sound"), folder.path().join("damaged"));
    let sound = dataset(&sound);
    drop(dataset(&damaged));
    damage(&damaged, &DAMAGED);
    let set = Arc::new(ShardSet::open(&damaged).unwrap());
    let before = batches(&sound, spec((0, 1)), 2, 3, 0..10);
    let shown = substituted(&set, (0, 1), 1, 0..10);
    for workers in [2, 8] {
        assert!(substituted(&set, (0, 1), workers, 0..10) == shown, "{workers} workers");
    }
    assert!(substituted(&set, (0, 1), 3, 4..10) == shown[4..], "a later start");

    let planner = Planner::new(spec((0, 1)), set.len()).unwrap();
    let view = ViewSpec::bicubic(32);
    let mut met = Vec::new();
    for (step, (bytes, samples, labels, replaced)) in shown.iter().enumerate() {
        let wanted = planner
            .plan(step as u64, |sample| {
                let (size, label) = (size_of(sample), sample % 2);
                Ok::<_, metacl::episode::EpisodeError>(metacl::episode::SampleMeta { size, label })
            })
            .unwrap();
        assert!(samples.iter().all(|sample| !DAMAGED.contains(sample)));
        assert!(labels.iter().zip(samples).all(|(label, sample)| *label == sample % 2));
        let expected: Vec<u32> = wanted.samples.iter().copied().filter(|sample| DAMAGED.contains(sample)).collect();
        assert_eq!(replaced.iter().map(|(sample, _)| *sample).collect::<Vec<_>>(), expected);
        met.extend(expected);
        for (image, (&now, &then)) in samples.iter().zip(&wanted.samples).enumerate() {
            assert_eq!(now == then, !DAMAGED.contains(&then));
            assert!(now == then || !wanted.samples.contains(&now), "a class that the batch has already");
            for row in wanted.rows_of(image) {
                let (got, undamaged) =
                    (&bytes[row * view.bytes()..][..view.bytes()], &before[step][row * view.bytes()..][..view.bytes()]);
                assert_eq!(got == undamaged, now == then, "step {step}, row {row}");
            }
        }
    }
    met.sort_unstable();
    assert_eq!(met, DAMAGED.iter().flat_map(|&sample| [sample; 2]).collect::<Vec<_>>(), "two epochs");
}

/// A stand-in that is corrupt as well gives way in its turn; ranks choose as one process does; the views are those that its plan names.
#[test]
fn stand_ins_show_what_the_plan_says_on_every_rank() {
    let folder = tempfile::tempdir().unwrap();
    drop(dataset(&folder.path().join("train")));
    let damaged: Vec<u32> = (0..SAMPLES).filter(|sample| sample % 3 != 0).collect();
    damage(&folder.path().join("train"), &damaged);
    let set = Arc::new(ShardSet::open(&folder.path().join("train")).unwrap());
    let planner = Planner::new(spec((0, 1)), set.len()).unwrap();
    let options = LoaderOptions { corrupt: OnCorrupt::Substitute, workers: 2, ..LoaderOptions::default() };
    let view = ViewSpec::bicubic(32);
    for batch in load_views(set.clone(), planner, options, 0..5).unwrap() {
        let batch = batch.unwrap();
        let plan = batch.plan();
        assert!(batch.replaced().iter().all(|replaced| plan.samples[replaced.image] == replaced.by));
        assert!(batch.replaced().iter().all(|replaced| replaced.error.to_string().contains("checksum")));
        for (row, bytes) in plan.views.iter().zip(batch.bytes().chunks(view.bytes())) {
            let sample = plan.samples[row.source as usize];
            let image = Pixels::new(picture(sample), size_of(sample)).unwrap();
            let expected = reference::render(image.as_ref(), row, view);
            let tolerance = if row.blur_sigma > 0.0 { metacl::augment::BLUR_LEVELS } else { 0 };
            assert!(bytes.iter().zip(&expected).all(|(a, b)| a.abs_diff(*b) <= tolerance), "{row}");
        }
        for rank in 0..4 {
            let step = plan.step;
            let part = substituted(&set, (rank, 4), 1, step..step + 1).remove(0);
            let places = [0, 1].map(|row| metacl::episode::RowLayout::new(2, 2).joined_row(4, rank as usize, row));
            assert_eq!(part.1, places.map(|place| plan.samples[place]));
        }
    }
}

#[test]
fn where_all_is_corrupt_or_the_policy_says_so_the_batch_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    drop(dataset(&folder.path().join("train")));
    damage(&folder.path().join("train"), &(0..SAMPLES).collect::<Vec<_>>());
    let set = Arc::new(ShardSet::open(&folder.path().join("train")).unwrap());
    for corrupt in [OnCorrupt::Error, OnCorrupt::Substitute] {
        let planner = Planner::new(spec((0, 1)), set.len()).unwrap();
        let mut loader =
            load_views(set.clone(), planner, LoaderOptions { corrupt, ..LoaderOptions::default() }, 0..5).unwrap();
        let error = loader.next().unwrap().err().unwrap();
        assert!(error.is_corrupt_sample() && error.to_string().contains(".mcs: sample "), "{error}");
        assert!(loader.next().is_none());
    }
}
