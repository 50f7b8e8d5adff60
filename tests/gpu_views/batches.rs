//! Batches of sources that cross to the device.

use metacl::augment::cuda::{Output, ValueKind};
use metacl::augment::{Filter, ViewSpec, recipe};
use metacl::episode::{EpisodeSpec, Planner};
use metacl::image::Size;
use metacl::loader::{Expansions, LoaderOptions, load_sources};
use metacl::shard::Verify;
use metacl::stage::{Stage, StageError};

use crate::Subject;
use crate::run::{Job, LEVELS, assert_rows};
use crate::stage_support::{contradictory, mixed, pixels};

const EXPANSIONS: [Expansions; 2] = [Expansions::Device, Expansions::Host];

pub(crate) fn of_every_kind_of_record(subject: &Subject<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let set = mixed(folder.path());
    for (size, steps) in [(32, subject.choose(9, 90)), (224, subject.choose(2, 45)), (33, subject.choose(3, 45))] {
        for filter in [Filter::Bicubic, Filter::Bilinear] {
            let spec = ViewSpec { size, filter };
            let job = Job::new(&set, spec, vec![recipe::ssl_imagenet(0.08, 1.0); 2], steps);
            let expected = job.expected();
            for expansions in EXPANSIONS {
                let what = format!("{size} px, {filter:?}, expanded by the {expansions:?}");
                assert_rows(&job.staged(subject, LEVELS, expansions), &expected, spec.bytes(), &what);
            }
        }
    }
}

/// Sides whose area is a multiple of four, and not.
pub(crate) fn of_every_type_and_layout(subject: &Subject<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let set = mixed(folder.path());
    for size in [32, 33] {
        let spec = ViewSpec::bicubic(size);
        let job = Job::new(&set, spec, vec![recipe::ssl_imagenet(0.08, 1.0); 2], subject.choose(2, 20));
        let levels = job.expected();
        for kind in [ValueKind::U8, ValueKind::F32, ValueKind::F16, ValueKind::Bf16] {
            for channels_last in [false, true] {
                let output = Output { kind, channels_last };
                let got = job.staged(subject, output, Expansions::Device);
                let row_bytes = spec.bytes() * kind.bytes() as usize;
                assert_rows(&got, &values(&levels, spec, output), row_bytes, &format!("{size} px, {output:?}"));
            }
        }
    }
}

/// Levels looked up, planes or channels last.
fn values(levels: &[u8], spec: ViewSpec, output: Output) -> Vec<u8> {
    let (table, bytes) = (output.kind.table(), output.kind.bytes() as usize);
    let area = spec.bytes() / 3;
    let mut values = vec![0; levels.len() * bytes];
    for (at, &level) in levels.iter().enumerate() {
        let (view, channel, pixel) = (at / (3 * area), at / area % 3, at % area);
        let to = if output.channels_last { 3 * (view * area + pixel) + channel } else { at };
        let value = table[256 * channel + usize::from(level)].to_le_bytes();
        values[bytes * to..][..bytes].copy_from_slice(&value[..bytes]);
    }
    values
}

/// Scales at which the rows between the passes leave shared memory, and views that do.
pub(crate) fn of_large_sources(subject: &Subject<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let sizes = [(40, 6000), (5000, 30), (900, 700), (2500, 1900), (1, 4000), (3, 3)];
    let set = pixels(folder.path(), &sizes.map(|(width, height)| Size::new(width, height)));
    for size in [32, 224, 300] {
        let spec = ViewSpec::bicubic(size);
        let views = vec![recipe::whole(), recipe::ssl_imagenet(0.5, 1.0)];
        let job = Job::new(&set, spec, views, subject.choose(1, 10));
        let got = job.staged(subject, LEVELS, Expansions::Device);
        assert_rows(&got, &job.expected(), spec.bytes(), &format!("large sources, {size} px"));
    }
}

/// The status that kernels write reaches the host, and names the sample.
pub(crate) fn with_a_contradiction(subject: &Subject<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let (set, bad) = contradictory(folder.path());
    let set = std::sync::Arc::new(set.with_verify(Verify::Never));
    let spec = ViewSpec::bicubic(32);
    let count = set.len() as u32;
    let planner = Planner::new(EpisodeSpec::in_order(count, recipe::whole(), spec), set.len()).unwrap();
    let options = LoaderOptions::default();
    let gpu = subject.engine.gpu();
    let mut loader = load_sources(set, planner, options, Expansions::Device, gpu, 0..1).unwrap();
    let mut stage = Stage::new(subject.engine, spec, LEVELS, count as usize).unwrap();
    stage.render(loader.next().unwrap().unwrap(), None, &subject.consumer()).unwrap();
    let found = stage.drain();
    assert!(matches!(found, Err(StageError::Contradiction { sample, step: 0 }) if sample == bad), "{found:?}");
}
