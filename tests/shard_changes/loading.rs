//! A loader that runs while its file changes.

use std::fs;
use std::sync::Arc;

use metacl::augment::{TaskPolicy, ViewSpec, recipe};
use metacl::episode::{EpisodeSpec, Order, Planner};
use metacl::loader::{LoadError, Loader, LoaderOptions, OnCorrupt, load_views};
use metacl::shard::{Codec, ShardError, ShardSet, Verify};

use super::{Dataset, SAMPLES};

/// Enough that a loader that does not stop is one that does not notice.
const STEPS: u64 = 400;

fn loader(set: ShardSet) -> Loader {
    let spec = EpisodeSpec {
        seed: 5,
        batch: 6,
        order: Order::Shuffled { seed: 5 },
        views: vec![recipe::ssl_imagenet(0.08, 1.0); 2],
        task: TaskPolicy::Replace { probability: 0.5 },
        view: ViewSpec::bicubic(16),
        rank: (0, 1),
    };
    let options = LoaderOptions { workers: 3, corrupt: OnCorrupt::Substitute, ..LoaderOptions::default() };
    load_views(Arc::new(set), Planner::new(spec, SAMPLES).unwrap(), options, 0..STEPS).unwrap()
}

fn batches(loader: Loader) -> Vec<Vec<u8>> {
    loader.map(|batch| batch.unwrap().bytes().to_vec()).collect()
}

/// Runs a loader over `dataset` and has `change` happen to it after some batches. The error that it ends with, if any; batches before are those
/// of a loader that nothing happens to, and none has a sample in another's place.
fn disturbed(dataset: &Dataset, verify: Verify, change: impl FnOnce(&Dataset)) -> Option<LoadError> {
    let whole = batches(loader(dataset.open(verify)));
    let mut running = loader(dataset.open(verify));
    let mut change = Some(change);
    for (step, expected) in whole.iter().enumerate() {
        match running.next().unwrap() {
            Ok(batch) => {
                assert!(batch.replaced().is_empty(), "{}", batch.replaced()[0].error);
                assert!(batch.bytes() == expected, "step {step} shows other views");
            }
            Err(error) => return Some(error),
        }
        if step == 20
            && let Some(change) = change.take()
        {
            change(dataset);
        }
    }
    None
}

fn assert_changed(what: &str, error: Option<LoadError>) {
    match error {
        Some(LoadError::Shard(ShardError::Changed(_))) => {}
        Some(other) => panic!("{what}: {other}"),
        None => panic!("{what}: unnoticed"),
    }
}

#[test]
fn a_file_cut_short_ends_the_run_without_a_wrong_pixel() {
    for codec in [Codec::Coef, Codec::Jpeg, Codec::Raw] {
        for (verify, page_entries) in
            [(Verify::Always, 4), (Verify::First, 4), (Verify::Never, 4), (Verify::Never, 4096)]
        {
            let dataset = Dataset::new(codec, page_entries);
            let error = disturbed(&dataset, verify, Dataset::cut);
            assert_changed(&format!("{}, {verify:?}, {page_entries} a page", codec.name()), error);
        }
    }
}

#[test]
fn bytes_changed_in_place_end_the_run_without_a_wrong_pixel() {
    for codec in [Codec::Coef, Codec::Jpeg] {
        let dataset = Dataset::new(codec, 4);
        assert_changed(codec.name(), disturbed(&dataset, Verify::Always, Dataset::scribble));
    }
}

#[test]
fn a_file_replaced_by_a_rename_does_not_disturb_it() {
    let other = Dataset::of(Codec::Raw, 16, 100, 1);
    for verify in [Verify::Always, Verify::First, Verify::Never] {
        let dataset = Dataset::new(Codec::Coef, 16);
        let error = disturbed(&dataset, verify, |dataset| {
            let new = dataset.folder.path().join("new");
            fs::copy(&other.path, &new).unwrap();
            fs::rename(new, &dataset.path).unwrap();
        });
        assert!(error.is_none(), "{verify:?}: {}", error.unwrap());
    }
}
