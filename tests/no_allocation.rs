//! Once the largest image and all small sizes have been met, decoding and rendering allocate nothing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod image_support;
#[cfg(feature = "turbo")]
mod jpeg_support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use image_support::{Dice, photo_like};
use metacl::augment::cpu::{Kernels, Renderer};
use metacl::augment::want::shared_region;
use metacl::augment::{ViewKey, ViewPlan, ViewPolicy, ViewSpec, draw_view, recipe};
#[cfg(feature = "turbo")]
use metacl::coef;
#[cfg(feature = "turbo")]
use metacl::decode;
use metacl::decode::{Decoder, Limits, Want};
use metacl::image::Size;
use metacl::rng::{Purpose, Stream};
use metacl::shard::Codec;

thread_local! {
    /// Allocations of this thread.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promises are those the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A record and two views of it.
struct Case {
    codec: Codec,
    bytes: Vec<u8>,
    size: Size,
    plans: [ViewPlan; 2],
}

fn case(number: usize, codec: Codec, bytes: Vec<u8>, size: Size, policy: &ViewPolicy, spec: ViewSpec) -> Case {
    let plans = std::array::from_fn(|view| {
        let stream = Stream::new(3, Purpose::View);
        let key = ViewKey { stream, epoch: 0, sample: number as u32, view: view as u32 };
        draw_view(policy, 0, size, spec.size, &key).with_quarter_turns(number as u32)
    });
    Case { codec, bytes, size, plans }
}

fn run(decoder: &mut Decoder, renderer: &mut Renderer, cases: &[Case], out: &mut [u8]) {
    for Case { codec, bytes, size, plans } in cases {
        let region = shared_region(plans, *size, false).unwrap();
        let region = decoder.decode(*codec, bytes, *size, Want { region, verify: true }).unwrap();
        for plan in plans {
            renderer.render(region, *size, plan, out).unwrap();
        }
    }
}

fn check(cases: &[Case], spec: ViewSpec) {
    for mut renderer in Kernels::all().map(|kernels| Renderer::with(kernels, spec)) {
        let mut decoder = Decoder::new(Limits::default());
        let mut out = vec![0; spec.bytes()];
        run(&mut decoder, &mut renderer, cases, &mut out);
        let before = COUNT.get();
        run(&mut decoder, &mut renderer, cases, &mut out);
        assert_eq!(COUNT.get() - before, 0, "allocations at {spec:?}");
    }
}

#[test]
fn photos() {
    let mut dice = Dice::new(15);
    let (policy, spec) = (recipe::ssl_imagenet(0.08, 1.0), ViewSpec::bicubic(224));
    let mut cases = Vec::new();
    for number in 0..24 {
        let size = Size::new(dice.int(100, 400) as u32, dice.int(100, 400) as u32);
        let pixels = photo_like(size).into_data();
        #[cfg(feature = "turbo")]
        {
            let bytes = jpeg_support::encode(&pixels, size, jpeg_support::PLAIN);
            let coefficients = decode::jpeg_coefficients(&bytes, Limits::default(), None).unwrap();
            cases.push(case(number, Codec::Coef, coef::encode(&coefficients).unwrap(), size, &policy, spec));
            cases.push(case(number, Codec::Jpeg, bytes, size, &policy, spec));
        }
        cases.push(case(number, Codec::Raw, pixels, size, &policy, spec));
    }
    check(&cases, spec);
}

#[test]
fn small_images() {
    let size = Size::new(32, 32);
    let (policy, spec) = (recipe::ssl_cifar(0.08, 0.5), ViewSpec::bicubic(32));
    let pixels = photo_like(size).into_data();
    let cases: Vec<_> = (0..200).map(|number| case(number, Codec::Raw, pixels.clone(), size, &policy, spec)).collect();
    check(&cases, spec);
}
