//! Every executor renders what the reference renders: equal bytes, blur within [`BLUR_LEVELS`].
//!
//! A new executor adds one line to [`executors`].
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod image_support;
#[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
mod kernels_support;

use std::collections::HashMap;

use image_support::{Dice, PICTURES, picture, planes};
use metacl::augment::cpu::{Kernels, Renderer, colour};
use metacl::augment::{
    BLUR_LEVELS, ColourOp, CropBox, Filter, PlanError, ViewKey, ViewPlan, ViewSpec, draw_view, recipe, reference,
};
use metacl::decode::Region;
use metacl::image::{Pixels, PixelsRef, Planes, Rect, Size};
use metacl::rng::{Purpose, Stream};

/// Renders a plan of an image of the given size from a region of it.
type Executor = Box<dyn FnMut(Region<'_>, Size, &ViewPlan, ViewSpec) -> Vec<u8>>;

/// Each keeps its scratch over all cases, so that what a case leaves behind would show in the next.
fn executors() -> Vec<(&'static str, Executor)> {
    Kernels::all().map(|kernels| (kernels.name(), with(kernels))).chain(kernels()).collect()
}

/// The CUDA kernels, run on the CPU.
#[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
fn kernels() -> Option<(&'static str, Executor)> {
    use kernels_support::views::{FAST, render};
    Some(("kernels", Box::new(|source, image, plan, spec| render(source, image, plan, spec, FAST))))
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64", not(miri))))]
fn kernels() -> Option<(&'static str, Executor)> {
    None
}

fn with(kernels: Kernels) -> Executor {
    let mut renderers: HashMap<(u32, Filter), Renderer> = HashMap::new();
    Box::new(move |source, image, plan, spec| {
        let renderer = renderers.entry((spec.size, spec.filter)).or_insert_with(|| Renderer::with(kernels, spec));
        let mut out = vec![0xaa; spec.bytes()];
        renderer.render(source, image, plan, &mut out).unwrap();
        out
    })
}

/// The part of `image` inside `rect`.
fn cut(image: PixelsRef<'_>, rect: Rect) -> Pixels {
    let rows = rect.y..rect.y + rect.height;
    let part = rows.flat_map(|y| &image.row(y)[3 * rect.x as usize..][..3 * rect.width as usize]);
    Pixels::new(part.copied().collect(), rect.size()).unwrap()
}

fn check(executors: &mut [(&'static str, Executor)], image: PixelsRef<'_>, plan: &ViewPlan, spec: ViewSpec) {
    let expected = reference::render(image, plan, spec);
    let tolerance = if plan.blur_sigma > 0.0 { BLUR_LEVELS } else { 0 };
    let size = image.size();
    let rect = plan.region(size);
    let (whole, part) = (planes(image), planes(cut(image, rect).as_ref()));
    for (name, render) in executors {
        // From the whole image, and from no more than the plan says it reads.
        let sources = [Region::whole(whole.as_ref()), Region { pixels: part.as_ref(), x: rect.x, y: rect.y }];
        for source in sources {
            let ours = render(source, size, plan, spec);
            let worst = ours.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0);
            let at = ours.iter().zip(&expected).position(|(a, b)| a.abs_diff(*b) == worst);
            assert!(
                ours.len() == expected.len() && worst <= tolerance,
                "{name}: {worst} levels off at byte {at:?}: {size}, {spec:?}, {plan}, from {:?}",
                source.rect()
            );
        }
    }
}

#[test]
fn drawn_plans_of_every_recipe() {
    let policies = [
        recipe::crop_and_mirror(0.08),
        recipe::ssl_cifar(0.08, 0.5),
        recipe::ssl_imagenet(0.08, 1.0),
        recipe::centre(),
        recipe::whole(),
    ];
    let mut dice = Dice::new(1);
    let mut executors = executors();
    for case in 0..60 {
        let size = Size::new(dice.side(700), dice.side(700));
        let image = picture(PICTURES[case as usize % 3], size, &mut dice);
        let spec =
            ViewSpec { size: dice.one_of(&[32, 64, 224]), filter: dice.one_of(&[Filter::Bicubic, Filter::Bilinear]) };
        let key = ViewKey { stream: Stream::new(2, Purpose::View), epoch: 0, sample: case, view: 0 };
        for policy in &policies {
            let turns = dice.int(0, 3) as u32;
            let plan = draw_view(policy, 0, size, spec.size, &key).with_quarter_turns(turns);
            check(&mut executors, image.as_ref(), &plan, spec);
        }
    }
}

#[test]
fn padded_crops_of_any_place_and_size() {
    let mut dice = Dice::new(3);
    let mut executors = executors();
    for case in 0..150 {
        let size = Size::new(dice.int(1, 60) as u32, dice.int(1, 60) as u32);
        let image = picture(PICTURES[case % 3], size, &mut dice);
        let pad = dice.int(0, i64::from(size.width.min(size.height)) - 1);
        let mut span = |full: u32| {
            let grown = i64::from(full) + 2 * pad;
            let length = dice.int(1, grown);
            (dice.int(-pad, grown - length - pad) as i16, length as i16)
        };
        let ((x, width), (y, height)) = (span(size.width), span(size.height));
        let plan = ViewPlan { pad: pad as u32, ..ViewPlan::plain(0, CropBox { x, y, width, height }) };
        let side = dice.one_of(&[width as u32, height as u32, 1, 32]);
        check(&mut executors, image.as_ref(), &plan, ViewSpec::bicubic(side));
    }
}

#[test]
fn colour_operations_in_any_order_and_strength() {
    let mut dice = Dice::new(4);
    let mut executors = executors();
    let spec = ViewSpec::bicubic(64);
    for case in 0..200 {
        let image = picture(PICTURES[case % 3], Size::new(64, 64), &mut dice);
        let mut ops = ColourOp::ALL;
        for place in 0..4 {
            ops.swap(place, dice.int(place as i64, 3) as usize);
        }
        let acting = dice.int(0, 4) as usize;
        let whole = ViewPlan::plain(0, CropBox { x: 0, y: 0, width: 64, height: 64 });
        let plan = ViewPlan {
            brightness: dice.real(0.0, 3.0) as f32,
            contrast: dice.real(0.0, 3.0) as f32,
            saturation: dice.real(0.0, 3.0) as f32,
            hue: dice.real(-0.5, 0.5) as f32,
            ..whole
        };
        let plan = plan.with_colour_ops(&ops[..acting]).with_gray(dice.int(0, 4) == 0);
        check(&mut executors, image.as_ref(), &plan, spec);
    }
}

#[test]
fn blur_of_any_sigma_and_size() {
    let mut dice = Dice::new(5);
    let mut executors = executors();
    for case in 0..60 {
        let side = dice.one_of(&[1, 19, 20, 32, 64, 224]);
        let image = picture(PICTURES[case % 3], Size::new(side, side), &mut dice);
        let whole = ViewPlan::plain(0, CropBox { x: 0, y: 0, width: side as i16, height: side as i16 });
        let sigma = dice.one_of(&[1e-30, 0.1, 0.2, 0.5, 1.0, 2.0, 7.5, 1e30]);
        let plan = ViewPlan { blur_sigma: sigma, ..whole }.with_gray(dice.int(0, 1) == 0);
        check(&mut executors, image.as_ref(), &plan, ViewSpec::bicubic(side));
    }
}

/// All 2^24 colours: a slab for each red, with a shift of its own.
#[test]
fn hue_of_every_colour() {
    let size = Size::new(256, 256);
    let whole = ViewPlan::plain(0, CropBox { x: 0, y: 0, width: 256, height: 256 });
    for red in 0..=255u8 {
        let colours = (0..=255u8).flat_map(|green| (0..=255u8).map(move |blue| [red, green, blue]));
        let data: Vec<u8> = colours.flatten().collect();
        let shift = (f32::from(red) - 127.5) / 255.0;
        let plan = ViewPlan { hue: shift, ..whole }.with_colour_ops(&[ColourOp::Hue]);

        let expected = reference::colour(PixelsRef::new(&data, size).unwrap(), &plan);
        for kernels in Kernels::all() {
            let mut planes: [Vec<u8>; 3] =
                std::array::from_fn(|channel| data.iter().skip(channel).step_by(3).copied().collect());
            let [r, g, b] = &mut planes;
            colour::apply(kernels, &plan, [r, g, b]);
            assert!(planes.concat() == expected, "{}: red {red}, hue {shift}", kernels.name());
        }
    }
}

/// The executors are equal to each other to the byte, blur included, at sizes that the slow reference would make tedious.
#[test]
fn executors_agree_to_the_byte() {
    let mut dice = Dice::new(7);
    let mut executors = executors();
    // Miri is some thousand times slower.
    let (pictures, most, cases) = if cfg!(miri) { (2, 34, 2) } else { (9, 1400, 500) };
    let sides: &[u32] = if cfg!(miri) { &[33] } else { &[1, 7, 8, 31, 32, 33, 96, 224, 225] };
    let sources: Vec<_> = (0..pictures)
        .map(|case| {
            let size =
                if case == 0 { Size::new(most, most / 14 * 13) } else { Size::new(dice.side(most), dice.side(most)) };
            let picture = picture(PICTURES[case % 3], size, &mut dice);
            if case % 4 == 3 { gray(&picture) } else { planes(picture.as_ref()) }
        })
        .collect();
    for case in 0..cases {
        let image = sources[case % sources.len()].as_ref();
        let size = image.size();
        let least = i64::from(size.width.min(size.height));
        let pad = if dice.int(0, 3) == 0 { dice.int(0, (least - 1).min(9)) } else { 0 };
        let mut span = |full: u32| {
            let grown = full + 2 * pad as u32;
            // Large and small crops alike, or all of it.
            let length = if dice.int(0, 4) == 0 { grown } else { dice.side(grown) };
            (dice.int(-pad, i64::from(grown - length) - pad) as i16, length as i16)
        };
        let ((x, width), (y, height)) = (span(size.width), span(size.height));
        let mut ops = ColourOp::ALL;
        for place in 0..4 {
            ops.swap(place, dice.int(place as i64, 3) as usize);
        }
        let plan = ViewPlan {
            pad: pad as u32,
            brightness: dice.one_of(&[0.0, 0.3, 1.7, 1e30]),
            contrast: dice.real(0.0, 3.0) as f32,
            saturation: dice.real(0.0, 3.0) as f32,
            hue: dice.real(-0.5, 0.5) as f32,
            blur_sigma: if dice.int(0, 1) == 0 { 0.0 } else { dice.real(0.1, 4.0) as f32 },
            ..ViewPlan::plain(0, CropBox { x, y, width, height })
        };
        let plan = plan
            .with_mirror(dice.int(0, 1) == 0)
            .with_quarter_turns(dice.int(0, 3) as u32)
            .with_gray(dice.int(0, 4) == 0)
            .with_colour_ops(&ops[..dice.int(0, 4) as usize]);
        let side = dice.one_of(sides);
        // Some keep their size.
        let fits = case % 8 == 0 && u64::from(side) <= least as u64;
        let plan = if fits {
            ViewPlan { pad: 0, crop: CropBox { x: 0, y: 0, width: side as i16, height: side as i16 }, ..plan }
        } else {
            plan
        };
        let spec = ViewSpec { size: side, filter: dice.one_of(&[Filter::Bicubic, Filter::Bilinear]) };
        let views = executors.iter_mut().map(|(_, render)| render(Region::whole(image), size, &plan, spec));
        let views: Vec<_> = views.collect();
        for view in &views[1..] {
            let differing = views[0].iter().zip(view).filter(|(a, b)| a != b).count();
            assert_eq!(differing, 0, "bytes differ: {size}, {spec:?}, {plan}");
        }
    }
}

/// Views of 32 pixels from crops of every size up to a little more, where the vector code has two ways.
#[test]
fn small_views_of_every_crop_agree_to_the_byte() {
    let mut dice = Dice::new(8);
    let mut executors = executors();
    let size = Size::new(40, 36);
    let pictures: Vec<_> = PICTURES.iter().map(|kind| picture(*kind, size, &mut dice)).collect();
    let mut sources: Vec<_> = pictures.iter().map(|picture| planes(picture.as_ref())).collect();
    sources.push(gray(&pictures[0]));
    let mut crops = 0;
    let step = if cfg!(miri) { 33 } else { 1 };
    for height in (1..=34).step_by(step) {
        for width in (1..=34).step_by(step) {
            let (x, y) = (dice.int(0, 40 - width) as i16, dice.int(0, 36 - height) as i16);
            let crop = CropBox { x, y, width: width as i16, height: height as i16 };
            for filter in [Filter::Bicubic, Filter::Bilinear] {
                for mirror in [false, true] {
                    let (plan, spec) = (ViewPlan::plain(0, crop).with_mirror(mirror), ViewSpec { size: 32, filter });
                    let image = sources[crops % sources.len()].as_ref();
                    let views = executors.iter_mut().map(|(_, render)| render(Region::whole(image), size, &plan, spec));
                    let views: Vec<_> = views.collect();
                    for view in &views[1..] {
                        let differing = views[0].iter().zip(view).filter(|(a, b)| a != b).count();
                        assert_eq!(differing, 0, "bytes differ: {spec:?}, {plan}");
                    }
                    crops += 1;
                }
            }
            crops += 1;
        }
    }
}

/// The red channel as a gray image.
fn gray(picture: &Pixels) -> Planes {
    let size = picture.as_ref().size();
    let levels: Vec<u8> = picture.as_ref().data().iter().step_by(3).copied().collect();
    let mut planes = Planes::default();
    planes.copy_gray_part(&levels, size.width, size.rect());
    planes
}

#[test]
fn a_plan_that_does_not_fit_is_refused_and_leaves_the_row_alone() {
    let size = Size::new(40, 30);
    let image = picture(PICTURES[0], size, &mut Dice::new(6));
    let spec = ViewSpec::bicubic(8);
    let mut renderer = Renderer::new(spec);
    let mut out = vec![7; spec.bytes()];
    let image = planes(image.as_ref());
    let whole = Region::whole(image.as_ref());

    let outside = ViewPlan::plain(0, CropBox { x: 33, y: 0, width: 8, height: 8 });
    assert!(matches!(renderer.render(whole, size, &outside, &mut out), Err(PlanError::Crop { .. })));

    let part = image.as_ref().window(Rect { x: 4, y: 4, width: 20, height: 20 });
    let part = Region { pixels: part, x: 4, y: 4 };
    for (x, y) in [(3, 4), (4, 3), (17, 4), (4, 17)] {
        let plan = ViewPlan::plain(0, CropBox { x, y, width: 8, height: 8 });
        assert!(matches!(renderer.render(part, size, &plan, &mut out), Err(PlanError::Region { .. })), "{x}, {y}");
    }
    let misplaced = Region { x: 30, ..part };
    let plan = ViewPlan::plain(0, CropBox { x: 31, y: 4, width: 8, height: 8 });
    assert!(matches!(renderer.render(misplaced, size, &plan, &mut out), Err(PlanError::Region { .. })));
    assert!(out.iter().all(|byte| *byte == 7));
}
