//! Batches through the real engine are the CPU's to the byte: on the fake device, whose kernels the CPU runs, wherever the sources and a C++
//! compiler are; and on a GPU where there is one. The same checks for both, so that those for a GPU are tried without.
//!
//! Needs no file of the source tree where there is a GPU: `tools/gpu_bundle` carries it to another machine.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod batches;
mod colours;
#[path = "../image_support/mod.rs"]
mod image_support;
#[path = "../kernels_support/mod.rs"]
mod kernels_support;
#[cfg(feature = "turbo")]
mod photos;
#[path = "../kernels_coef/pictures.rs"]
mod pictures;
mod resident;
mod run;
#[path = "../stage_support/mod.rs"]
mod stage_support;

use std::path::Path;
use std::sync::LazyLock;

use metacl::gpu::fake::Mode;
use metacl::gpu::{Cache, RawStream, Stream, devices};
use metacl::stage::Engine;
use stage_support::Device;

/// Set where there must be a GPU.
const EXPECT: &str = "METACL_TEST_EXPECTS_A_GPU";

/// What the fake device's kernels are compiled from.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/kernels/views.cu");

/// A device to check.
struct Subject<'a> {
    engine: &'a Engine,
    /// A GPU, which is checked at length; the fake device takes a second for what a GPU does in a millisecond.
    real: bool,
}

impl Subject<'_> {
    /// The stream that torch works on.
    fn consumer(&self) -> Stream {
        // SAFETY: the legacy stream always lives.
        unsafe { self.engine.gpu().foreign_stream(RawStream::LEGACY) }
    }

    /// `short` on the fake device, `long` on a GPU.
    fn choose<T>(&self, short: T, long: T) -> T {
        if self.real { long } else { short }
    }
}

/// The first GPU; compiled for once.
static GPU: LazyLock<Option<Engine>> = LazyLock::new(|| {
    if !devices().is_ok_and(|found| !found.is_empty()) {
        assert!(std::env::var_os(EXPECT).is_none(), "no GPU: {:?}", devices());
        eprintln!("no GPU: none is checked");
        return None;
    }
    Some(Engine::open(0, &Cache::default()).unwrap())
});

fn everywhere(check: fn(&Subject<'_>)) {
    if Path::new(SOURCES).exists() {
        let device = Device::new(Mode::Random(3));
        check(&Subject { engine: &device.engine, real: false });
        device.fake.drain().unwrap();
        assert_eq!(device.fake.faults(), []);
    } else {
        eprintln!("no sources: the fake device is not checked");
    }
    if let Some(engine) = &*GPU {
        check(&Subject { engine, real: true });
    }
}

#[test]
fn batches_of_every_kind_of_record_are_the_cpus() {
    everywhere(batches::of_every_kind_of_record);
}

#[test]
fn values_of_every_type_and_layout_are_the_hosts() {
    everywhere(batches::of_every_type_and_layout);
}

#[test]
fn large_sources_and_views_leave_shared_memory() {
    everywhere(batches::of_large_sources);
}

#[test]
fn a_record_that_contradicts_itself_is_named() {
    everywhere(batches::with_a_contradiction);
}

#[test]
fn resident_images_are_the_cpus() {
    everywhere(resident::views);
}

#[test]
fn rows_are_mixed_in_their_type() {
    everywhere(resident::mixed_rows);
}

#[test]
fn hue_of_every_colour_is_the_definitions() {
    everywhere(colours::hues);
}

#[cfg(feature = "turbo")]
#[test]
fn photos_are_the_cpus() {
    everywhere(photos::views);
}
