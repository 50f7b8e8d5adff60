//! The memory of one batch on its way to a device: bytes of its sources, one behind the other, in page-locked memory.
//!
//! Lives here: room that workers take pieces of, and what each image left. Not here: what the bytes are (`sources`), copies to a device.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use super::LoadError;
use crate::coef::device::Expansion;
use crate::gpu::{Gpu, PinnedBuffer};
use crate::image::Rect;

/// Pieces begin at multiples of this: what kernels read in one go.
pub const PIECE_ALIGN: usize = 16;

/// What is allocated where `bytes` are needed: a quarter more, in whole 64 KiB, so that batches of varying size soon stop to grow it.
pub fn roomy(bytes: usize) -> usize {
    (bytes + bytes / 4).next_multiple_of(64 << 10)
}

/// Sources of a batch; see the module.
pub struct Parcel {
    gpu: Gpu,
    memory: RwLock<PinnedBuffer>,
    used: AtomicUsize,
    images: Box<[Mutex<ImageSources>]>,
}

/// What a batch needs of one image: one region for all its views, or one for each.
#[derive(Default)]
pub struct ImageSources {
    regions: Vec<RegionSource>,
    /// The regions in use; the others are kept for their memory.
    count: usize,
}

/// A part of an image, as pixels or as what makes them.
pub struct RegionSource {
    /// The part.
    pub held: Rect,
    /// Bytes from row to row of its pixels, a multiple of 4.
    pub stride: u32,
    /// Bytes from plane to plane; 0: one plane stands for R, G and B.
    pub plane: u32,
    /// Where its bytes start in the parcel.
    pub at: usize,
    /// How the bytes become pixels on the device; nothing to expand: they are the planes themselves.
    pub expansion: Expansion,
}

impl Default for RegionSource {
    fn default() -> Self {
        let held = Rect { x: 0, y: 0, width: 0, height: 0 };
        Self { held, stride: 0, plane: 0, at: 0, expansion: Expansion::default() }
    }
}

impl RegionSource {
    /// Bytes of its pixels.
    pub fn pixel_bytes(&self) -> u64 {
        let plane = u64::from(self.stride) * u64::from(self.held.height);
        if self.plane == 0 { plane } else { 3 * plane }
    }
}

impl ImageSources {
    /// The regions: of all views, or of each in turn.
    pub fn regions(&self) -> &[RegionSource] {
        &self.regions[..self.count]
    }

    pub(super) fn clear(&mut self) {
        self.count = 0;
    }

    /// A further region, holding what an earlier batch left.
    pub(super) fn add(&mut self) -> &mut RegionSource {
        if self.count == self.regions.len() {
            self.regions.push(RegionSource::default());
        }
        self.count += 1;
        let region = &mut self.regions[self.count - 1];
        region.expansion.clear();
        region
    }
}

impl Parcel {
    /// Room for sources of up to `images` images, and no bytes yet.
    ///
    /// # Errors
    /// [`LoadError::Gpu`] where there is no page-locked memory.
    pub fn new(gpu: &Gpu, images: usize) -> Result<Self, LoadError> {
        let memory = RwLock::new(gpu.pinned(0)?);
        let images = (0..images).map(|_| Mutex::default()).collect();
        Ok(Self { gpu: gpu.clone(), memory, used: AtomicUsize::new(0), images })
    }

    /// Empties it and makes room for `bytes` bytes, pieces' alignment not counted, in `pieces` pieces. Called while nobody else uses it.
    pub(super) fn prepare(&self, bytes: usize, pieces: usize) -> Result<(), LoadError> {
        let needed = bytes + pieces * PIECE_ALIGN;
        let mut memory = self.memory.write().unwrap_or_else(PoisonError::into_inner);
        if memory.len() < needed {
            *memory = self.gpu.pinned(roomy(needed))?;
        }
        self.used.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// Has `write` fill `length` new bytes; returns where they start. There is room for what [`prepare`](Self::prepare) was told of; more, for a
    /// sample that stands in for another, is made here.
    ///
    /// # Errors
    /// [`LoadError::Gpu`] where there is no memory.
    pub(super) fn put(&self, length: usize, write: impl FnOnce(&mut [u8])) -> Result<usize, LoadError> {
        let at = self.used.fetch_add(length.next_multiple_of(PIECE_ALIGN), Ordering::Relaxed);
        let mut memory = self.memory.read().unwrap_or_else(PoisonError::into_inner);
        while memory.len() < at + length {
            drop(memory);
            self.grow(at + length)?;
            memory = self.memory.read().unwrap_or_else(PoisonError::into_inner);
        }
        // SAFETY: inside the buffer, which stays while `memory` is held; every piece is taken once since `prepare`, so no other reference reaches
        // these bytes while the parcel is being filled, and the consumer reads it only after the last worker is done.
        let piece = unsafe { std::slice::from_raw_parts_mut(memory.as_ptr().add(at), length) };
        write(piece);
        Ok(at)
    }

    /// Moves what was put to a buffer of at least `needed` bytes.
    fn grow(&self, needed: usize) -> Result<(), LoadError> {
        // Pieces are written under the lock's other side, so none is half written here.
        let mut memory = self.memory.write().unwrap_or_else(PoisonError::into_inner);
        if memory.len() < needed {
            let mut larger = self.gpu.pinned(roomy(needed))?;
            larger[..memory.len()].copy_from_slice(&memory);
            *memory = larger;
        }
        Ok(())
    }

    /// What image `image` of the batch left.
    pub fn image(&self, image: usize) -> MutexGuard<'_, ImageSources> {
        self.images[image].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at all bytes that were put. The batch that owns the parcel must be finished.
    pub fn with_bytes<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        let memory = self.memory.read().unwrap_or_else(PoisonError::into_inner);
        look(&memory[..self.used.load(Ordering::Relaxed).min(memory.len())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::fake::{Fake, Mode};

    #[test]
    fn pieces_of_many_threads_are_apart_and_outlast_its_growth() {
        let fake = Fake::new(Mode::Eager, |_, _, _| Ok(()));
        let parcel = Parcel::new(&fake.gpu(), 1).expect("memory");
        parcel.prepare(0, 0).expect("memory");
        let put = |mark: u8| {
            let length = 5000 + usize::from(mark);
            (parcel.put(length, |piece| piece.fill(mark)).expect("memory"), length, mark)
        };
        let put_some = &|thread: u8| [1, 2, 3, 4, 5, 6, 7, 8].map(|nth| put(8 * thread + nth));
        let pieces = std::thread::scope(|scope| {
            let threads = [0, 1, 2, 3].map(|thread| scope.spawn(move || put_some(thread)));
            threads.map(|thread| thread.join().expect("no panic")).concat()
        });
        assert_eq!(pieces.len(), 32);
        parcel.with_bytes(|bytes| {
            for (at, length, mark) in pieces {
                assert!(
                    at % PIECE_ALIGN == 0 && bytes[at..at + length].iter().all(|&byte| byte == mark),
                    "piece {mark}"
                );
            }
        });
    }
}
