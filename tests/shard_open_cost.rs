//! Opening a set reserves no memory for its samples, however many there are.
//!
//! Alone in its file: it counts what the whole process allocates.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use metacl::image::Size;
use metacl::shard::{Codec, NO_LABEL, NewSample, ShardSet, SplitWriter, WriteOptions};

struct Counting;

static ALLOCATED: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes on to the system's allocator, with the arguments as they came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: the caller keeps `alloc`'s promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Bytes allocated by `call`, freed or not.
fn allocated<T>(call: impl FnOnce() -> T) -> (T, u64) {
    let before = ALLOCATED.load(Ordering::Relaxed);
    let result = call();
    (result, ALLOCATED.load(Ordering::Relaxed) - before)
}

/// Records of one byte without names, `count` of them.
fn write(folder: &Path, count: u64, shard_size: u64) {
    let options = WriteOptions { shard_size, ..WriteOptions::default() };
    let mut writer = SplitWriter::create(folder, options).unwrap();
    for sample in 0..count {
        let bytes = [sample as u8];
        let size = Size::new(1, 1);
        writer.append(&NewSample { bytes: &bytes, size, codec: Codec::Jpeg, label: NO_LABEL, name: "" }).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn opening_costs_no_heap_per_sample() {
    const MANY: u64 = 2_000_000;
    let parent = tempfile::tempdir().unwrap();
    let [few, many] = ["few_", "many"].map(|name| parent.path().join(name));
    write(&few, 2, 1 << 30);
    write(&many, MANY, 1 << 30);
    let open = |path: &Path| allocated(|| ShardSet::open(path).unwrap());
    open(&few); // what the first call of a process costs is not a set's
    let (_few, cost_of_few) = open(&few);
    let (set, cost_of_many) = open(&many);
    assert_eq!(set.len(), MANY);
    println!("open: {cost_of_few} bytes for 2 samples, {cost_of_many} bytes for {MANY}");
    // For each index page of 4096 samples its place and a bit, and nothing else.
    let (grown, pages) = (cost_of_many - cost_of_few, MANY.div_ceil(4096));
    assert!(grown <= 24 * pages + pages / 8 + 8, "{grown} more bytes for {MANY} more samples");

    let (sum, cost) = allocated(|| {
        (0..MANY).step_by(997).map(|index| u64::from(set.record(index).unwrap()[0] == index as u8)).sum::<u64>()
    });
    assert_eq!(sum, MANY.div_ceil(997));
    assert_eq!(cost, 0, "reading records allocates");
}
