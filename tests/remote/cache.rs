//! The cache: never above its limit, damage in it noticed, shared, and none the worse for a process that was killed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use metacl::shard::ShardSet;
use tempfile::TempDir;

use crate::reading::assert_same;
use crate::remote_support::{Answer, Server, bytes_below, extents, photos, storage};

/// A served dataset: its folder, which goes with the value, the split on disk, the server, and where a cache may be.
fn served() -> (TempDir, ShardSet, Server, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let disk = photos(&folder.path().join("train"));
    let server = Server::start(folder.path());
    let cache = folder.path().join("cache");
    (folder, disk, server, cache)
}

/// What a cache holds, while nobody may reserve more: extents first, so that a file that is renamed meanwhile is not counted twice.
fn held(cache: &Path) -> u64 {
    let total = File::open(cache.join("total")).unwrap();
    total.lock().unwrap();
    bytes_below(&cache.join("extents")) + bytes_below(&cache.join("unfinished")) + total.metadata().unwrap().len()
}

#[test]
fn it_stays_under_its_limit_at_every_moment() {
    let (folder, disk, server, cache) = served();
    let limit = 4 << 20;
    let open = || ShardSet::open_at(&server.location("train"), &storage(&cache, limit)).unwrap();
    // As two processes would: nothing is shared but the folder.
    let sets = [open(), open()];
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let (mut most, mut looks) = (0, 0);
            while !done.load(Ordering::Relaxed) || looks == 0 {
                most = most.max(held(&cache));
                looks += 1;
            }
            most
        });
        let readers: Vec<_> = sets
            .iter()
            .map(|set| {
                scope.spawn(|| {
                    (0..set.len()).for_each(|index| {
                        set.read_ahead(index).unwrap();
                    });
                    assert_same(&disk, set);
                })
            })
            .collect();
        let ended: Vec<_> = readers.into_iter().map(|reader| reader.join()).collect();
        done.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok));
        let most = watch.join().unwrap();
        assert!((1 << 20..=limit).contains(&most), "{most} bytes at most");
    });
    drop(sets);
    // A smaller limit holds from the next opening on.
    ShardSet::open_at(&server.location("train"), &storage(&cache, 2 << 20)).unwrap();
    assert!(held(&cache) <= 2 << 20);
    // A cache that is too small for anything keeps nothing, and all is there all the same.
    let cache = folder.path().join("tiny");
    assert_same(&disk, &ShardSet::open_at(&server.location("train"), &storage(&cache, 100)).unwrap());
    assert_eq!(extents(&cache).len(), 0);
}

#[test]
fn damage_in_it_is_noticed_and_fetched_anew() {
    let (_folder, disk, server, cache) = served();
    let open = || ShardSet::open_at(&server.location("train"), &storage(&cache, 1 << 30)).unwrap();
    assert_same(&disk, &open());
    let sound: Vec<_> = extents(&cache).into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    assert!(sound.len() >= 9);
    let damages: [fn(&mut Vec<u8>); 4] = [
        |bytes| bytes.iter_mut().step_by(999).for_each(|byte| *byte ^= 1),
        |bytes| bytes.truncate(bytes.len() / 3),
        |bytes| bytes.clear(),
        |bytes| bytes.fill(0),
    ];
    for damage in damages {
        for (bytes, path) in &sound {
            let mut bytes = bytes.clone();
            damage(&mut bytes);
            fs::write(path, bytes).unwrap();
        }
        let set = open();
        set.fetch_index().unwrap();
        server.rule(|_, _| Answer::Right);
        assert_same(&disk, &set);
        assert!(!server.asked().is_empty());
        for (bytes, path) in &sound {
            assert_eq!(&fs::read(path).unwrap(), bytes, "{}", path.display());
        }
    }
}

#[test]
fn what_was_used_longest_ago_goes_first() {
    let (_folder, disk, server, cache) = served();
    let open = |limit| ShardSet::open_at(&server.location("train"), &storage(&cache, limit)).unwrap();
    assert_same(&disk, &open(1 << 30));
    let mut all = extents(&cache);
    all.sort();
    let day = Duration::from_secs(24 * 3600);
    for (number, path) in (1..).zip(&all) {
        File::open(path).unwrap().set_modified(UNIX_EPOCH + 1000 * day + number * day).unwrap();
    }
    drop(open(4 << 20));
    let left = extents(&cache);
    assert!(!left.is_empty() && left.len() < all.len());
    let newest = &all[all.len() - left.len()..];
    assert!(newest.iter().all(|path| left.contains(path)), "{left:?}");
    // Reading an old one makes it a new one, as soon as something newer was written.
    let set = open(1 << 30);
    assert_same(&disk, &set);
    assert_same(&disk, &set);
    let age = |path: &Path| fs::metadata(path).unwrap().modified().unwrap().duration_since(UNIX_EPOCH).unwrap();
    assert!(all.iter().all(|path| age(path) > 5000 * day), "the clock of this machine is before 1983");
}

#[test]
fn what_dead_processes_left_goes_and_what_the_living_write_stays() {
    let (_folder, disk, server, cache) = served();
    fs::create_dir_all(cache.join("unfinished")).unwrap();
    let [dead, living] = ["dead", "living"].map(|name| cache.join("unfinished").join(name));
    [&dead, &living].iter().for_each(|path| fs::write(path, vec![7; 1 << 20]).unwrap());
    let held_open = File::open(&living).unwrap();
    held_open.lock().unwrap();
    // A count that a killed process left behind is not believed for ever.
    fs::write(cache.join("total"), u64::MAX.to_le_bytes()).unwrap();
    let set = ShardSet::open_at(&server.location("train"), &storage(&cache, 8 << 20)).unwrap();
    assert_eq!((dead.exists(), living.exists()), (false, true));
    assert_same(&disk, &set);
    assert!(!extents(&cache).is_empty() && held(&cache) <= 8 << 20);
}

#[test]
fn it_survives_a_kill() {
    let (_folder, disk, server, cache) = served();
    server.rule(|_, _| Answer::Slow);
    for round in 1..=4 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_metacl-shard"))
            .args(["verify", &server.url("train"), "--cache-size", "5M", "--cache-dir"])
            .arg(&cache)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // In the middle of its work, wherever that is.
        while extents(&cache).len() < round && child.try_wait().unwrap().is_none() {
            thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(held(&cache) <= 5 << 20);
    }
    server.rule(|_, _| Answer::Right);
    let set = ShardSet::open_at(&server.location("train"), &storage(&cache, 5 << 20)).unwrap();
    assert_eq!(fs::read_dir(cache.join("unfinished")).unwrap().count(), 0);
    assert_same(&disk, &set);
    assert!(held(&cache) <= 5 << 20);
}
