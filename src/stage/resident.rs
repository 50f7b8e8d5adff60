//! A dataset that lies on the device as a whole: small images stored as pixels (CIFAR). Afterwards only plans cross.

use std::sync::Arc;

use crate::augment::cuda::Source;
use crate::decode::{Decoder, Limits, Want};
use crate::gpu::{DeviceBuffer, Gpu, GpuError};
use crate::image::Size;
use crate::loader::{LoadError, decode_failure, with_record};
use crate::shard::{Codec, ShardSet};

/// Bytes that are copied at a time.
const CHUNK: usize = 16 << 20;

/// Images of one size, planar, behind each other.
pub struct Resident {
    pixels: DeviceBuffer,
    size: Size,
    stride: u32,
}

/// Why a dataset is not on the device.
#[derive(Debug, thiserror::Error)]
pub enum ResidentError {
    /// A record could not be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The device refused.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

impl Resident {
    /// The size of all images of `set`, where it can lie on a device: pixels of one size, in at most `most` bytes.
    ///
    /// # Errors
    /// What reading the index finds.
    pub fn fits(set: &ShardSet, most: u64) -> Result<Option<Size>, LoadError> {
        let first = set.info(0)?;
        let bytes = image_bytes(first.size) as u64;
        if first.codec != Codec::Raw || bytes.checked_mul(set.len()).is_none_or(|all| all > most) {
            return Ok(None);
        }
        for index in 1..set.len() {
            let info = set.info(index)?;
            if info.size != first.size || info.codec != Codec::Raw {
                return Ok(None);
            }
        }
        Ok(Some(first.size))
    }

    /// Copies `set`, all of whose images are pixels of `size`, to the device.
    ///
    /// # Errors
    /// [`ResidentError`].
    pub fn upload(set: &Arc<ShardSet>, size: Size, gpu: &Gpu) -> Result<Self, ResidentError> {
        let (image, stride) = (image_bytes(size), size.width.next_multiple_of(4));
        let per_chunk = (CHUNK / image).max(1);
        let pixels = gpu.allocate(image * set.len() as usize)?;
        let mut host = gpu.pinned(image * per_chunk)?;
        let stream = gpu.stream()?;
        let mut decoder = Decoder::new(Limits::default());
        for first in (0..set.len()).step_by(per_chunk) {
            let count = per_chunk.min((set.len() - first) as usize);
            for (index, to) in (first..).zip(host.chunks_exact_mut(image)).take(count) {
                lay(set, index, size, stride as usize, &mut decoder, to)?;
            }
            // SAFETY: the stream is synchronized before either buffer is touched again.
            unsafe { stream.copy_to_device(&pixels, first as usize * image, &host[..count * image]) }?;
            stream.synchronize()?;
        }
        Ok(Self { pixels, size, stride })
    }

    /// Address of the first image.
    pub fn address(&self) -> u64 {
        self.pixels.address()
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> usize {
        self.pixels.len()
    }

    /// Where image `sample` lies.
    pub fn source(&self, sample: u32) -> Source {
        Source {
            at: u64::from(sample) * image_bytes(self.size) as u64,
            stride: self.stride,
            plane: self.stride * self.size.height,
            held: self.size.rect(),
            image: self.size,
        }
    }
}

fn image_bytes(size: Size) -> usize {
    3 * size.width.next_multiple_of(4) as usize * size.height as usize
}

/// Lays image `index` as planes.
fn lay(
    set: &ShardSet,
    index: u64,
    size: Size,
    stride: usize,
    decoder: &mut Decoder,
    to: &mut [u8],
) -> Result<(), LoadError> {
    with_record(set, index as u32, |stored| {
        let decoded = decoder.decode(stored.info.codec, &stored.bytes, size, Want::all(size));
        let pixels = decoded.map_err(|error| decode_failure(set, index as u32, error))?.pixels;
        pixels.lay_out(stride, to);
        Ok(())
    })
}
