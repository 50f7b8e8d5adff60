//! A batch of regions through both kernels, in buffers of exactly the size that is asked for.

use metacl::coef::device::{BandTask, ChunkTask, Expansion, Job, PictureTask, PixelPlace, RECORDS_ALIGN, Taken};
use metacl::coef::{CoefError, Expander, Path};
use metacl::image::{Planes, Rect, Size};

use crate::kernels_support::{Kernels, argument};

/// Bytes as the records of a device are aligned.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Line([u8; RECORDS_ALIGN]);

/// Regions of records.
#[derive(Default)]
pub(crate) struct Batch {
    expansion: Expansion,
    records: Vec<u8>,
    pictures: Vec<(Rect, PixelPlace, bool)>,
    pixel_bytes: u64,
}

impl Batch {
    /// Adds a picture.
    pub(crate) fn push(&mut self, record: &[u8], size: Size, region: Rect, verify: bool) -> Result<(), CoefError> {
        let stride = region.width.next_multiple_of(4);
        let pixels = PixelPlace { offset: self.pixel_bytes, stride, plane: stride.wrapping_mul(region.height) };
        let (image, copied_at) = (self.pictures.len() as u32, self.records.len() as u64);
        let Taken { copy, gray } =
            self.expansion.push(&Job { record, size, region, verify, image, copied_at, pixels })?;
        self.records.extend_from_slice(&record[copy]);
        self.pixel_bytes += u64::from(pixels.plane) * if gray { 1 } else { 3 };
        self.pictures.push((region, pixels, gray));
        Ok(())
    }

    /// Overwrites all copied bytes, with `next`; of each chunk's head `dc_bits` and `control` with `head`.
    pub(crate) fn overwrite(&mut self, head: [u8; 3], mut next: impl FnMut() -> u8) {
        self.records.iter_mut().for_each(|byte| *byte = next());
        for chunk in self.expansion.chunks() {
            self.records[chunk.bytes as usize + 2..][..3].copy_from_slice(&head);
        }
    }

    /// R, G, B of each picture's pixels, and its status.
    pub(crate) fn run(&self, threads: u32) -> Vec<(Vec<u8>, u32)> {
        let lines: Vec<Line> = self.records.chunks(RECORDS_ALIGN).map(line).collect();
        let mut samples = vec![0xa5a5_a5a5_a5a5_a5a5_u64; self.expansion.sample_bytes() as usize / 8];
        let mut words = vec![0xa5a5_a5a5_u32; self.pixel_bytes as usize / 4];
        let mut statuses = vec![0u32; self.pictures.len()];

        let chunks: Box<[ChunkTask]> = self.expansion.chunks().into();
        let pictures: Box<[PictureTask]> = self.expansion.pictures().into();
        let bands: Box<[BandTask]> = self.expansion.bands().into();
        let tables: Box<[[i16; 64]]> = self.expansion.tables().into();
        let (chunk_count, band_count) = (chunks.len() as u32, bands.len() as u32);
        let (samples_at, words_at, statuses_at) = (samples.as_mut_ptr(), words.as_mut_ptr(), statuses.as_mut_ptr());
        // SAFETY: the kernels' parameters in their order and types; the buffers are as long as the lists ask for.
        unsafe {
            Kernels::get().launch(
                "expand_chunks",
                chunk_count,
                threads,
                0,
                &[
                    argument(&chunks.as_ptr()),
                    argument(&chunk_count),
                    argument(&lines.as_ptr()),
                    argument(&tables.as_ptr()),
                    argument(&samples_at),
                    argument(&statuses_at),
                ],
            );
            Kernels::get().launch(
                "make_pixels",
                band_count,
                threads,
                0,
                &[
                    argument(&pictures.as_ptr()),
                    argument(&bands.as_ptr()),
                    argument(&band_count),
                    argument(&samples_at),
                    argument(&words_at),
                ],
            );
        }
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let pixels = self.pictures.iter().map(|picture| interleaved(&bytes, picture));
        pixels.zip(statuses).collect()
    }
}

fn line(bytes: &[u8]) -> Line {
    let mut line = Line([0xff; RECORDS_ALIGN]);
    line.0[..bytes.len()].copy_from_slice(bytes);
    line
}

fn interleaved(bytes: &[u8], &(region, place, gray): &(Rect, PixelPlace, bool)) -> Vec<u8> {
    let mut out = Vec::with_capacity(3 * region.size().area() as usize);
    for (y, x) in (0..region.height).flat_map(|y| (0..region.width).map(move |x| (y, x))) {
        let first = place.offset as usize + (y * place.stride + x) as usize;
        let plane = if gray { 0 } else { place.plane as usize };
        out.extend([0, 1, 2].map(|channel| bytes[first + channel * plane]));
    }
    out
}

/// What the expander makes of it, R, G, B; without comparing checksums.
pub(crate) fn expanded(record: &[u8], size: Size, region: Rect) -> Result<Vec<u8>, CoefError> {
    let mut out = Planes::default();
    Expander::new(Path::Fastest).expand(record, size, region, false, &mut out)?;
    Ok(out.as_ref().interleaved())
}
