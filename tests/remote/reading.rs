//! A set at a URL is the set on disk.

use std::fs;
use std::sync::Arc;

use metacl::augment::{TaskPolicy, ViewSpec, recipe};
use metacl::episode::{EpisodeSpec, Order, Planner};
use metacl::loader::{LoaderOptions, load_views};
use metacl::shard::remote::RemoteError;
use metacl::shard::{ShardError, ShardSet, Storage, Verify, verify_set};

use crate::remote_support::{PHOTOS, Server, photos, storage};

/// Everything that a set says of its samples is the same.
pub(crate) fn assert_same(disk: &ShardSet, url: &ShardSet) {
    assert_eq!(disk.identity(), url.identity());
    assert_eq!((disk.len(), disk.classes(), disk.metadata()), (url.len(), url.classes(), url.metadata()));
    // Not in the order of the files.
    for index in (0..disk.len()).map(|index| index * 37 % disk.len()) {
        assert_eq!(disk.info(index).unwrap(), url.info(index).unwrap());
        assert_eq!(disk.name(index).unwrap(), url.name(index).unwrap());
        assert_eq!(disk.record(index).unwrap(), url.record(index).unwrap(), "record {index}");
    }
}

#[test]
fn a_set_at_a_url_is_the_set_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let disk = photos(&folder.path().join("data/train"));
    assert!(disk.shards().len() >= 3);
    let server = Server::start(folder.path());
    let storage = storage(&folder.path().join("cache"), 1 << 30);
    for verify in [Verify::Always, Verify::First, Verify::Never] {
        let url = ShardSet::open_at(&server.location("data/train"), &storage).unwrap().with_verify(verify);
        assert_same(&disk, &url);
    }
    let first = ShardSet::open(&folder.path().join("data/train/00000.mcs")).unwrap();
    assert_same(&first, &ShardSet::open_at(&server.location("data/train/00000.mcs"), &storage).unwrap());
    assert!(verify_set(&ShardSet::open_at(&server.location("data/train"), &storage).unwrap()).is_empty());
}

#[test]
fn splits_are_found_without_a_list() {
    let folder = tempfile::tempdir().unwrap();
    photos(&folder.path().join("data/train"));
    let server = Server::start(folder.path());
    let storage = storage(&folder.path().join("cache"), 1 << 30);
    for place in ["data", "data/train", "data/train/"] {
        let set = ShardSet::open_split_at(&server.location(place), "train", &storage).unwrap();
        assert_eq!(set.len(), u64::from(PHOTOS), "{place}");
    }
    assert!(!storage.has_shards(&server.location("data/test")).unwrap());
    let none = ShardSet::open_split_at(&server.location("data"), "test", &storage);
    assert!(matches!(none, Err(ShardError::NoShards { .. })));
    fs::remove_file(folder.path().join("data/train/00001.mcs")).unwrap();
    let part = ShardSet::open_at(&server.location("data/train"), &storage);
    assert!(matches!(part, Err(ShardError::MissingPart { part: 1, .. })));
    let file = ShardSet::open_at(&server.location("data/train/00001.mcs"), &storage);
    assert!(matches!(file, Err(ShardError::Remote(error)) if matches!(*error, RemoteError::NotFound { .. })));
    let uncached = ShardSet::open_at(&server.location("data/train"), &Storage::default());
    assert!(matches!(uncached, Err(ShardError::Remote(error)) if matches!(*error, RemoteError::NoCache { .. })));
}

#[test]
fn what_is_asked_for_ahead_comes_once_and_neighbours_together() {
    let folder = tempfile::tempdir().unwrap();
    let disk = photos(&folder.path().join("train"));
    let server = Server::start(folder.path());
    let url = ShardSet::open_at(&server.location("train"), &storage(&folder.path().join("cache"), 1 << 30)).unwrap();
    url.fetch_index().unwrap();
    server.rule(|_, _| crate::remote_support::Answer::Slow);
    (0..url.len()).for_each(|index| {
        url.read_ahead(index).unwrap();
    });
    (0..url.len()).for_each(|index| assert_eq!(url.record(index).unwrap(), disk.record(index).unwrap()));
    let asked = server.asked();
    let records: u64 = (0..url.len()).map(|index| url.info(index).unwrap().length.next_multiple_of(8)).sum();
    assert_eq!(asked.iter().map(|asked| asked.range.end - asked.range.start).sum::<u64>(), records);
    // 9 MiB in pages of about 1.5 MB: a request for each extent would be two or three a page.
    assert!(asked.len() < records.div_ceil(1 << 20) as usize + 6, "{} requests", asked.len());
    // A second reader finds all in the cache.
    server.rule(|_, _| crate::remote_support::Answer::Status(500));
    (0..url.len()).for_each(|index| assert_eq!(url.record(index).unwrap(), disk.record(index).unwrap()));
    assert_eq!(server.asked().len(), 0);
}

#[test]
fn a_set_may_go_while_much_is_on_its_way() {
    let folder = tempfile::tempdir().unwrap();
    let disk = photos(&folder.path().join("train"));
    let server = Server::start(folder.path());
    server.rule(|_, asked| match asked.range.end - asked.range.start > 100_000 {
        true => crate::remote_support::Answer::Stalled,
        false => crate::remote_support::Answer::Right,
    });
    let cache = folder.path().join("cache");
    for _ in 0..3 {
        let url = ShardSet::open_at(&server.location("train"), &storage(&cache, 1 << 30)).unwrap();
        (0..url.len()).step_by(20).for_each(|index| {
            url.read_ahead(index).unwrap();
        });
        (0..url.len()).for_each(|index| {
            url.read_ahead(index).unwrap();
        });
    }
    server.rule(|_, _| crate::remote_support::Answer::Right);
    assert_same(&disk, &ShardSet::open_at(&server.location("train"), &storage(&cache, 1 << 30)).unwrap());
}

/// The bytes of ten batches of two views.
fn batches(set: &Arc<ShardSet>) -> Vec<Vec<u8>> {
    let spec = EpisodeSpec {
        seed: 5,
        batch: 9,
        order: Order::Shuffled { seed: 5 },
        views: vec![recipe::ssl_imagenet(0.08, 1.0); 2],
        task: TaskPolicy::Upright,
        view: ViewSpec::bicubic(32),
        rank: (0, 1),
    };
    let planner = Planner::new(spec, set.len()).unwrap();
    let options = LoaderOptions { workers: 2, ..LoaderOptions::default() };
    let loader = load_views(set.clone(), planner, options, 0..10).unwrap();
    loader.map(|batch| batch.unwrap().bytes().to_vec()).collect()
}

#[test]
fn the_loader_gives_the_same_batches() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(photos(&folder.path().join("train")));
    let server = Server::start(folder.path());
    let expected = batches(&disk);
    // With room for all, and with room for a fifth.
    for size in [1 << 30, 2 << 20] {
        let cache = folder.path().join(format!("cache-{size}"));
        let url = ShardSet::open_at(&server.location("train"), &storage(&cache, size)).unwrap();
        assert_eq!(batches(&Arc::new(url)), expected);
    }
}
