//! Records to pixels: coefficient records whole and in part, beside a whole decode by libjpeg-turbo and zune-jpeg.
//!
//! Run with `METACL_BENCH_PHOTOS=FOLDER` on your own photos.

mod common;

use common::Photo;
use criterion::{criterion_group, criterion_main};
use metacl::augment::recipe::random_resized_crop;
use metacl::augment::{ViewKey, ViewPolicy, draw_view};
use metacl::coef::{self, Expander, Path, Upto};
use metacl::decode::{Decoder, JpegLibrary, Limits, Want};
use metacl::image::{Planes, Rect};
use metacl::rng::{Purpose, Stream};
use metacl::shard::Codec;

struct Case {
    photo: Photo,
    record: Vec<u8>,
    crop: Rect,
}

fn cases() -> Vec<Case> {
    let policy = ViewPolicy::crop_only(random_resized_crop(0.08));
    let stream = Stream::new(1, Purpose::View);
    let case = |(sample, photo): (u32, Photo)| {
        let record = common::record(&photo)?;
        let key = ViewKey { stream, epoch: 0, sample, view: 0 };
        let crop = draw_view(&policy, 0, photo.size, 224, &key).region(photo.size);
        Some(Case { photo, record, crop })
    };
    (0..).zip(common::photos(256)).filter_map(case).collect()
}

/// Every pixel of `crop` by libjpeg-turbo and by both paths of the expander.
fn check(case: &Case) {
    let size = case.photo.size;
    let mut turbo = Decoder::new(Limits::default());
    let whole = turbo.decode(Codec::Jpeg, &case.photo.jpeg, size, Want::all(size)).expect("a photo");
    for path in [Path::Fastest, Path::Scalar] {
        for region in [size.rect(), case.crop] {
            let mut planes = Planes::default();
            Expander::new(path).expand(&case.record, size, region, true, &mut planes).expect("a sound record");
            assert!(planes.as_ref().interleaved() == whole.pixels.window(region).interleaved(), "{path:?} {region:?}");
        }
    }
}

fn decode(c: &mut criterion::Criterion<common::CpuTime>) {
    let cases = cases();
    assert!(!cases.is_empty(), "no photo becomes a coefficient record: is the feature `turbo` on?");
    cases.iter().for_each(check);
    let [jpeg, record] = [|case: &Case| case.photo.jpeg.len(), |case: &Case| case.record.len()]
        .map(|length| cases.iter().map(length).sum::<usize>());
    println!("{} photos, records are {:.3} of the JPEGs", cases.len(), record as f64 / jpeg as f64);

    let mut group = c.benchmark_group("decode");
    group.throughput(common::each(cases.len()));
    for library in [JpegLibrary::default(), JpegLibrary::Zune] {
        let mut decoder = Decoder::with_library(Limits::default(), library);
        group.bench_function(format!("{library:?} whole").to_lowercase(), |b| {
            b.iter(|| {
                for Case { photo, .. } in &cases {
                    // zune-jpeg does not know arithmetic coding.
                    let _ = decoder.decode(Codec::Jpeg, &photo.jpeg, photo.size, Want::all(photo.size));
                }
            });
        });
    }
    let mut decoder = Decoder::new(Limits::default());
    group.bench_function("turbo crop", |b| {
        b.iter(|| {
            for Case { photo, crop, .. } in &cases {
                let want = Want { region: *crop, verify: true };
                decoder.decode(Codec::Jpeg, &photo.jpeg, photo.size, want).expect("a photo");
            }
        });
    });
    for path in [Path::Fastest, Path::Scalar] {
        let name = format!("coef {path:?}").to_lowercase();
        let (mut expander, mut planes) = (Expander::new(path), Planes::default());
        for verify in [false, true] {
            let checked = if verify { " verified" } else { "" };
            let mut bench = |part: &str, region: fn(&Case) -> Rect| {
                group.bench_function(format!("{name} {part}{checked}"), |b| {
                    b.iter(|| {
                        for case in &cases {
                            let (record, size) = (&case.record, case.photo.size);
                            expander.expand(record, size, region(case), verify, &mut planes).expect("a sound record");
                        }
                    });
                });
            };
            bench("whole", |case| case.photo.size.rect());
            bench("crop", |case| case.crop);
        }
    }
}

/// What the stages of expanding whole photos take, one after the other: each row holds those before it.
fn stages(c: &mut criterion::Criterion<common::CpuTime>) {
    let cases = cases();
    let mut group = c.benchmark_group("stages");
    group.throughput(common::each(cases.len()));
    let (mut expander, mut planes, mut whole) = (Expander::new(Path::Fastest), Planes::default(), Planes::default());
    for case in &cases {
        let (record, size) = (&case.record, case.photo.size);
        expander.expand_upto(record, size, Upto::Pixels, &mut planes).expect("a sound record");
        expander.expand(record, size, size.rect(), true, &mut whole).expect("a sound record");
        assert!(planes.as_ref().interleaved() == whole.as_ref().interleaved(), "all stages are not the whole");
    }
    for (name, upto) in [("unpack", Upto::Unpacked), ("and transform", Upto::Transformed), ("and colour", Upto::Pixels)]
    {
        group.bench_function(name, |b| {
            b.iter(|| {
                for case in &cases {
                    expander.expand_upto(&case.record, case.photo.size, upto, &mut planes).expect("a sound record");
                }
            });
        });
    }
}

/// What conversion, extraction and contact sheets do with records.
fn records(c: &mut criterion::Criterion<common::CpuTime>) {
    let cases = cases();
    let pictures: Vec<_> = cases.iter().map(|case| coef::coefficients(&case.record).expect("a sound record")).collect();
    for (case, picture) in cases.iter().zip(&pictures) {
        assert!(coef::encode(picture).is_ok_and(|record| record == case.record), "the round trip changes the record");
    }
    let mut group = c.benchmark_group("records");
    group.throughput(common::each(cases.len()));
    group.bench_function("encode", |b| {
        b.iter(|| pictures.iter().map(|picture| coef::encode(picture).map_or(0, |record| record.len())).sum::<usize>());
    });
    group.bench_function("to coefficients", |b| {
        b.iter(|| cases.iter().filter(|case| coef::coefficients(&case.record).is_ok()).count());
    });
    let mut planes = Planes::default();
    group.bench_function("preview", |b| {
        b.iter(|| cases.iter().filter(|case| coef::preview(&case.record, &mut planes).is_ok()).count());
    });
}

criterion_group! { name = benches; config = common::criterion(); targets = decode, stages, records }
criterion_main!(benches);
