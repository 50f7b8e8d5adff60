//! The engine on the fake device, whose kernels are the real ones, run by the CPU; and a dataset of every kind of record.
#![allow(dead_code, unreachable_pub, reason = "shared by test files, each of which uses its part")]

use std::ffi::c_void;
use std::path::Path;
use std::sync::Arc;

use metacl::coef::device::{Expansion, Job, PixelPlace};
use metacl::coef::{self, CoefError, Expander, encode};
use metacl::gpu::fake::{Fake, Mode};
use metacl::gpu::{Arguments, GpuError, Kernel, Launch, RawStream, Stream};
use metacl::image::{Planes, Size};
use metacl::shard::{Codec, NewSample, ShardSet, SplitWriter, WriteOptions};
use metacl::stage::{Engine, Rendered};

use crate::image_support::{Dice, PICTURES, picture};
use crate::kernels_support::Kernels;
use crate::pictures::{KINDS, picture as coefficients};

/// Samples of [`mixed`].
pub const SAMPLES: u32 = 30;

/// A fake device with the kernels, and one more, `keep`, which is what a consumer does with a batch.
pub struct Device {
    pub fake: Arc<Fake>,
    pub engine: Engine,
    keep: Kernel,
}

impl Device {
    pub fn new(mode: Mode) -> Self {
        let fake = Fake::new(mode, run);
        let gpu = fake.gpu();
        // SAFETY: the fake device takes any bytes.
        let module = unsafe { gpu.load_bytes(b"any") }.unwrap();
        let engine = Engine::with(&module, &gpu).unwrap();
        Self { engine, keep: module.kernel("keep").unwrap(), fake }
    }

    /// Torch's stream, as it were.
    pub fn consumer(&self) -> Stream {
        // SAFETY: the legacy stream always lives.
        unsafe { self.engine.gpu().foreign_stream(RawStream::LEGACY) }
    }

    /// Queues copying the views of a batch to `to`, on the consumer's stream.
    pub fn keep(&self, consumer: &Stream, rendered: Rendered, to: &mut [u8]) {
        let arguments = Arguments::new()
            .pointer(rendered.address)
            .value(to.as_mut_ptr().expose_provenance() as u64)
            .value(to.len() as u64);
        let launch = Launch { grid: 1, block: 1, shared: 0 };
        // SAFETY: `to` outlives the queue: the callers drain it.
        unsafe { consumer.launch(&self.keep, launch, &arguments) }.unwrap();
    }
}

pub fn run(name: &str, launch: Launch, arguments: &[*const c_void]) -> Result<(), GpuError> {
    if name == "keep" {
        // SAFETY: the arguments of `Device::keep`.
        unsafe {
            let [from, to, bytes] = [0, 1, 2].map(|at: usize| *arguments[at].cast::<u64>() as usize);
            let from = std::ptr::with_exposed_provenance::<u8>(from);
            std::ptr::copy_nonoverlapping(from, std::ptr::with_exposed_provenance_mut(to), bytes);
        }
        return Ok(());
    }
    let arguments: Vec<_> = arguments.iter().map(|argument| argument.cast_mut()).collect();
    // SAFETY: the stage gives the kernels what they declare; the fake device checks that its memory is alive.
    unsafe { Kernels::get().launch(name, launch.grid, 1, launch.shared, &arguments) };
    Ok(())
}

/// A dataset to fill.
pub fn writer(folder: &Path) -> SplitWriter {
    let options = WriteOptions { classes: vec!["one".into()], ..WriteOptions::default() };
    SplitWriter::create(folder, options).unwrap()
}

fn finished(writer: SplitWriter, folder: &Path) -> ShardSet {
    writer.finish().unwrap();
    ShardSet::open(folder).unwrap()
}

/// Pictures of many sizes: coefficient records of every kind, every third sample stored as pixels.
pub fn mixed(folder: &Path) -> Arc<ShardSet> {
    let mut writer = writer(folder);
    let mut dice = Dice::new(21);
    for sample in 0..SAMPLES {
        let size = Size::new(dice.int(20, 150) as u32, dice.int(20, 150) as u32);
        let name = format!("{sample:03}");
        let (bytes, codec) = if sample % 3 == 2 {
            (picture(PICTURES[sample as usize / 3 % 3], size, &mut dice).into_data(), Codec::Raw)
        } else {
            (encode(&coefficients(sample.into(), KINDS[sample as usize % 7], size, 255)).unwrap(), Codec::Coef)
        };
        writer.append(&NewSample { bytes: &bytes, size, codec, label: 0, name: &name }).unwrap();
    }
    Arc::new(finished(writer, folder))
}

/// Pictures of 32 x 32, stored as pixels.
pub fn small(folder: &Path) -> Arc<ShardSet> {
    pixels(folder, &[Size::new(32, 32); SAMPLES as usize])
}

/// Pictures of these sizes, stored as pixels.
pub fn pixels(folder: &Path, sizes: &[Size]) -> Arc<ShardSet> {
    let mut dice = Dice::new(22);
    let pictures = sizes.iter().zip(PICTURES.iter().cycle());
    stored(folder, pictures.map(|(&size, &kind)| (picture(kind, size, &mut dice).into_data(), size)))
}

/// A dataset of these pixels, HWC.
pub fn stored(folder: &Path, pictures: impl Iterator<Item = (Vec<u8>, Size)>) -> Arc<ShardSet> {
    let mut writer = writer(folder);
    for (sample, (bytes, size)) in pictures.enumerate() {
        let name = format!("{sample:03}");
        writer.append(&NewSample { bytes: &bytes, size, codec: Codec::Raw, label: 0, name: &name }).unwrap();
    }
    Arc::new(finished(writer, folder))
}

/// Six samples, and which of them has a record whose bytes were changed so that its blocks contradict each other. Its checksums tell too.
pub fn contradictory(folder: &Path) -> (ShardSet, u32) {
    let size = Size::new(64, 64);
    let good = encode(&coefficients(1, KINDS[1], size, 255)).unwrap();
    // Masks and widths of the last chunk's blocks lie before its values: some byte there changes how many values there are.
    let changed = (1..400).rev().map(|back| {
        let mut bytes = good.clone();
        let at = bytes.len() - back;
        bytes[at] ^= 1;
        bytes
    });
    let bad = changed.into_iter().find(|record| contradicts(record, size)).unwrap();
    let mut writer = writer(folder);
    for (index, bytes) in [&good, &good, &bad, &good, &good, &good].into_iter().enumerate() {
        let name = index.to_string();
        writer.append(&NewSample { bytes, size, codec: Codec::Coef, label: 0, name: &name }).unwrap();
    }
    (finished(writer, folder), 2)
}

/// Whether the host sees nothing of it, before it reads blocks.
fn contradicts(record: &[u8], size: Size) -> bool {
    let mut out = Planes::default();
    let expanded = Expander::new(coef::Path::Scalar).expand(record, size, size.rect(), false, &mut out);
    let pixels = PixelPlace { offset: 0, stride: 64, plane: 64 * 64 };
    let job = Job { record, size, region: size.rect(), verify: false, image: 0, copied_at: 0, pixels };
    matches!(expanded, Err(CoefError::Blocks { .. })) && Expansion::default().push(&job).is_ok()
}
