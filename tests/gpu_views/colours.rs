//! Hue of every colour: a slab of 256 x 256 pixels for each red, with a shift of its own.

use metacl::augment::{ColourOp, ViewPlan, ViewSpec, recipe, reference};
use metacl::episode::{EpisodeError, EpisodeSpec, Planner, SampleMeta};
use metacl::image::{PixelsRef, Size};
use metacl::stage::{Resident, Stage};

use crate::Subject;
use crate::run::{LEVELS, assert_rows};
use crate::stage_support::stored;

const SIZE: Size = Size { width: 256, height: 256 };

/// Slabs of a batch.
const BATCH: u32 = 8;

pub(crate) fn hues(subject: &Subject<'_>) {
    let reds: Vec<u8> = (0..=255).step_by(subject.choose(16, 1)).collect();
    let folder = tempfile::tempdir().unwrap();
    let set = stored(folder.path(), reds.iter().map(|&red| (slab(red), SIZE)));
    let resident = Resident::upload(&set, SIZE, subject.engine.gpu()).unwrap();
    let spec = ViewSpec::bicubic(256);
    let planner = Planner::new(EpisodeSpec::in_order(BATCH, recipe::whole(), spec), set.len()).unwrap();
    let mut stage = Stage::new(subject.engine, spec, LEVELS, BATCH as usize).unwrap();
    for step in 0..planner.steps_per_epoch() {
        let plan = planner.plan(step, |_| Ok::<_, EpisodeError>(SampleMeta { size: SIZE, label: 0 }));
        let mut plan = plan.unwrap();
        let own: Vec<u8> = plan.samples.iter().map(|&sample| reds[sample as usize]).collect();
        for (view, &red) in plan.views.iter_mut().zip(&own) {
            let hue = (f32::from(red) - 127.5) / 255.0;
            *view = ViewPlan { hue, ..*view }.with_colour_ops(&[ColourOp::Hue]);
        }
        let rendered = stage.render_resident(&resident, &plan, None, &subject.consumer()).unwrap();
        let got = stage.read(rendered).unwrap();
        for ((&red, view), got) in own.iter().zip(&plan.views).zip(got.chunks_exact(spec.bytes())) {
            let data = slab(red);
            let expected = reference::colour(PixelsRef::new(&data, SIZE).unwrap(), view);
            assert_rows(got, &expected, spec.bytes(), &format!("red {red}"));
        }
    }
}

fn slab(red: u8) -> Vec<u8> {
    (0..=255u8).flat_map(|green| (0..=255u8).flat_map(move |blue| [red, green, blue])).collect()
}
