//! The kernels that make pixels of coefficient records: whole photos.

use metacl::augment::cuda::ExpandMemory;
use metacl::coef::device::{Expansion, Job, PixelPlace};
use metacl::gpu::{DeviceBuffer, GpuError};

use crate::data::Photo;
use crate::launch::uploaded;
use crate::report::Report;
use crate::{Bench, Outcome, clock};

/// Photos of a launch that are compared with the CPU's.
const CHECKED: usize = 8;

pub(crate) fn records(bench: &Bench, report: &mut Report) -> Outcome<()> {
    let launches = (0..bench.scale.sets).map(|set| Prepared::new(bench, set)).collect::<Outcome<Vec<_>>>()?;
    launches[0].check(bench)?;
    let ms = clock::median_ms(bench, |set| launches[set].queue(bench))?;
    let name = "records to pixels";
    report.add(format!("{name}: mean record"), bench.photos.mean_bytes() / 1e3, "kB");
    report.add(name.to_owned(), 1e3 * bench.scale.photos as f64 / ms, "photos/s");
    let moved = launches[0].moved();
    report.add(format!("{name}: rate"), moved as f64 / ms / 1e6, "GB/s");
    report.floor(name, "records, twice samples, pixels", moved, ms, None);
    Ok(())
}

/// Photos of a launch: everything on the device.
struct Prepared {
    expansion: Expansion,
    /// Bytes of records, and of pixels that are written.
    moved: u64,
    pixels: DeviceBuffer,
    records: DeviceBuffer,
    chunks: DeviceBuffer,
    pictures: DeviceBuffer,
    bands: DeviceBuffer,
    tables: DeviceBuffer,
    samples: DeviceBuffer,
    status: DeviceBuffer,
    /// Numbers of the first photos.
    checked: Vec<usize>,
}

impl Prepared {
    fn new(bench: &Bench, set: usize) -> Outcome<Self> {
        let gpu = bench.engine.gpu();
        let (mut expansion, mut records, mut pixel_bytes) = (Expansion::default(), Vec::new(), 0u64);
        let numbers: Vec<usize> = (0..bench.scale.photos).map(|place| place + 5 * set).collect();
        let mut moved = 0;
        for (image, &number) in numbers.iter().enumerate() {
            let Photo { record, size } = bench.photos.at(number);
            let pixels = place(*size, pixel_bytes);
            let (region, image, copied_at) = (size.rect(), image as u32, records.len() as u64);
            let job = Job { record, size: *size, region, verify: true, image, copied_at, pixels };
            let taken = expansion.push(&job)?;
            moved += taken.copy.len() as u64 + u64::from(pixels.plane) * if taken.gray { 1 } else { 3 };
            records.extend_from_slice(&record[taken.copy]);
            records.resize(records.len().next_multiple_of(16), 0);
            pixel_bytes += 3 * u64::from(pixels.plane);
        }
        let status = gpu.allocate(4 * numbers.len())?;
        // SAFETY: on the stream that launches, before they do; it lives as long as they run.
        unsafe { bench.stream.fill(&status, 0, 0, status.len()) }?;
        Ok(Self {
            pixels: gpu.allocate(pixel_bytes as usize)?,
            records: uploaded(bench, &records)?,
            chunks: uploaded(bench, bytemuck::cast_slice(expansion.chunks()))?,
            pictures: uploaded(bench, bytemuck::cast_slice(expansion.pictures()))?,
            bands: uploaded(bench, bytemuck::cast_slice(expansion.bands()))?,
            tables: uploaded(bench, bytemuck::cast_slice(expansion.tables()))?,
            samples: gpu.allocate(expansion.sample_bytes() as usize)?,
            status,
            checked: numbers[..CHECKED.min(numbers.len())].to_vec(),
            moved,
            expansion,
        })
    }

    fn moved(&self) -> u64 {
        self.moved + 2 * self.expansion.sample_bytes()
    }

    fn queue(&self, bench: &Bench) -> Result<(), GpuError> {
        let memory = ExpandMemory {
            chunks: self.chunks.address(),
            pictures: self.pictures.address(),
            bands: self.bands.address(),
            tables: self.tables.address(),
            records: self.records.address(),
            samples: self.samples.address(),
            pixels: self.pixels.address(),
            status: self.status.address(),
        };
        // SAFETY: buffers of the lists' sizes, filled before; they live until the launches have been waited for.
        unsafe { bench.engine.kernels().expand(&bench.stream, &self.expansion, memory) }
    }

    /// Compares the first photos with the CPU's, and looks for contradictions in all.
    fn check(&self, bench: &Bench) -> Outcome<()> {
        self.queue(bench)?;
        let (mut pixels, mut status) = (vec![0; self.pixels.len()], vec![0; self.status.len()]);
        // SAFETY: synchronized on the next line.
        unsafe {
            bench.stream.copy_to_host(&mut pixels, &self.pixels, 0)?;
            bench.stream.copy_to_host(&mut status, &self.status, 0)?;
        }
        bench.stream.synchronize()?;
        if status.iter().any(|&byte| byte != 0) {
            return Err("the kernels find that a record contradicts itself".into());
        }
        let mut at = 0;
        for &number in &self.checked {
            let photo = bench.photos.at(number);
            let (planes, place) = (photo.pixels(), place(photo.size, at));
            let planes = planes.as_ref();
            for (channel, y) in (0..planes.channels()).flat_map(|c| (0..photo.size.height).map(move |y| (c, y))) {
                let start = place.offset as usize + channel * place.plane as usize + (y * place.stride) as usize;
                let row = planes.row(channel, y);
                if pixels[start..start + row.len()] != *row {
                    return Err(format!("photo {number}, channel {channel}, row {y}: not the CPU's pixels").into());
                }
            }
            at += 3 * u64::from(place.plane);
        }
        Ok(())
    }
}

/// Planes of a photo of `size` from byte `offset` on.
fn place(size: metacl::image::Size, offset: u64) -> PixelPlace {
    let stride = size.width.next_multiple_of(4);
    PixelPlace { offset, stride, plane: stride * size.height }
}
