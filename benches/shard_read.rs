//! Looking a record up and checking it: the whole record, and nothing.

mod common;

use criterion::{Throughput, criterion_group, criterion_main};
use metacl::shard::{Codec, NewSample, ShardSet, SplitWriter, Verify, WriteOptions};

fn read(c: &mut criterion::Criterion<common::CpuTime>) {
    let photos = common::photos(64);
    let parent = tempfile::tempdir().expect("a temporary folder");
    let folder = parent.path().join("photos");
    let mut writer = SplitWriter::create(&folder, WriteOptions::default()).expect("a new folder");
    for photo in &photos {
        let (bytes, size) = (&photo.jpeg[..], photo.size);
        let new = NewSample { bytes, size, codec: Codec::Jpeg, label: metacl::shard::NO_LABEL, name: "photo" };
        writer.append(&new).expect("room on the disk");
    }
    writer.finish().expect("room on the disk");

    let mut group = c.benchmark_group("shard_read");
    group.throughput(Throughput::Bytes(photos.iter().map(|photo| photo.jpeg.len() as u64).sum()));
    for verify in [Verify::Always, Verify::First, Verify::Never] {
        let set = ShardSet::open(&folder).expect("just written").with_verify(verify);
        for (index, photo) in (0..).zip(&photos) {
            assert!(set.stored(index).expect("sound").bytes == photo.jpeg);
        }
        group.bench_function(format!("{verify:?}").to_lowercase(), |b| {
            b.iter(|| (0..set.len()).map(|index| set.stored(index).expect("sound").bytes[0] as u64).sum::<u64>());
        });
    }
}

criterion_group! { name = benches; config = common::criterion(); targets = read }
criterion_main!(benches);
