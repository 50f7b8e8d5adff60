//! Whether the kernels on a device do what they are meant to: a few views and a record, beside the CPU's, once at the start of a run.
//!
//! Compilers and drivers differ from machine to machine; views that are subtly wrong would be noticed weeks later, if ever. It takes milliseconds.

use super::EngineError;
use crate::augment::cpu::Renderer;
use crate::augment::cuda::{ExpandMemory, Kernels, Output, Source, ValueKind, ViewList, ViewMemory};
use crate::augment::{ViewKey, ViewPlan, ViewSpec, draw_view, recipe};
use crate::coef::device::{Expansion, Job, PixelPlace};
use crate::coef::{Coefficients, ColourSpace, Component, Expander, Path, encode};
use crate::decode::Region;
use crate::gpu::{DeviceBuffer, Gpu, GpuError, Stream};
use crate::image::{Planes, Size};
use crate::rng::{Purpose, Stream as Draws};

/// Of the picture that is looked at; a few chunks, and no multiple of a block.
const SIZE: Size = Size::new(301, 83);
/// Views that are compared, of each size.
const VIEWS: u32 = 12;

/// Compares views of 32 and 224 pixels of an expanded record with the CPU's, to the byte.
///
/// # Errors
/// [`EngineError::Differs`]; [`EngineError::Gpu`] where the device refuses.
pub(super) fn check(kernels: &Kernels, shared: u32) -> Result<(), EngineError> {
    let record = encode(&picture()).map_err(|_| EngineError::Differs { what: "the picture of the check" })?;
    let mut expected = Planes::default();
    let expanded = Expander::new(Path::Fastest).expand(&record, SIZE, SIZE.rect(), true, &mut expected);
    expanded.map_err(|_| EngineError::Differs { what: "the record of the check" })?;

    let stream = kernels.gpu().stream()?;
    let place = PixelPlace { offset: 0, stride: SIZE.width.next_multiple_of(4), plane: 0 };
    let place = PixelPlace { plane: place.stride * SIZE.height, ..place };
    let pixels = expand(kernels, &stream, &record, place)?;
    let found = read(&stream, &pixels)?;
    for channel in 0..3 {
        for y in 0..SIZE.height {
            let at = (channel * place.plane + y * place.stride) as usize;
            if found[at..][..SIZE.width as usize] != *expected.as_ref().row(channel as usize, y) {
                return Err(EngineError::Differs { what: "pixels of a coefficient record" });
            }
        }
    }
    let source = Source { at: 0, stride: place.stride, plane: place.plane, held: SIZE.rect(), image: SIZE };
    for size in [32, 224] {
        let spec = ViewSpec::bicubic(size);
        let plans: Vec<ViewPlan> = (0..VIEWS).map(|view| plan(view, size)).collect();
        let mut renderer = Renderer::new(spec);
        let mut views = vec![0; plans.len() * spec.bytes()];
        for (plan, view) in plans.iter().zip(views.chunks_exact_mut(spec.bytes())) {
            let rendered = renderer.render(Region::whole(expected.as_ref()), SIZE, plan, view);
            rendered.map_err(|_| EngineError::Differs { what: "the plans of the check" })?;
        }
        if render(kernels, &stream, &plans, source, spec, shared, &pixels)? != views {
            return Err(EngineError::Differs { what: "views" });
        }
    }
    Ok(())
}

/// Smooth blocks with some texture, 4:2:0.
fn picture() -> Coefficients {
    let stream = Draws::new(1, Purpose::Synthetic);
    let component = |index: u32, sampling: (u8, u8)| {
        let (columns, rows) = (
            SIZE.width.div_ceil(if index == 0 { 8 } else { 16 }),
            SIZE.height.div_ceil(if index == 0 { 8 } else { 16 }),
        );
        let block = |number: u32| {
            let level =
                |at: u32, most: u64| stream.draw([index, number, at, 0]).integer(2 * most + 1) as i16 - most as i16;
            std::array::from_fn(|at| match at {
                0 => level(0, 400),
                1..=3 | 8..=10 | 16 => level(at as u32, 30),
                _ if at % 5 == 0 => level(at as u32, 3),
                _ => 0,
            })
        };
        let blocks = (0..columns * rows).map(block).collect();
        let quantisation = std::array::from_fn(|at| 2 + at as u16 / 4);
        Component { sampling, quantisation, columns: columns as usize, rows: rows as usize, blocks }
    };
    let components = vec![component(0, (2, 2)), component(1, (1, 1)), component(2, (1, 1))];
    Coefficients { size: SIZE, space: ColourSpace::YCbCr, components }
}

/// Every operation takes part in some of them.
fn plan(view: u32, size: u32) -> ViewPlan {
    let key = ViewKey { stream: Draws::new(2, Purpose::View), epoch: 0, sample: view, view: 0 };
    draw_view(&recipe::ssl_imagenet(0.08, 1.0), 0, SIZE, size, &key).with_quarter_turns(view)
}

/// The record's pixels, by kernels.
fn expand(kernels: &Kernels, stream: &Stream, record: &[u8], place: PixelPlace) -> Result<DeviceBuffer, EngineError> {
    let gpu = kernels.gpu();
    let mut expansion = Expansion::default();
    let job = Job { record, size: SIZE, region: SIZE.rect(), verify: true, image: 0, copied_at: 0, pixels: place };
    let taken = expansion.push(&job).map_err(|_| EngineError::Differs { what: "the record of the check" })?;
    let copied = upload(gpu, stream, &record[taken.copy])?;
    let [chunks, pictures, bands, tables] = [
        upload(gpu, stream, bytemuck::cast_slice(expansion.chunks()))?,
        upload(gpu, stream, bytemuck::cast_slice(expansion.pictures()))?,
        upload(gpu, stream, bytemuck::cast_slice(expansion.bands()))?,
        upload(gpu, stream, bytemuck::cast_slice(expansion.tables()))?,
    ];
    let status = upload(gpu, stream, &[0; 4])?;
    let samples = gpu.allocate(expansion.sample_bytes() as usize)?;
    let pixels = gpu.allocate(3 * place.plane as usize)?;
    let memory = ExpandMemory {
        chunks: chunks.address(),
        pictures: pictures.address(),
        bands: bands.address(),
        tables: tables.address(),
        records: copied.address(),
        samples: samples.address(),
        pixels: pixels.address(),
        status: status.address(),
    };
    // SAFETY: the buffers are what the fields say; the stream is synchronized before they go.
    let queued = unsafe { kernels.expand(stream, &expansion, memory) };
    stream.synchronize()?;
    queued?;
    Ok(pixels)
}

/// Views by kernels, as levels.
fn render(
    kernels: &Kernels,
    stream: &Stream,
    plans: &[ViewPlan],
    source: Source,
    spec: ViewSpec,
    shared: u32,
    pixels: &DeviceBuffer,
) -> Result<Vec<u8>, EngineError> {
    let gpu = kernels.gpu();
    let output = Output { kind: ValueKind::U8, channels_last: false };
    let mut list = ViewList::new(spec, output, shared);
    for plan in plans {
        list.push(plan, source).map_err(|_| EngineError::Differs { what: "the plans of the check" })?;
    }
    let views = upload(gpu, stream, bytemuck::cast_slice(list.views()))?;
    let weights = upload(gpu, stream, bytemuck::cast_slice(list.weights()))?;
    let values = upload(gpu, stream, bytemuck::cast_slice(&output.kind.table()))?;
    let tables = gpu.allocate(list.table_bytes() as usize)?;
    let workspace = gpu.allocate(list.workspace_bytes() as usize)?;
    let batch = gpu.allocate(list.batch_bytes() as usize)?;
    let memory = ViewMemory {
        views: views.address(),
        pixels: pixels.address(),
        tables: tables.address(),
        weights: weights.address(),
        values: values.address(),
        workspace: workspace.address(),
        batch: batch.address(),
    };
    // SAFETY: as in `expand`.
    let queued = unsafe { kernels.render(stream, &list, memory) };
    stream.synchronize()?;
    queued?;
    Ok(read(stream, &batch)?)
}

/// A copy of `bytes` on the device, with room for what kernels read beyond them.
fn upload(gpu: &Gpu, stream: &Stream, bytes: &[u8]) -> Result<DeviceBuffer, GpuError> {
    let buffer = gpu.allocate(bytes.len() + 16)?;
    // SAFETY: synchronized at once.
    let queued = unsafe { stream.copy_to_device(&buffer, 0, bytes) };
    stream.synchronize()?;
    queued.map(|()| buffer)
}

fn read(stream: &Stream, buffer: &DeviceBuffer) -> Result<Vec<u8>, GpuError> {
    let mut bytes = vec![0; buffer.len()];
    // SAFETY: synchronized at once.
    let queued = unsafe { stream.copy_to_host(&mut bytes, buffer, 0) };
    stream.synchronize()?;
    queued.map(|()| bytes)
}
