//! What the kernels of `kernels/coef.cu` need to make pixels of records on a device: the host checks and lists, the device expands.
//!
//! For each picture, [`Expansion::push`] checks the record's header and, of the MCU rows that the region needs, checksums and chunk heads;
//! it lists the chunks to expand and says which range of the record to copy. Nothing here touches a block or allocates once the lists
//! have grown to a batch's size. After a batch is listed:
//!
//! 1. copy the records' ranges, the lists and the quantisation tables to the device, and zero one status a picture;
//! 2. launch `expand_chunks` with a block of [`CHUNK_THREADS`] for each of [`Expansion::chunks`];
//! 3. launch `make_pixels` with a block of [`BAND_THREADS`] for each of [`Expansion::bands`].
//!
//! The pixels are then those of [`Expander`](super::Expander), to the byte. Where a status is not 0, that picture's chunks contradict
//! themselves and its pixels mean nothing: see [`CONTRADICTION`].
//!
//! `tasks`: what the kernels read. Not here: copies, launches, devices.

mod tasks;

use std::ops::Range;

pub use tasks::{BandTask, ChunkTask, PictureTask, PixelPlace};

use super::chunk::BlockRow;
use super::expand::opened;
use super::expand::window::{Part, Window};
use super::layout::Record;
use super::tile::CHUNK;
use super::{CoefError, ColourSpace};
use crate::image::{Rect, Size};

/// What the first copied record's address must be a multiple of. Kernels read whole units of this size: up to 15 bytes behind the last
/// copied byte must be readable; their values do not matter.
pub const RECORDS_ALIGN: usize = 16;

/// Threads of a block of `expand_chunks`, which takes no dynamic shared memory.
pub const CHUNK_THREADS: u32 = 32;

/// Threads of a block of `make_pixels`, which takes no dynamic shared memory.
pub const BAND_THREADS: u32 = 128;

/// Set in a picture's status where the blocks of a chunk do not end where the chunk does. [`Expander`](super::Expander) says so where it
/// reads the chunk to its end; the kernel always does. [`coefficients`](super::coefficients) names the place.
pub const CONTRADICTION: u32 = 1;

/// Most pixels of a band that has several rows.
const BAND_PIXELS: u32 = 4096;

/// One picture of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// All bytes of the record.
    pub record: &'a [u8],
    /// Of the picture, from the index.
    pub size: Size,
    /// Which part of it to make.
    pub region: Rect,
    /// Whether to compare the checksums of the header and of the MCU rows that are needed.
    pub verify: bool,
    /// Which status its chunks set.
    pub image: u32,
    /// Where in the copied records the needed range will start; any number.
    pub copied_at: u64,
    /// Where its pixels go; three planes, unless the caller knows that the record is gray.
    pub pixels: PixelPlace,
}

/// What [`Expansion::push`] says of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The bytes of the record to copy to [`Job::copied_at`].
    pub copy: Range<usize>,
    /// Whether only the first plane of pixels is written, and stands for all.
    pub gray: bool,
}

/// The work of a batch, in lists that are kept from batch to batch.
#[derive(Clone, Debug, Default)]
pub struct Expansion {
    chunks: Vec<ChunkTask>,
    pictures: Vec<PictureTask>,
    bands: Vec<BandTask>,
    tables: Vec<[i16; 64]>,
    sample_bytes: u64,
}

impl Expansion {
    /// Empties the lists; their memory is kept.
    pub fn clear(&mut self) {
        self.chunks.clear();
        self.pictures.clear();
        self.bands.clear();
        self.tables.clear();
        self.sample_bytes = 0;
    }

    /// All chunks, one block of `expand_chunks` each.
    pub fn chunks(&self) -> &[ChunkTask] {
        &self.chunks
    }

    /// The pictures, in the order they were pushed.
    pub fn pictures(&self) -> &[PictureTask] {
        &self.pictures
    }

    /// All bands of rows, one block of `make_pixels` each.
    pub fn bands(&self) -> &[BandTask] {
        &self.bands
    }

    /// Quantisation tables in natural order; steps are 16 bits that wrap.
    pub fn tables(&self) -> &[[i16; 64]] {
        &self.tables
    }

    /// Bytes of samples between the two kernels; a multiple of 64. They need not be zeroed; their start is aligned to 8.
    pub fn sample_bytes(&self) -> u64 {
        self.sample_bytes
    }

    /// Adds a picture.
    ///
    /// # Errors
    /// As [`Expander::expand`](super::Expander::expand) for what does not take reading blocks; nothing is added then.
    ///
    /// # Panics
    /// Where [`Job::pixels`] is not as [`PixelPlace`] says: a mistake of the caller, not of a record.
    pub fn push(&mut self, job: &Job<'_>) -> Result<Taken, CoefError> {
        let (record, window) = opened(job.record, job.size, job.region, job.verify)?;
        let gray = window.space == ColourSpace::Gray;
        check_place(job.pixels, job.region, gray);
        let (chunks, tables, sample_bytes) = (self.chunks.len(), self.tables.len(), self.sample_bytes);
        let planes = std::array::from_fn(|component| self.plane(&record, &window, component));
        let copy = record.band(window.mcu_rows());
        if let Err(error) = self.list_chunks(job, &record, &window, &planes, copy.start) {
            self.chunks.truncate(chunks);
            self.tables.truncate(tables);
            self.sample_bytes = sample_bytes;
            return Err(error);
        }
        self.list_bands(job.region.size());
        self.pictures.push(picture(job.pixels, &window, &planes));
        Ok(Taken { copy, gray })
    }

    /// Adds the pictures of `other`, which count as those of `image`: its records were copied to `copied_at`, its pixels go to `pixels_at`.
    pub fn append(&mut self, other: &Self, image: u32, copied_at: u64, pixels_at: u64) {
        let (samples, tables, pictures) = (self.sample_bytes, self.tables.len() as u32, self.pictures.len() as u32);
        self.chunks.extend(other.chunks.iter().map(|chunk| ChunkTask {
            bytes: chunk.bytes + copied_at,
            samples: chunk.samples + samples,
            image,
            table: chunk.table + tables,
            ..*chunk
        }));
        self.pictures.extend(other.pictures.iter().map(|picture| PictureTask {
            samples: picture.samples.map(|at| at + samples),
            pixels: PixelPlace { offset: picture.pixels.offset + pixels_at, ..picture.pixels },
            ..*picture
        }));
        self.bands.extend(other.bands.iter().map(|band| BandTask { picture: band.picture + pictures, ..*band }));
        self.tables.extend_from_slice(&other.tables);
        self.sample_bytes += other.sample_bytes;
    }

    /// Room for the samples of a component and its quantisation table, which it may share with the one before.
    fn plane(&mut self, record: &Record<'_>, window: &Window, component: usize) -> Plane {
        if component >= window.count {
            return Plane::default();
        }
        let steps = record.quantisation(component).map(|step| step as i16);
        if component == 0 || self.tables.last() != Some(&steps) {
            self.tables.push(steps);
        }
        let part = &window.parts[component];
        let plane =
            Plane { samples: self.sample_bytes, columns: part.columns.len(), table: self.tables.len() as u32 - 1 };
        self.sample_bytes += 64 * part.columns.len() as u64 * part.rows.len() as u64;
        plane
    }

    /// The chunks of the window; bytes of the record count from `start`.
    fn list_chunks(
        &mut self,
        job: &Job<'_>,
        record: &Record<'_>,
        window: &Window,
        planes: &[Plane; 3],
        start: usize,
    ) -> Result<(), CoefError> {
        for mcu_row in window.mcu_rows() {
            window.each_block_row(record, mcu_row, job.verify, |component, block_row, row| {
                let (part, plane) = (&window.parts[component], &planes[component]);
                let samples = plane.samples + 64 * plane.columns as u64 * (block_row - part.rows.start) as u64;
                self.list_row(job, record, row, part, Plane { samples, ..*plane }, start)
            })?;
        }
        Ok(())
    }

    /// The chunks of a block row, whose samples start where `plane` does.
    fn list_row(
        &mut self,
        job: &Job<'_>,
        record: &Record<'_>,
        row: &BlockRow,
        part: &Part,
        plane: Plane,
        start: usize,
    ) -> Result<(), CoefError> {
        for index in part.chunks() {
            let place = row.place(record, index)?;
            let wanted = part.of_chunk(index, place.blocks);
            self.chunks.push(ChunkTask {
                bytes: job.copied_at + (place.start - start) as u64,
                samples: plane.samples + 8 * (index * CHUNK + wanted.start - part.columns.start) as u64,
                pairs: (place.length / 2) as u16,
                stride: plane.columns as u16,
                image: job.image,
                table: plane.table,
                blocks: place.blocks as u8,
                first: wanted.start as u8,
                count: wanted.len() as u8,
                reserved: 0,
            });
        }
        Ok(())
    }

    /// Bands of about [`BAND_PIXELS`], so that a large picture gets more blocks of threads than a small one.
    fn list_bands(&mut self, region: Size) {
        let (picture, rows) = (self.pictures.len() as u32, (BAND_PIXELS / region.width).max(1));
        let band = |first: u32| BandTask { picture, first, end: (first + rows).min(region.height) };
        self.bands.extend((0..region.height).step_by(rows as usize).map(band));
    }
}

/// The samples of a component.
#[derive(Clone, Copy, Debug, Default)]
struct Plane {
    samples: u64,
    /// Of blocks, which is 8 bytes of a row of samples.
    columns: usize,
    table: u32,
}

fn check_place(place: PixelPlace, region: Rect, gray: bool) {
    let whole = u64::from(place.stride) * u64::from(region.height) <= u64::from(place.plane);
    let aligned = place.offset.is_multiple_of(4) && place.stride.is_multiple_of(4) && place.plane.is_multiple_of(4);
    assert!(aligned && place.stride >= region.width && (gray || whole), "{place:?} for {region:?}");
}

fn picture(pixels: PixelPlace, window: &Window, planes: &[Plane; 3]) -> PictureTask {
    let [luma, chroma, _] = &window.parts;
    let (region, step) = (window.region, window.step);
    let gray = window.space == ColourSpace::Gray;
    // Pixels before the first sample of a part: 8 * step a block.
    let at = |part: &Part, step: (usize, usize)| {
        let before = [8 * step.0 * part.columns.start, 8 * step.1 * part.rows.start];
        [region.x - before[0] as u32, region.y - before[1] as u32]
    };
    let flag = |holds: bool, bit: u32| if holds { bit } else { 0 };
    let kind = flag(window.space == ColourSpace::Rgb, PictureTask::RGB)
        | flag(step.0 == 2, PictureTask::HALF_COLUMNS)
        | flag(step.1 == 2, PictureTask::HALF_ROWS)
        | flag(window.fancy, PictureTask::FANCY);
    let chroma_last = [
        // A part reaches the picture's edge, or one sample further than its pixels need.
        (chroma.x.end - 1 - 8 * chroma.columns.start) as u32,
        (chroma.height - 1 - 8 * chroma.rows.start) as u32,
    ];
    PictureTask {
        samples: planes.map(|plane| plane.samples),
        pixels: PixelPlace { plane: if gray { 0 } else { pixels.plane }, ..pixels },
        width: region.width,
        height: region.height,
        stride: 8 * planes[0].columns as u32,
        chroma_stride: 8 * planes[1].columns as u32,
        at: at(luma, (1, 1)),
        chroma_at: if gray { [0; 2] } else { at(chroma, step) },
        chroma_last: if gray { [0; 2] } else { chroma_last },
        kind,
        reserved: 0,
    }
}
