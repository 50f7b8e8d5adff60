//! Rendering views: every operation alone, and whole views of the recipes; beside fast_image_resize on the same crops.

mod common;

use criterion::{BenchmarkId, criterion_group, criterion_main};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use metacl::augment::cpu::{Kernels, Renderer, colour, to_unit_f32};
use metacl::augment::recipe::Recipe;
use metacl::augment::{ColourOp, ViewKey, ViewPlan, draw_view, reference};
use metacl::decode::Region;
use metacl::image::{PixelsRef, Planes, Size};
use metacl::rng::{Purpose, Stream};

/// Planes of a picture and the views drawn of it.
struct Picture {
    planes: Planes,
    size: Size,
    plans: Vec<ViewPlan>,
}

fn pictures(recipe: Recipe) -> Vec<Picture> {
    let stream = Stream::new(5, Purpose::View);
    let small = recipe.spec().size == 32;
    let picture = |(sample, photo): (u32, common::Photo)| {
        let photo = image::load_from_memory(&photo.jpeg).expect("a photo");
        let photo =
            if small { photo.resize_exact(32, 32, image::imageops::FilterType::Triangle) } else { photo }.to_rgb8();
        let size = Size::new(photo.width(), photo.height());
        let mut planes = Planes::default();
        planes.copy_from(PixelsRef::new(photo.as_raw(), size).expect("HWC"));
        let key = |view| ViewKey { stream, epoch: 0, sample, view };
        let draw = |(view, policy): (u32, &_)| draw_view(policy, 0, size, recipe.spec().size, &key(view));
        Picture { planes, size, plans: (0..).zip(&recipe.views()).map(draw).collect() }
    };
    (0..).zip(common::photos(64)).map(picture).collect()
}

/// The first views, by the definition.
fn check(pictures: &[Picture], recipe: Recipe, renderer: &mut Renderer) {
    for picture in pictures.iter().take(3) {
        let whole = picture.planes.as_ref().interleaved();
        let whole = PixelsRef::new(&whole, picture.size).expect("HWC");
        for plan in &picture.plans {
            let mut out = vec![0; recipe.spec().bytes()];
            renderer.render(Region::whole(picture.planes.as_ref()), picture.size, plan, &mut out).expect("drawn");
            let tolerance = if plan.blur_sigma > 0.0 { metacl::augment::BLUR_LEVELS } else { 0 };
            let expected = reference::render(whole, plan, recipe.spec());
            assert!(out.iter().zip(&expected).all(|(a, b)| a.abs_diff(*b) <= tolerance), "{plan}");
        }
    }
}

fn recipes(c: &mut criterion::Criterion<common::CpuTime>) {
    let mut group = c.benchmark_group("recipe");
    for recipe in [Recipe::Rrc, Recipe::Simclr, Recipe::Cifar] {
        let pictures = pictures(recipe);
        group.throughput(common::each(pictures.iter().map(|picture| picture.plans.len()).sum()));
        for (name, mut renderer) in
            Kernels::all().map(|kernels| (kernels.name(), Renderer::with(kernels, recipe.spec())))
        {
            check(&pictures, recipe, &mut renderer);
            let mut out = vec![0; recipe.spec().bytes()];
            group.bench_function(BenchmarkId::new(format!("{recipe:?}").to_lowercase(), name), |b| {
                b.iter(|| {
                    for picture in &pictures {
                        let source = Region::whole(picture.planes.as_ref());
                        for plan in &picture.plans {
                            renderer.render(source, picture.size, plan, &mut out).expect("drawn");
                        }
                    }
                });
            });
        }
    }
}

/// Antialiased Catmull-Rom on the crops of rrc: the same filter, other rounding.
fn fast_image_resize(c: &mut criterion::Criterion<common::CpuTime>) {
    let pictures = pictures(Recipe::Rrc);
    let crops: Vec<(Vec<u8>, Size)> = pictures
        .iter()
        .map(|picture| {
            let crop = picture.plans[0].region(picture.size);
            (picture.planes.as_ref().window(crop).interleaved(), crop.size())
        })
        .collect();
    let mut group = c.benchmark_group("recipe");
    group.throughput(common::each(crops.len()));
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
    let (mut resizer, mut out) = (Resizer::new(), Image::new(224, 224, PixelType::U8x3));
    group.bench_function("rrc/fast_image_resize", |b| {
        b.iter(|| {
            for (pixels, size) in &crops {
                let source = ImageRef::new(size.width, size.height, pixels, PixelType::U8x3).expect("HWC");
                resizer
                    .resize_typed::<U8x3>(
                        &source.typed_image().expect("U8x3"),
                        &mut out.typed_image_mut().expect("U8x3"),
                        &options,
                    )
                    .expect("sizes above zero");
            }
        });
    });
}

fn operations(c: &mut criterion::Criterion<common::CpuTime>) {
    let mut group = c.benchmark_group("operation");
    let plan = Recipe::Rrc.views();
    let stream = Stream::new(5, Purpose::View);
    let size = Size::new(224, 224);
    let key = ViewKey { stream, epoch: 0, sample: 0, view: 0 };
    let drawn = draw_view(&plan[0], 0, size, 224, &key).with_mirror(false);
    let plain =
        ViewPlan { brightness: 1.1, contrast: 0.9, saturation: 1.2, hue: 0.07, ..ViewPlan::plain(0, drawn.crop) };
    let planes: Vec<u8> = (0..3 * 224 * 224u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut cases: Vec<(String, ViewPlan)> =
        ColourOp::ALL.iter().map(|op| (format!("{op:?}").to_lowercase(), plain.with_colour_ops(&[*op]))).collect();
    cases.push(("gray".into(), plain.with_gray(true)));
    for (name, plan) in cases {
        let mut view = planes.clone();
        group.bench_function(name, |b| {
            b.iter(|| {
                let (red, rest) = view.split_at_mut(224 * 224);
                let (green, blue) = rest.split_at_mut(224 * 224);
                colour::apply(Kernels::fastest(), &plan, [red, green, blue]);
            });
        });
    }
    // At equal sizes nothing is resampled: what is left is a copy and the operation.
    let whole = metacl::augment::CropBox { x: 0, y: 0, width: 224, height: 224 };
    let mut source = Planes::default();
    source.copy_from(PixelsRef::new(&planes, size).expect("HWC"));
    let mut renderer = Renderer::new(Recipe::Rrc.spec());
    let mut out = vec![0; Recipe::Rrc.spec().bytes()];
    let mut cases = vec![
        ("copy".to_owned(), ViewPlan::plain(0, whole)),
        ("mirror".into(), ViewPlan::plain(0, whole).with_mirror(true)),
    ];
    cases.push(("quarter turn".into(), ViewPlan::plain(0, whole).with_quarter_turns(1)));
    for sigma in [0.2f32, 0.5, 1.0, 2.0] {
        cases.push((format!("blur {sigma}"), ViewPlan { blur_sigma: sigma, ..ViewPlan::plain(0, whole) }));
    }
    for side in [112i16, 160, 200] {
        let crop = metacl::augment::CropBox { x: 3, y: 5, width: side, height: side };
        cases.push((format!("resize {side}"), ViewPlan::plain(0, crop)));
    }
    for (name, plan) in cases {
        group.bench_function(name, |b| {
            b.iter(|| {
                renderer.render(Region::whole(source.as_ref()), size, &plan, &mut out).expect("a plan that fits")
            });
        });
    }
    let mut floats = vec![0.0; out.len()];
    group.bench_function("to f32", |b| b.iter(|| to_unit_f32(&out, &mut floats)));
}

criterion_group! { name = benches; config = common::criterion(); targets = recipes, fast_image_resize, operations }
criterion_main!(benches);
