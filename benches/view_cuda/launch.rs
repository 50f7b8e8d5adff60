//! The kernels of views, launch by launch: sources on the device, `make_tables` and `render_views` timed together.

use metacl::augment::cpu::Renderer;
use metacl::augment::cuda::{Output, Source, ValueKind, ViewList, ViewMemory};
use metacl::augment::recipe::Recipe;
use metacl::augment::{ViewKey, ViewPlan, draw_view};
use metacl::decode::{Decoder, Limits, Region, Want};
use metacl::gpu::{DeviceBuffer, Gpu, GpuError};
use metacl::image::{Planes, PlanesRef, Size};
use metacl::rng::{Purpose, Stream};
use metacl::stage::Resident;

use crate::report::Report;
use crate::{Bench, Outcome, clock, data};

const F32: Output = Output { kind: ValueKind::F32, channels_last: false };
const BF16: Output = Output { kind: ValueKind::Bf16, channels_last: false };

/// Share of the memory floor that the fused kernel should reach, in percent.
const LEAST_SHARE: f64 = 60.0;

/// What is counted of a view.
const COUNTED: &str = "crops and batch";

/// Views of a launch that are compared with the CPU's.
const CHECKED: usize = 12;

/// A view, and what it is made of.
struct View {
    plan: ViewPlan,
    source: Source,
    /// Which picture that is, for the check.
    picture: usize,
}

/// Photos as planes on the device, one view of 224 px (f32, bf16) or two with colours and blur.
pub(crate) fn photos(bench: &Bench, report: &mut Report) -> Outcome<()> {
    let pixels: Vec<Planes> = (0..bench.photos.len()).map(|number| bench.photos.at(number).pixels()).collect();
    let arenas = (0..bench.scale.sets).map(|_| Arena::new(bench, &pixels)).collect::<Outcome<Vec<_>>>()?;
    let picture = |number: usize| (pixels[number % pixels.len()].as_ref(), bench.photos.at(number).size);
    for (recipe, output) in [(Recipe::Rrc, F32), (Recipe::Rrc, BF16), (Recipe::Simclr, F32)] {
        let mut launches = Vec::new();
        for (set, arena) in arenas.iter().enumerate() {
            let views = views(recipe, set, bench.scale.photos, |number| (number, arena.sources[number]));
            launches.push(Prepared::new(bench, recipe, output, &views, arena.pixels.address())?);
        }
        launches[0].check(bench, recipe, output, &picture)?;
        let name = format!("{recipe:?} 224 px {:?}", output.kind).to_lowercase();
        let rate = time(bench, report, &name, &launches, Some(LEAST_SHARE))?;
        if recipe == Recipe::Simclr {
            report.simclr_views_per_s = Some(rate);
        }
    }
    Ok(())
}

/// Icons out of a dataset that lies on the device, two views of 32 px.
pub(crate) fn icons(bench: &Bench, report: &mut Report) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let set = data::icons(folder.path(), bench.scale.icons)?;
    let size = Size::new(32, 32);
    let resident = Resident::upload(&set, size, bench.engine.gpu())?;
    let shuffled = |number: usize| (number * 7919 + 13) % bench.scale.icons as usize;
    let mut decoder = Decoder::new(Limits::default());
    let mut pixels = Vec::new();
    for number in 0..bench.scale.icon_batch as usize {
        let stored = set.stored(shuffled(number) as u64)?;
        let mut planes = Planes::default();
        let decoded = decoder.decode(stored.info.codec, &stored.bytes, size, Want::all(size))?.pixels.interleaved();
        planes.copy_from(metacl::image::PixelsRef::new(&decoded, size).expect("HWC"));
        pixels.push(planes);
    }
    let count = bench.scale.icon_batch as usize;
    let mut launches = Vec::new();
    for place in 0..bench.scale.sets {
        let views = views(Recipe::Cifar, place, count, |number| {
            (number, resident.source(shuffled(place * count + number) as u32))
        });
        launches.push(Prepared::new(bench, Recipe::Cifar, F32, &views, resident.address())?);
    }
    launches[0].check(bench, Recipe::Cifar, F32, &|number| (pixels[number].as_ref(), size))?;
    time(bench, report, "cifar 32 px f32, resident", &launches, None)?;
    Ok(())
}

/// The views of `count` pictures, as a planner orders them; `picture` tells number and place of each.
fn views(recipe: Recipe, set: usize, count: usize, picture: impl Fn(usize) -> (usize, Source)) -> Vec<View> {
    let stream = Stream::new(set as u64, Purpose::View);
    let size = recipe.spec().size;
    let mut views = Vec::new();
    for (view, policy) in (0..).zip(recipe.views()) {
        for sample in 0..count {
            let (number, source) = picture(sample);
            let key = ViewKey { stream, epoch: 0, sample: sample as u32, view };
            let plan = draw_view(&policy, sample as u32, source.image, size, &key);
            views.push(View { plan, source, picture: number });
        }
    }
    views
}

fn time(bench: &Bench, report: &mut Report, name: &str, launches: &[Prepared], least: Option<f64>) -> Outcome<f64> {
    let ms = clock::median_ms(bench, |set| launches[set].queue(bench))?;
    let mean = |of: fn(&Prepared) -> u64| launches.iter().map(of).sum::<u64>() / launches.len() as u64;
    let rate = 1e3 * mean(|launch| launch.list.views().len() as u64) as f64 / ms;
    report.add(name.to_owned(), rate, "views/s");
    report.floor(name, COUNTED, mean(|launch| launch.moved), ms, least);
    Ok(rate)
}

/// Photos side by side on the device.
struct Arena {
    pixels: DeviceBuffer,
    sources: Vec<Source>,
}

impl Arena {
    fn new(bench: &Bench, pictures: &[Planes]) -> Outcome<Self> {
        let (mut bytes, mut sources) = (Vec::new(), Vec::new());
        for number in 0..bench.scale.photos {
            let (planes, image) = (pictures[number % pictures.len()].as_ref(), bench.photos.at(number).size);
            let stride = image.width.next_multiple_of(4);
            let plane = if planes.is_gray() { 0 } else { stride * image.height };
            sources.push(Source { at: bytes.len() as u64, stride, plane, held: image.rect(), image });
            for channel in 0..planes.channels() {
                for y in 0..image.height {
                    bytes.extend_from_slice(planes.row(channel, y));
                    bytes.resize(bytes.len().next_multiple_of(4), 0);
                }
            }
        }
        Ok(Self { pixels: uploaded(bench, &bytes)?, sources })
    }
}

/// A launch with all that it reads and writes on the device.
struct Prepared {
    list: ViewList,
    views: DeviceBuffer,
    weights: DeviceBuffer,
    values: DeviceBuffer,
    tables: DeviceBuffer,
    workspace: DeviceBuffer,
    batch: DeviceBuffer,
    /// Address of the pixels.
    pixels: u64,
    /// Bytes of crops and of the batch.
    moved: u64,
    /// The first views, and the pictures they show.
    checked: Vec<(ViewPlan, usize)>,
}

impl Prepared {
    fn new(bench: &Bench, recipe: Recipe, output: Output, views: &[View], pixels: u64) -> Outcome<Self> {
        let gpu: &Gpu = bench.engine.gpu();
        let mut list = ViewList::new(recipe.spec(), output, bench.engine.shared());
        let mut moved = 0;
        for View { plan, source, .. } in views {
            list.push(plan, *source)?;
            let channels = if source.plane == 0 { 1 } else { 3 };
            moved += channels * plan.region(source.image).size().area();
        }
        moved += list.batch_bytes();
        Ok(Self {
            views: uploaded(bench, bytemuck::cast_slice(list.views()))?,
            weights: uploaded(bench, bytemuck::cast_slice(list.weights()))?,
            values: uploaded(bench, bytemuck::cast_slice(&output.kind.table()))?,
            tables: gpu.allocate(list.table_bytes() as usize)?,
            workspace: gpu.allocate(list.workspace_bytes() as usize)?,
            batch: gpu.allocate(list.batch_bytes() as usize)?,
            pixels,
            moved,
            checked: views
                .iter()
                .map(|view| (view.plan, view.picture))
                .step_by(views.len().div_ceil(CHECKED))
                .collect(),
            list,
        })
    }

    fn queue(&self, bench: &Bench) -> Result<(), GpuError> {
        let memory = ViewMemory {
            views: self.views.address(),
            pixels: self.pixels,
            tables: self.tables.address(),
            weights: self.weights.address(),
            values: self.values.address(),
            workspace: self.workspace.address(),
            batch: self.batch.address(),
        };
        // SAFETY: buffers of the list's sizes, filled before; they live until the launch has been waited for.
        unsafe { bench.engine.kernels().render(&bench.stream, &self.list, memory) }
    }

    /// Compares views all over the batch with the CPU's.
    fn check<'a>(
        &self,
        bench: &Bench,
        recipe: Recipe,
        output: Output,
        picture: &dyn Fn(usize) -> (PlanesRef<'a>, Size),
    ) -> Outcome<()> {
        self.queue(bench)?;
        let mut batch = vec![0; self.batch.len()];
        // SAFETY: synchronized on the next line.
        unsafe { bench.stream.copy_to_host(&mut batch, &self.batch, 0) }?;
        bench.stream.synchronize()?;
        let (spec, table, bytes) = (recipe.spec(), output.kind.table(), output.kind.bytes() as usize);
        let mut renderer = Renderer::new(spec);
        let mut levels = vec![0; spec.bytes()];
        let step = self.list.views().len().div_ceil(CHECKED);
        for (place, (plan, number)) in self.checked.iter().enumerate() {
            let (planes, size) = picture(*number);
            renderer.render(Region::whole(planes), size, plan, &mut levels)?;
            let got = &batch[step * place * bytes * levels.len()..][..bytes * levels.len()];
            let expected = levels.iter().map(|&level| table[usize::from(level)].to_le_bytes());
            if !got.chunks_exact(bytes).zip(expected).all(|(got, expected)| *got == expected[..bytes]) {
                return Err(format!("{recipe:?}, row {}: not the CPU's view: {plan}", step * place).into());
            }
        }
        Ok(())
    }
}

/// A copy of `bytes` on the device.
pub(crate) fn uploaded(bench: &Bench, bytes: &[u8]) -> Outcome<DeviceBuffer> {
    let buffer = bench.engine.gpu().allocate(bytes.len())?;
    // SAFETY: synchronized on the next line.
    unsafe { bench.stream.copy_to_device(&buffer, 0, bytes) }?;
    bench.stream.synchronize()?;
    Ok(buffer)
}
