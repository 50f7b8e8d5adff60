//! A batch is a function of data, spec and step: threads, slots, ranks and where the run started cannot change a byte.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use metacl::augment::{TaskPolicy, ViewSpec, recipe, reference};
use metacl::episode::{EpisodeSpec, Order, Planner, RowLayout};
use metacl::image::{Pixels, Size};
use metacl::loader::{LoaderOptions, load_views};
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

#[test]
fn ranks_share_out_the_rows_of_one_batch() {
    let folder = tempfile::tempdir().unwrap();
    let set = dataset(&folder.path().join("train"));
    let row = ViewSpec::bicubic(32).bytes();
    let whole = batches(&set, spec((0, 1)), 2, 3, 0..6);
    for rank in 0..4 {
        let part = batches(&set, spec((rank as u32, 4)), 2, 3, 0..6);
        for (whole, part) in whole.iter().zip(&part) {
            let layout = RowLayout::new(2, 2);
            for (own, bytes) in part.chunks(row).enumerate() {
                let in_whole = layout.joined_row(4, rank, own) * row;
                assert!(whole[in_whole..in_whole + row] == *bytes);
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
