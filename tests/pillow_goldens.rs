//! All executors give what Pillow 11.3, torchvision and the published blur gave.
//!
//! `pil_*` tensors bind to the byte, blur within a level; `tensor_*` tensors (torchvision's float path) only inform.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod golden_support;
mod image_support;

use golden_support::{Golden, Tensor, cases, load, report, unit};
use image_support::planes;
use metacl::augment::cpu::{self, Kernels, Renderer};
use metacl::augment::{BLUR_LEVELS, ColourOp, CropBox, Filter, ViewKey, ViewPlan, ViewSpec};
use metacl::augment::{draw_view, recipe, reference};
use metacl::decode::Region;
use metacl::image::{Pixels, PixelsRef, Size};
use metacl::rng::{Purpose, Stream};

/// The golden photograph.
fn photo(golden: &Golden) -> Pixels {
    hwc(golden.get("image_hwc_u8"))
}

fn hwc(tensor: &Tensor) -> Pixels {
    let [height, width, 3] = tensor.shape[..] else { panic!("not HWC: {:?}", tensor.shape) };
    Pixels::new(tensor.u8().to_vec(), Size::new(width as u32, height as u32)).unwrap()
}

fn to_hwc(planar: &[u8]) -> Vec<u8> {
    let area = planar.len() / 3;
    (0..area).flat_map(|i| [planar[i], planar[area + i], planar[2 * area + i]]).collect()
}

fn to_planar(hwc: &[u8]) -> Vec<u8> {
    (0..3).flat_map(|channel| hwc.iter().skip(channel).step_by(3).copied()).collect()
}

/// Renders a whole image, planar.
type Executor = Box<dyn FnMut(PixelsRef<'_>, &ViewPlan) -> Vec<u8>>;

/// Every executor by name.
fn executors(spec: ViewSpec) -> Vec<(&'static str, Executor)> {
    let with = |mut renderer: Renderer| {
        move |image: PixelsRef<'_>, plan: &ViewPlan| {
            let mut out = vec![0; spec.bytes()];
            renderer.render(Region::whole(planes(image).as_ref()), image.size(), plan, &mut out).unwrap();
            out
        }
    };
    let reference: Executor = Box::new(move |image, plan| reference::render(image, plan, spec));
    let cpu = Kernels::all()
        .map(|kernels| -> (_, Executor) { (kernels.name(), Box::new(with(Renderer::with(kernels, spec)))) });
    std::iter::once(("reference", reference)).chain(cpu).collect()
}

/// Every executor's colour stage on an image of any shape, HWC to HWC.
fn colour_stages(image: PixelsRef<'_>, plan: &ViewPlan) -> Vec<(&'static str, Vec<u8>)> {
    plan.check(image.size()).unwrap();
    let stage = |kernels: Kernels| {
        let mut planes = to_planar(image.data());
        let area = planes.len() / 3;
        let (red, rest) = planes.split_at_mut(area);
        let (green, blue) = rest.split_at_mut(area);
        cpu::colour::apply(kernels, plan, [red, green, blue]);
        (kernels.name(), to_hwc(&planes))
    };
    let reference = ("reference", to_hwc(&reference::colour(image, plan)));
    std::iter::once(reference).chain(Kernels::all().map(stage)).collect()
}

fn assert_equal(ours: &[u8], golden: &[u8], what: &str) {
    assert_eq!(ours.len(), golden.len(), "{what}: length");
    let differing = ours.iter().zip(golden).filter(|(a, b)| a != b).count();
    let first = ours.iter().zip(golden).position(|(a, b)| a != b);
    assert_eq!(differing, 0, "{what}: {differing} of {} bytes differ, the first at {first:?}", ours.len());
}

fn print_difference(ours: &[u8], golden: Option<&[f64]>, scale: f64, what: &str) {
    let Some(golden) = golden else { return };
    assert_eq!(ours.len(), golden.len(), "{what}: length");
    let differences = ours.iter().zip(golden).map(|(a, b)| (f64::from(*a) - scale * b).abs());
    println!("  {what}: at most {:.2} levels off (informs only)", differences.fold(0.0, f64::max));
}

fn whole(image: PixelsRef<'_>) -> ViewPlan {
    let Size { width, height } = image.size();
    ViewPlan::plain(0, CropBox { x: 0, y: 0, width: width as i16, height: height as i16 })
}

/// The factor as a plan holds it. The golden is f64; where rounding to f32 would move the hue across a whole step of 1/255 turn,
/// the neighbour that does not is taken.
fn with_factor(mut plan: ViewPlan, op: ColourOp, factor: f64) -> ViewPlan {
    let mut value = factor as f32;
    match op {
        ColourOp::Brightness => plan.brightness = value,
        ColourOp::Contrast => plan.contrast = value,
        ColourOp::Saturation => plan.saturation = value,
        ColourOp::Hue => {
            let step = |f: f64| (255.0 * f).trunc();
            if step(value.into()) != step(factor) {
                value = if f64::from(value) < factor { value.next_up() } else { value.next_down() };
            }
            assert_eq!(step(value.into()), step(factor));
            plan.hue = value;
        }
    }
    plan
}

fn check_colour_op(op: ColourOp, family: &str) {
    let golden = load("images.safetensors");
    let image = photo(&golden);
    let factors = golden.get(&format!("{family}/factors")).f64();
    report(family, factors.len());
    let pillow = golden.get(&format!("{family}/pil_u8")).u8();
    let one = pillow.len() / factors.len();
    for (i, &factor) in factors.iter().enumerate() {
        let plan = with_factor(whole(image.as_ref()), op, factor).with_colour_ops(&[op]);
        for (executor, ours) in colour_stages(image.as_ref(), &plan) {
            assert_equal(&ours, &pillow[i * one..][..one], &format!("{executor}, {family} {factor}"));
            for (tensor, scale) in [("tensor_u8", 1.0), ("tensor_f32", 255.0)] {
                let values = golden.find(&format!("{family}/{tensor}")).map(Tensor::f64);
                let values = values.as_ref().map(|values| &values[i * one..][..one]);
                print_difference(&ours, values, scale, &format!("{executor}, {family} {factor} vs {tensor}"));
            }
        }
    }
}

#[test]
fn golden_brightness() {
    check_colour_op(ColourOp::Brightness, "brightness");
}

#[test]
fn golden_contrast() {
    check_colour_op(ColourOp::Contrast, "contrast");
}

#[test]
fn golden_saturation() {
    check_colour_op(ColourOp::Saturation, "saturation");
}

#[test]
fn golden_hue() {
    check_colour_op(ColourOp::Hue, "hue");
}

#[test]
fn golden_gray() {
    let golden = load("images.safetensors");
    let image = photo(&golden);
    report("gray", 1);
    let plan = whole(image.as_ref()).with_gray(true);
    for (executor, ours) in colour_stages(image.as_ref(), &plan) {
        assert_equal(&ours, golden.get("gray/pil_u8").u8(), &format!("{executor}, gray"));
        for (tensor, scale) in [("tensor_u8", 1.0), ("tensor_f32", 255.0)] {
            let values = golden.find(&format!("gray/{tensor}")).map(Tensor::f64);
            print_difference(&ours, values.as_deref(), scale, &format!("{executor}, gray vs {tensor}"));
        }
    }
}

#[test]
fn golden_jitter_chain() {
    let golden = load("images.safetensors");
    let image = photo(&golden);
    let order = golden.get("jitter_chain/order");
    let (orders, factors) = (order.i64(), golden.get("jitter_chain/factors").f64());
    let pillow = golden.get("jitter_chain/pil_u8").u8();
    let [chains, steps] = order.shape[..] else { panic!("not a table: {:?}", order.shape) };
    report("jitter_chain", chains);
    let one = pillow.len() / chains;
    for i in 0..chains {
        let ops: Vec<_> = orders[i * steps..][..steps].iter().map(|id| ColourOp::ALL[*id as usize]).collect();
        let mut plan = whole(image.as_ref());
        for op in ColourOp::ALL {
            plan = with_factor(plan, op, factors[i * ColourOp::ALL.len() + op as usize]);
        }
        for (executor, ours) in colour_stages(image.as_ref(), &plan.with_colour_ops(&ops)) {
            assert_equal(&ours, &pillow[i * one..][..one], &format!("{executor}, chain {i} {ops:?}"));
        }
    }
}

#[test]
fn golden_crop() {
    let golden = load("images.safetensors");
    let image = photo(&golden);
    let boxes = golden.get("crop/boxes_ijhw").i64();
    report("crop", boxes.len() / 4);
    let tensors = [("crop/pil_bicubic_u8", Filter::Bicubic), ("crop/pil_bilinear_u8", Filter::Bilinear)];
    for (name, filter) in tensors {
        let pillow = golden.get(name);
        let [count, size, _, 3] = pillow.shape[..] else { panic!("not squares: {:?}", pillow.shape) };
        assert_eq!(count * 4, boxes.len());
        let one = size * size * 3;
        for (executor, mut render) in executors(ViewSpec { size: size as u32, filter }) {
            for (i, ijhw) in boxes.chunks_exact(4).enumerate() {
                let [y, x, height, width] = [0, 1, 2, 3].map(|k| ijhw[k] as i16);
                let plan = ViewPlan::plain(0, CropBox { x, y, width, height });
                let ours = to_hwc(&render(image.as_ref(), &plan));
                assert_equal(&ours, &pillow.u8()[i * one..][..one], &format!("{executor}, {name} {ijhw:?}"));
                for form in ["antialias1", "antialias0"].iter().filter(|_| filter == Filter::Bicubic) {
                    let tensor = golden.find(&format!("crop/tensor_f32_bicubic_{form}")).map(Tensor::f64);
                    let tensor = tensor.as_ref().map(|values| &values[i * one..][..one]);
                    print_difference(&ours, tensor, 255.0, &format!("{executor}, {ijhw:?} vs tensor {form}"));
                }
            }
        }
    }
}

/// Square windows that cover a golden of any shape: views are square. `plan(x, y, side)` says how to see one.
fn check_in_squares(name: &str, plan: impl Fn(i16, i16, i16) -> ViewPlan) {
    let golden = load("images.safetensors");
    let image = photo(&golden);
    let pillow = hwc(golden.get(name));
    report(name, 1);
    let Size { width, height } = pillow.as_ref().size();
    let side = width.min(height);
    let starts = |full: u32| (0..full - side).step_by(side as usize).chain([full - side]);
    for (executor, mut render) in executors(ViewSpec::bicubic(side)) {
        for (x, y) in starts(width).flat_map(|x| starts(height).map(move |y| (x, y))) {
            let ours = to_hwc(&render(image.as_ref(), &plan(x as i16, y as i16, side as i16)));
            let rows = (y..y + side).flat_map(|y| &pillow.as_ref().row(y)[3 * x as usize..][..3 * side as usize]);
            assert_equal(&ours, &rows.copied().collect::<Vec<_>>(), &format!("{executor}, {name} at {x}, {y}"));
        }
    }
}

#[test]
fn golden_hflip() {
    let full = photo(&load("images.safetensors")).as_ref().size().width as i16;
    check_in_squares("hflip/pil_u8", |x, y, side| {
        ViewPlan::plain(0, CropBox { x: full - x - side, y, width: side, height: side }).with_mirror(true)
    });
}

#[test]
fn golden_reflect_pad4() {
    let pad = 4;
    check_in_squares("reflect_pad4/pil_u8", |x, y, side| {
        let crop = CropBox { x: x - pad, y: y - pad, width: side, height: side };
        ViewPlan { pad: pad as u32, ..ViewPlan::plain(0, crop) }
    });
}

#[test]
fn golden_center_crop_resize() {
    let golden = load("images.safetensors");
    let image = photo(&golden);
    let pillow = golden.get("center_crop_resize/pil_u8");
    report("center_crop_resize", 1);
    let size = pillow.shape[0] as u32;
    let key = ViewKey { stream: Stream::new(1, Purpose::View), epoch: 0, sample: 0, view: 0 };
    let plan = draw_view(&recipe::centre(), 0, image.as_ref().size(), size, &key);
    for (executor, mut render) in executors(ViewSpec::bicubic(size)) {
        assert_equal(&to_hwc(&render(image.as_ref(), &plan)), pillow.u8(), executor);
    }
}

#[test]
fn golden_rot90() {
    let golden = load("images.safetensors");
    let image = photo(&golden);
    let turned = golden.get("rot90/chw_u8");
    let [turns, 3, side, _] = turned.shape[..] else { panic!("not CHW squares: {:?}", turned.shape) };
    report("rot90", turns);
    let crop = CropBox { x: 0, y: 0, width: side as i16, height: side as i16 };
    for (executor, mut render) in executors(ViewSpec::bicubic(side as u32)) {
        for (k, expected) in turned.u8().chunks_exact(3 * side * side).enumerate() {
            let ours = render(image.as_ref(), &ViewPlan::plain(0, crop).with_quarter_turns(k as u32));
            assert_equal(&ours, expected, &format!("{executor}, {k} turns"));
        }
    }
}

/// The published evaluation multiplies by 255 and casts to bytes; a view that stays u8 must be the same thing.
#[test]
fn golden_byte_roundtrip() {
    let golden = load("images.safetensors");
    let bytes = golden.get("byte_roundtrip_u8").u8();
    report("byte_roundtrip", bytes.len());
    let side = bytes.len();
    let row: Vec<u8> = (0..side).flat_map(|value| [value as u8; 3]).collect();
    let image = Pixels::new(row.repeat(side), Size::new(side as u32, side as u32)).unwrap();
    let expected = bytes.repeat(side).repeat(3);
    for (executor, mut render) in executors(ViewSpec::bicubic(side as u32)) {
        assert_equal(&render(image.as_ref(), &whole(image.as_ref())), &expected, executor);
    }
}

/// Side of the published blur's images (the code is hard-wired to it).
const BLUR_SIDE: usize = 224;

/// Largest difference between f64 sums and the stored f32 ones, for values in 0..1.
const BLUR_F32: f64 = 1e-6;

#[test]
fn golden_blur() {
    let golden = load("images.safetensors");
    let name = cases()["blur_input"].as_str().expect("cases.json names blur_input").to_owned();
    let input: Vec<f64> = unit(&name, 3 * BLUR_SIDE * BLUR_SIDE).into_iter().map(|v| f64::from(v as f32)).collect();
    let bytes: Vec<u8> = input.iter().map(|v| (255.0 * v).round() as u8).collect();
    let image = Pixels::new(to_hwc(&bytes), Size::new(BLUR_SIDE as u32, BLUR_SIDE as u32)).unwrap();

    for case in golden.family("blur") {
        let sigma = golden.get(&format!("{case}/sigma")).scalar();
        let kernel = golden.get(&format!("{case}/kernel_f64")).f64();
        assert_eq!(kernel.len(), 2 * reference::blur::radius(BLUR_SIDE) + 1);
        let taps = reference::blur::taps(sigma, kernel.len() / 2);
        for (ours, theirs) in taps.iter().zip(&kernel) {
            assert!((ours - theirs).abs() <= 1e-12 * theirs, "{case}: tap {ours} is not {theirs}");
        }

        // The formula on the f32 input itself.
        let blurred: Vec<f64> = input
            .chunks_exact(BLUR_SIDE * BLUR_SIDE)
            .flat_map(|plane| reference::blur::plane(plane, BLUR_SIDE, &taps))
            .collect();
        compare_corners(&golden, &case, &blurred, BLUR_F32);
        let means = golden.get(&format!("{case}/out_channel_mean")).f64();
        for (plane, mean) in blurred.chunks_exact(BLUR_SIDE * BLUR_SIDE).zip(means) {
            let ours = plane.iter().sum::<f64>() / plane.len() as f64;
            assert!((ours - mean).abs() <= BLUR_F32, "{case}: mean {ours} is not {mean}");
        }

        // The executors on bytes: half a level of rounding before and half after, at most.
        for (executor, mut render) in executors(ViewSpec::bicubic(BLUR_SIDE as u32)) {
            let plan = ViewPlan { blur_sigma: sigma as f32, ..whole(image.as_ref()) };
            let ours: Vec<f64> = render(image.as_ref(), &plan).iter().map(|v| f64::from(*v) / 255.0).collect();
            let worst = compare_corners(&golden, &case, &ours, f64::from(BLUR_LEVELS) / 255.0 + BLUR_F32);
            println!("  {executor}, sigma {sigma}: at most {:.3} levels off", 255.0 * worst);
        }
    }
}

/// Largest difference to the stored corners of the output; above `tolerance` it is a failure.
fn compare_corners(golden: &Golden, case: &str, planes: &[f64], tolerance: f64) -> f64 {
    let mut worst = 0.0;
    for corner in ["out_top_left_", "out_bottom_right_"] {
        let prefix = format!("{case}/{corner}");
        let name = golden.names().find(|name| name.starts_with(&prefix)).unwrap_or_else(|| panic!("no {prefix}"));
        let tensor = golden.get(name);
        let [3, side, _] = tensor.shape[..] else { panic!("{name}: not CHW: {:?}", tensor.shape) };
        let start = if corner == "out_bottom_right_" { BLUR_SIDE - side } else { 0 };
        for (i, expected) in tensor.f64().into_iter().enumerate() {
            let (channel, y, x) = (i / (side * side), start + i / side % side, start + i % side);
            let difference = (planes[(channel * BLUR_SIDE + y) * BLUR_SIDE + x] - expected).abs();
            assert!(difference <= tolerance, "{name} [{channel}, {y}, {x}]: {difference} off");
            worst = f64::max(worst, difference);
        }
    }
    worst
}
