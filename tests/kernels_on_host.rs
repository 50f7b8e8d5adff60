//! The CUDA kernels compiled for the CPU: equal to the executors, inside their memory, free of races.
//!
//! `views_agree` runs them over its whole list of cases, a view at a time. Here: batches of one launch, values, mixing, every colour, and the
//! same under sanitizers, each in a child process of this one.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod image_support;
mod kernels_support;

use image_support::{Dice, PICTURES, picture, planes};
use kernels_support::views::{Arena, FAST, Machine, launch};
use kernels_support::{Kernels, Sanitizer, passes_under};
use metacl::augment::cpu::Renderer;
use metacl::augment::cuda::{Output, ValueKind, ViewList};
use metacl::augment::{ColourOp, CropBox, Filter, ViewKey, ViewPlan, ViewSpec, draw_view, recipe, reference};
use metacl::decode::Region;
use metacl::image::{PixelsRef, Planes, Size};
use metacl::rng::{Purpose, Stream};

/// Shared memory of a block: H100, A100, the 48 KB that every GPU has, and none to speak of.
const SHARED: [u32; 4] = [232_448, 166_912, 49_152, 4096];

const LEVELS: Output = Output { kind: ValueKind::U8, channels_last: false };

/// A batch of views of pictures of many sizes, some gray, some with reflected borders, and what the CPU makes of them.
struct Batch {
    spec: ViewSpec,
    sources: Vec<(Planes, Size)>,
    plans: Vec<ViewPlan>,
    expected: Vec<u8>,
}

impl Batch {
    fn new(spec: ViewSpec, count: usize, most: u32, dice: &mut Dice) -> Self {
        let mut batch = Self { spec, sources: Vec::new(), plans: Vec::new(), expected: Vec::new() };
        let mut renderer = Renderer::new(spec);
        for case in 0..count {
            let size = Size::new(dice.side(most), dice.side(most));
            let picture = picture(PICTURES[case % 3], size, dice);
            let mut source = planes(picture.as_ref());
            if case % 5 == 4 {
                let levels: Vec<u8> = picture.as_ref().data().iter().step_by(3).copied().collect();
                source.copy_gray_part(&levels, size.width, size.rect());
            }
            let policy = [recipe::ssl_imagenet(0.08, 1.0), recipe::crop_and_mirror(0.2)][case % 2];
            let key = ViewKey { stream: Stream::new(5, Purpose::View), epoch: 1, sample: case as u32, view: 0 };
            let mut plan = draw_view(&policy, case as u32, size, spec.size, &key).with_quarter_turns(case as u32);
            if case % 6 == 5 && size.width > 3 && size.height > 3 {
                let crop = CropBox { x: -3, y: -2, width: size.width as i16 + 4, height: size.height as i16 + 5 };
                plan = ViewPlan { pad: 3, crop, ..plan };
            }
            let mut view = vec![0; spec.bytes()];
            renderer.render(Region::whole(source.as_ref()), size, &plan, &mut view).unwrap();
            batch.expected.extend(view);
            batch.sources.push((source, size));
            batch.plans.push(plan);
        }
        batch
    }

    fn through_kernels(&self, output: Output, machine: Machine) -> Vec<u8> {
        let mut arena = Arena::default();
        let mut list = ViewList::new(self.spec, output, machine.shared);
        for ((source, size), plan) in self.sources.iter().zip(&self.plans) {
            list.push(plan, arena.add(Region::whole(source.as_ref()), *size)).unwrap();
        }
        launch(&list, output, &arena, machine)
    }
}

/// Batches whose views and rings lie in shared memory, or not, are the CPU's to the byte.
fn batches(threads: Option<u32>, count: usize, most: u32, sizes: &[u32]) {
    let mut dice = Dice::new(11);
    for &size in sizes {
        for filter in [Filter::Bicubic, Filter::Bilinear] {
            let batch = Batch::new(ViewSpec { size, filter }, count, most, &mut dice);
            for shared in SHARED {
                let got = batch.through_kernels(LEVELS, Machine { shared, threads });
                let wrong = got.iter().zip(&batch.expected).position(|(a, b)| a != b);
                assert_eq!(
                    wrong.map(|at| at / batch.spec.bytes()),
                    None,
                    "view of {size} px, {shared} bytes, {threads:?}"
                );
            }
        }
    }
}

#[test]
fn a_batch_of_any_sizes_is_one_launch() {
    batches(Some(1), 24, 900, &[224, 32, 33, 7, 1]);
}

/// Crops so large that their rows between the passes leave shared memory, and views that do.
#[test]
fn large_sources_and_views() {
    batches(Some(1), 6, 6000, &[32, 300]);
}

/// As on a device: a block of as many threads as the launch would have, with a barrier that is one.
#[test]
fn blocks_of_many_threads() {
    batches(Some(37), 6, 120, &[32, 9]);
    let mut dice = Dice::new(12);
    let batch = Batch::new(ViewSpec::bicubic(32), 3, 60, &mut dice);
    assert!(batch.through_kernels(LEVELS, Machine { threads: None, ..FAST }) == batch.expected);
}

#[test]
fn values_are_levels_looked_up_in_either_layout() {
    let mut dice = Dice::new(13);
    for size in [32, 9] {
        let batch = Batch::new(ViewSpec::bicubic(size), 12, 90, &mut dice);
        let area = (size * size) as usize;
        for kind in [ValueKind::U8, ValueKind::F16, ValueKind::Bf16, ValueKind::F32] {
            let (table, bytes) = (kind.table(), kind.bytes() as usize);
            for channels_last in [false, true] {
                let got = batch.through_kernels(Output { kind, channels_last }, FAST);
                assert_eq!(got.len(), bytes * batch.expected.len());
                for (at, &level) in batch.expected.iter().enumerate() {
                    let (view, channel, pixel) = (at / (3 * area), at / area % 3, at % area);
                    let to = if channels_last { 3 * (view * area + pixel) + channel } else { at };
                    let value = &table[256 * channel + usize::from(level)].to_le_bytes()[..bytes];
                    assert_eq!(&got[bytes * to..][..bytes], value, "{kind:?}, channels last {channels_last}, {at}");
                }
            }
        }
    }
}

/// All 2^24 colours: a slab for each red, with a shift of its own.
#[test]
fn hue_of_every_colour() {
    let size = Size::new(256, 256);
    let whole = CropBox { x: 0, y: 0, width: 256, height: 256 };
    for red in 0..=255u8 {
        let colours = (0..=255u8).flat_map(|green| (0..=255u8).map(move |blue| [red, green, blue]));
        let data: Vec<u8> = colours.flatten().collect();
        let plan = ViewPlan { hue: (f32::from(red) - 127.5) / 255.0, ..ViewPlan::plain(0, whole) };
        let plan = plan.with_colour_ops(&[ColourOp::Hue]);
        let picture = PixelsRef::new(&data, size).unwrap();
        let got = kernels_support::views::render(
            Region::whole(planes(picture).as_ref()),
            size,
            &plan,
            ViewSpec::bicubic(256),
            FAST,
        );
        assert!(got == reference::colour(picture, &plan), "red {red}");
    }
}

/// `Mix` of `mix.cu`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Mix {
    classes: u32,
    first: u32,
    size: u32,
    channels_last: u32,
    kind: u32,
    share: f32,
    other: f32,
    patch: [u32; 4],
}

#[test]
fn rows_are_mixed_with_the_class_opposite() {
    let (classes, views, size) = (5usize, 3usize, 6usize);
    let row = 3 * size * size;
    let mut dice = Dice::new(14);
    let mut rows: Vec<f32> = (0..classes * views * row).map(|_| dice.real(-0.5, 1.0) as f32).collect();
    let first = 2 * classes;
    for (patch, channels_last) in [([0; 4], 0), ([1, 2, 3, 4], 0), ([0, 0, 6, 6], 1), ([2, 1, 2, 2], 1)] {
        let mut mix = Mix {
            classes: classes as u32,
            first: first as u32,
            size: size as u32,
            channels_last,
            kind: 0,
            share: 0.3,
            other: 0.7,
            patch,
        };
        let mut mixed = vec![0f32; classes * row];
        let (mut from, mut to): (*mut f32, *mut f32) = (rows.as_mut_ptr(), mixed.as_mut_ptr());
        let arguments = [(&raw mut from).cast(), (&raw mut to).cast(), (&raw mut mix).cast()];
        // SAFETY: the kernel's parameters; `classes` rows are written.
        unsafe { Kernels::get().launch("mix_rows", classes as u32, 1, 0, &arguments) };
        let [top, left, height, width] = patch.map(|side| side as usize);
        for (at, &got) in mixed.iter().enumerate() {
            let (class, value) = (at / row, at % row);
            let own = rows[(first + class) * row + value];
            let other = rows[(first + classes - 1 - class) * row + value];
            let pixel = if channels_last == 1 { value / 3 } else { value % (size * size) };
            let (y, x) = (pixel / size, pixel % size);
            let pasted = (top..top + height).contains(&y) && (left..left + width).contains(&x);
            let expected = match (height, pasted) {
                (0, _) => own * 0.3 + other * 0.7,
                (_, true) => other,
                (_, false) => own,
            };
            assert_eq!(got, expected, "{patch:?} at {at}");
        }
    }
}

/// What sanitizers watch. Alone it is a small test.
#[test]
fn watched() {
    match Sanitizer::current() {
        Sanitizer::Thread => batches(Some(8), 6, 70, &[32, 9]),
        _ => batches(Some(1), 12, 400, &[224, 33, 8]),
    }
}

#[test]
fn no_kernel_leaves_its_memory() {
    passes_under("watched", Sanitizer::Address);
}

#[test]
fn no_threads_of_a_block_race() {
    passes_under("watched", Sanitizer::Thread);
}
