//! The producer of sources: what a device needs to render the views itself.
//!
//! Of each image, the part that its views read, as the CPU's loader would decode it: pixels in planes, or, of a coefficient record, the bands of the
//! record that hold it, which kernels expand. Records of other kinds in the same dataset come as pixels in either case.

use std::ops::Range;
use std::sync::Arc;

use super::LoadError;
use super::parcel::{Parcel, RegionSource};
use super::record::with_record;
use super::ring::{Fill, Loader};
use super::stand_in;
use super::stats::{Laps, Stage};
use super::views::{LoaderOptions, decode_failure, plan_of};
use crate::augment::want::shared_region;
use crate::coef::device::{Job, PixelPlace};
use crate::decode::{self, Decoder, Want};
use crate::episode::{EpisodePlan, Planner};
use crate::gpu::Gpu;
use crate::image::{Rect, Size};
use crate::shard::{Codec, ShardSet, Stored};

/// Who makes pixels of coefficient records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expansions {
    /// The workers, before the copy to the device.
    Host,
    /// Kernels: the host copies bytes of records and checks them.
    #[default]
    Device,
}

/// Starts loading the sources of the views of `planner` over `set` for `steps`.
///
/// # Errors
/// [`LoadError::Thread`] where the system gives no thread, [`LoadError::Gpu`] where there is no page-locked memory.
pub fn load_sources(
    set: Arc<ShardSet>,
    planner: Planner,
    options: LoaderOptions,
    expansions: Expansions,
    gpu: &Gpu,
    steps: Range<u64>,
) -> Result<Loader<Parcel>, LoadError> {
    let images = planner.most_images(set.len());
    let slots = (0..options.slots.max(1)).map(|_| Parcel::new(gpu, images)).collect::<Result<_, _>>()?;
    Loader::over(Sources { set, planner, options, expansions }, slots, options.workers.max(1), steps)
}

struct Sources {
    set: Arc<ShardSet>,
    planner: Planner,
    options: LoaderOptions,
    expansions: Expansions,
}

impl Fill for Sources {
    type Scratch = Decoder;
    type Slot = Parcel;

    fn scratch(&self) -> Decoder {
        Decoder::new(self.options.limits)
    }

    fn plan(&self, step: u64, parcel: &Parcel) -> Result<EpisodePlan, LoadError> {
        let plan = plan_of(&self.set, &self.planner, step, ShardSet::read_ahead)?;
        let (mut bytes, mut pieces) = (0, 0);
        for (image, &sample) in plan.samples.iter().enumerate() {
            let info = self.set.info(sample.into())?;
            for region in regions(&plan, image, info.codec).iter() {
                bytes += match self.expands(info.codec) {
                    // At most all of the record.
                    true => info.length as usize,
                    false => 3 * stride_of(region.width) as usize * region.height as usize,
                };
                pieces += 1;
            }
        }
        parcel.prepare(bytes, pieces)?;
        Ok(plan)
    }

    fn stand_in(&self, plan: &EpisodePlan, image: usize, attempt: u32) -> Result<Option<EpisodePlan>, LoadError> {
        stand_in::stand_in(&self.set, &self.planner, self.options.corrupt, plan, image, attempt)
    }

    fn fill(
        &self,
        decoder: &mut Decoder,
        plan: &EpisodePlan,
        image: usize,
        parcel: &Parcel,
        laps: &mut Laps,
    ) -> Result<(), LoadError> {
        with_record(&self.set, plan.samples[image], |stored| self.lay_record(decoder, stored, plan, image, parcel))?;
        laps.mark(Stage::Decode);
        laps.count(plan.rows_of(image).count() as u64);
        Ok(())
    }
}

impl Sources {
    /// Lays what the views of source `image` read of its record, `stored`.
    fn lay_record(
        &self,
        decoder: &mut Decoder,
        stored: &Stored<'_>,
        plan: &EpisodePlan,
        image: usize,
        parcel: &Parcel,
    ) -> Result<(), LoadError> {
        let mut sources = parcel.image(image);
        sources.clear();
        for region in regions(plan, image, stored.info.codec).iter() {
            let source = sources.add();
            source.held = region;
            source.stride = stride_of(region.width);
            source.plane = source.stride * region.height;
            let failed = |error| decode_failure(&self.set, plan.samples[image], error);
            if self.expands(stored.info.codec) {
                let copied = expansion_of(stored, plan.sizes[image], source).map_err(failed)?;
                source.at = parcel.put(copied.len(), |piece| piece.copy_from_slice(copied))?;
            } else {
                let want = Want { region, verify: stored.check_parts };
                let decoded = decoder.decode(stored.info.codec, &stored.bytes, plan.sizes[image], want);
                let pixels = decoded.map_err(failed)?.pixels;
                if pixels.is_gray() {
                    source.plane = 0;
                }
                source.at =
                    parcel.put(source.pixel_bytes() as usize, |piece| pixels.lay_out(source.stride as usize, piece))?;
            }
        }
        Ok(())
    }

    fn expands(&self, codec: Codec) -> bool {
        codec == Codec::Coef && self.expansions == Expansions::Device
    }
}

/// What is decoded of an image: once for all its views, or for each.
enum Regions<'a> {
    Shared([Rect; 1]),
    Each(&'a EpisodePlan, usize),
}

impl Regions<'_> {
    fn iter(&self) -> Box<dyn Iterator<Item = Rect> + '_> {
        match self {
            Self::Shared(one) => Box::new(one.iter().copied()),
            Self::Each(plan, image) => {
                Box::new(plan.rows_of(*image).map(|row| plan.views[row].region(plan.sizes[*image])))
            }
        }
    }
}

fn regions(plan: &EpisodePlan, image: usize, codec: Codec) -> Regions<'_> {
    let views = plan.rows_of(image).map(|row| &plan.views[row]);
    match shared_region(views, plan.sizes[image], decode::reads_parts(codec)) {
        Some(region) => Regions::Shared([region]),
        None => Regions::Each(plan, image),
    }
}

/// Bytes of a row of pixels in a parcel.
fn stride_of(width: u32) -> u32 {
    width.next_multiple_of(4)
}

/// Lists what makes the pixels of `source` out of a coefficient record; gives the bands of the record that are to be copied.
fn expansion_of<'a>(
    stored: &'a Stored<'_>,
    size: Size,
    source: &mut RegionSource,
) -> Result<&'a [u8], decode::DecodeError> {
    let pixels = PixelPlace { offset: 0, stride: source.stride, plane: source.plane };
    let job = Job {
        record: &stored.bytes,
        size,
        region: source.held,
        verify: stored.check_parts,
        image: 0,
        copied_at: 0,
        pixels,
    };
    let taken = source.expansion.push(&job)?;
    if taken.gray {
        source.plane = 0;
    }
    Ok(&stored.bytes[taken.copy])
}
