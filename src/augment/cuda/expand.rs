//! Launches that make pixels of coefficient records (`coef::device` says what).

use super::kernels::Kernels;
use crate::coef::device::{BAND_THREADS, CHUNK_THREADS, Expansion};
use crate::gpu::{Arguments, GpuError, Launch, Stream};

/// Addresses on the device that an [`Expansion`] takes.
#[derive(Clone, Copy, Debug)]
pub struct ExpandMemory {
    /// [`Expansion::chunks`].
    pub chunks: u64,
    /// [`Expansion::pictures`].
    pub pictures: u64,
    /// [`Expansion::bands`].
    pub bands: u64,
    /// [`Expansion::tables`].
    pub tables: u64,
    /// Start of the copied records.
    pub records: u64,
    /// [`Expansion::sample_bytes`] bytes.
    pub samples: u64,
    /// Start of the pixels that places count from.
    pub pixels: u64,
    /// A zeroed u32 for each image.
    pub status: u64,
}

impl Kernels {
    /// Queues the expansion of all pictures of `expansion` on `stream`.
    ///
    /// # Safety
    /// `memory` is what its fields say, filled by then on this stream or before it by an event, and stays so until the launches have run.
    ///
    /// # Errors
    /// [`GpuError`].
    pub unsafe fn expand(&self, stream: &Stream, expansion: &Expansion, memory: ExpandMemory) -> Result<(), GpuError> {
        let ExpandMemory { chunks, pictures, bands, tables, records, samples, pixels, status } = memory;
        let (chunk_count, band_count) = (expansion.chunks().len() as u32, expansion.bands().len() as u32);
        let arguments = Arguments::new()
            .pointer(chunks)
            .value(chunk_count)
            .pointer(records)
            .pointer(tables)
            .pointer(samples)
            .pointer(status);
        let launch = Launch { grid: chunk_count, block: CHUNK_THREADS, shared: 0 };
        // SAFETY: the kernel's parameters, in order; memory by the caller's promise.
        unsafe { stream.launch(&self.expand_chunks, launch, &arguments) }?;

        let arguments =
            Arguments::new().pointer(pictures).pointer(bands).value(band_count).pointer(samples).pointer(pixels);
        let launch = Launch { grid: band_count, block: BAND_THREADS, shared: 0 };
        // SAFETY: as above.
        unsafe { stream.launch(&self.make_pixels, launch, &arguments) }
    }
}
