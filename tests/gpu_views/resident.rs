//! Images that lie on the device, and rows mixed there.

use metacl::augment::cuda::{MixArgs, Output, ValueKind};
use metacl::augment::{ViewSpec, recipe};
use metacl::episode::{EpisodeError, SampleMeta};
use metacl::stage::{Resident, Stage};

use crate::Subject;
use crate::run::{Job, LEVELS, assert_rows};
use crate::stage_support::small;

pub(crate) fn views(subject: &Subject<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let set = small(folder.path());
    let size = Resident::fits(&set, 1 << 20).unwrap().unwrap();
    let resident = Resident::upload(&set, size, subject.engine.gpu()).unwrap();
    // The border of the second is reflected.
    let policies = vec![recipe::ssl_cifar(0.08, 0.5), recipe::padded_crop_and_mirror()];
    let job = Job::new(&set, ViewSpec::bicubic(32), policies, subject.choose(9, 400));
    assert_rows(&job.resident(subject, LEVELS, &resident), &job.expected(), 3 * 32 * 32, "resident");
}

/// Blended and pasted, in every type and layout.
pub(crate) fn mixed_rows(subject: &Subject<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let set = small(folder.path());
    let size = set.info(0).unwrap().size;
    let resident = Resident::upload(&set, size, subject.engine.gpu()).unwrap();
    let spec = ViewSpec::bicubic(32);
    let job = Job::new(&set, spec, vec![recipe::ssl_cifar(0.08, 0.5); 2], 1);
    let meta = |sample: u32| {
        let info = set.info(sample.into()).unwrap();
        Ok::<_, EpisodeError>(SampleMeta { size: info.size, label: info.label })
    };
    let plan = job.planner.plan(0, meta).unwrap();
    let (classes, rows) = (plan.layout.classes, plan.views.len());
    for kind in [ValueKind::F32, ValueKind::F16, ValueKind::Bf16] {
        for (channels_last, [top, left, height, width]) in
            [(false, [0; 4]), (true, [0; 4]), (false, PATCH), (true, PATCH)]
        {
            let mix = MixArgs {
                classes: classes as u32,
                first: classes as u32,
                size: 32,
                channels_last: channels_last.into(),
                kind: MixArgs::kind_of(kind),
                share: 0.3,
                other: 0.7,
                top,
                left,
                height,
                width,
            };
            let mut stage = Stage::new(subject.engine, spec, Output { kind, channels_last }, 2 * rows).unwrap();
            let rendered = stage.render_resident(&resident, &plan, Some(mix), &subject.consumer()).unwrap();
            assert_eq!(rendered.rows, 2 * rows - classes);
            let values = decoded(&stage.read(rendered).unwrap(), kind);
            check(&values, &mix, kind, rows);
        }
    }
}

/// First row and column, rows, columns.
const PATCH: [u32; 4] = [3, 8, 20, 24];

/// Rows from `rows` on are mixed of those from `mix.first` on.
fn check(values: &[f32], mix: &MixArgs, kind: ValueKind, rows: usize) {
    let (area, classes) = ((mix.size * mix.size) as usize, mix.classes as usize);
    for (at, &got) in values[3 * area * rows..].iter().enumerate() {
        let (row, value) = (mix.first as usize + at / (3 * area), at % (3 * area));
        let class = row % classes;
        let own = values[3 * area * row + value];
        let other = values[3 * area * (row - class + classes - 1 - class) + value];
        let pixel = (if mix.channels_last == 1 { value / 3 } else { value % area }) as u32;
        let (y, x) = (pixel / mix.size, pixel % mix.size);
        let inside = (mix.top..mix.top + mix.height).contains(&y) && (mix.left..mix.left + mix.width).contains(&x);
        let expected = match (mix.height, inside) {
            (0, _) => rounded(rounded(own * mix.share, kind) + rounded(other * mix.other, kind), kind),
            (_, true) => other,
            (_, false) => own,
        };
        assert_eq!(got, expected, "{mix:?} at {at}");
    }
}

/// `value`, not negative, in the nearest of a type, ties to even.
fn rounded(value: f32, kind: ValueKind) -> f32 {
    let (fraction, least) = match kind {
        ValueKind::F16 => (10, -14),
        ValueKind::Bf16 => (7, -126),
        _ => return value,
    };
    let exponent = ((value.to_bits() >> 23) as i32 - 127).max(least);
    let quantum = 2f64.powi(exponent - fraction);
    ((f64::from(value) / quantum).round_ties_even() * quantum) as f32
}

fn decoded(bytes: &[u8], kind: ValueKind) -> Vec<f32> {
    let halves = || bytes.as_chunks::<2>().0.iter().map(|two| u32::from(u16::from_le_bytes(*two)));
    match kind {
        ValueKind::Bf16 => halves().map(|bits| f32::from_bits(bits << 16)).collect(),
        ValueKind::F16 => halves().map(half).collect(),
        _ => bytemuck::pod_collect_to_vec(bytes),
    }
}

/// The value of a binary16, not negative and finite.
fn half(bits: u32) -> f32 {
    let (exponent, fraction) = (bits >> 10, f64::from(bits & 1023));
    let value =
        if exponent == 0 { fraction * 2f64.powi(-24) } else { (1024.0 + fraction) * 2f64.powi(exponent as i32 - 25) };
    value as f32
}
