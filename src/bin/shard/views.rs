//! `metacl-shard views`: drawn plans and rendered views, for anyone who wants to recompute them elsewhere.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use metacl::augment::ViewPlan;
use metacl::episode::Order;
use metacl::loader::{LoadError, LoaderOptions, load_views};
use metacl::shard::Storage;
use safetensors::tensor::{Dtype, TensorView, serialize};

use super::extract::write_new;
use super::recipe::Source;
use super::text::print;
use super::{Failure, Outcome};

/// Images of a step; of no influence on the views.
const BATCH: u32 = 64;

/// Write drawn plans and rendered views to a file
///
/// Samples 0 to N - 1, epoch 0, by the loader's own path, as safetensors with one row a view: sample, view, crop (x y w h, source
/// pixels), mirror, turns (quarter turns counter-clockwise), order (operations as applied: 0 brightness, 1 contrast, 2 saturation,
/// 3 hue, -1 none), brightness, contrast, saturation, hue (turns), gray, blur_sigma (output pixels, 0 none), views (N 3 H W, u8).
///
/// Recipes: rrc (224 px, crop 0.08..1, mirror), simclr (224 px, two views, jitter 0.8 0.8 0.8 0.2, gray, blur), cifar (32 px, two
/// views, jitter 0.4 0.4 0.4 0.1, gray).
///
/// Example: metacl-shard views data/cifar10 --recipe cifar --seed 0 --samples 100 --out views.safetensors
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,
    /// How many samples
    #[arg(long, value_name = "N")]
    samples: u32,
    /// File to write; an existing one is not overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Worker threads; of no influence on the views
    #[arg(long, default_value_t = 2)]
    workers: usize,
}

pub(super) fn run(args: &Args, storage: &Storage) -> Result<Outcome, Failure> {
    let place = args.source.place(storage)?;
    let set = Arc::new(place.open()?);
    let samples = u64::from(args.samples);
    if samples == 0 || samples > set.len() {
        let (path, found) = (&place.location, set.len());
        return Err(Failure::Usage(format!("--samples {samples}: {path} holds {found}; give a number from 1 to that")));
    }
    let recipe = args.source.recipe.recipe();
    let view = recipe.spec();
    let planner = args.source.planner(samples, BATCH, Order::Sequential, recipe.views())?;
    let steps = planner.steps_per_epoch();
    let options = LoaderOptions { workers: args.workers, limits: args.source.limits(), ..LoaderOptions::default() };

    let mut table = Table::default();
    for batch in load_views(set, planner, options, 0..steps)? {
        let batch = batch.map_err(|error: LoadError| Failure::Failed(error.to_string()))?;
        let plan = batch.plan();
        for image in 0..plan.images() {
            for (number, row) in plan.rows_of(image).enumerate() {
                let pixels = &batch.bytes()[row * view.bytes()..][..view.bytes()];
                table.push(plan.samples[image], number, &plan.views[row], pixels);
            }
        }
    }
    let rows = table.rows();
    write_new(&args.out, &table.serialize(view.size as usize)?)?;
    print(format_args!("{}: {rows} views of {samples} samples", args.out.display()))?;
    Ok(Outcome::Done)
}

/// The columns of the file, row after row.
#[derive(Default)]
struct Table {
    integers: HashMap<&'static str, Vec<i64>>,
    factors: HashMap<&'static str, Vec<f32>>,
    views: Vec<u8>,
}

impl Table {
    fn push(&mut self, sample: u32, view: usize, plan: &ViewPlan, pixels: &[u8]) {
        let mut order: Vec<i64> = plan.colour_ops().map(|op| op as i64).collect();
        order.resize(4, -1);
        let crop = [plan.crop.x, plan.crop.y, plan.crop.width, plan.crop.height];
        let integers = [
            ("sample", vec![sample.into()]),
            ("view", vec![view as i64]),
            ("crop", crop.map(i64::from).to_vec()),
            ("mirror", vec![plan.mirror().into()]),
            ("turns", vec![plan.quarter_turns().into()]),
            ("order", order),
            ("gray", vec![plan.gray().into()]),
        ];
        for (name, values) in integers {
            self.integers.entry(name).or_default().extend(values);
        }
        let factors = [
            ("brightness", plan.brightness),
            ("contrast", plan.contrast),
            ("saturation", plan.saturation),
            ("hue", plan.hue),
            ("blur_sigma", plan.blur_sigma),
        ];
        for (name, value) in factors {
            self.factors.entry(name).or_default().push(value);
        }
        self.views.extend(pixels);
    }

    fn rows(&self) -> usize {
        self.integers.get("sample").map_or(0, Vec::len)
    }

    fn serialize(&self, side: usize) -> Result<Vec<u8>, Failure> {
        let rows = self.rows();
        // One column is a vector, several are a matrix.
        let shape = |values: usize| if values == rows { vec![rows] } else { vec![rows, values / rows] };
        let mut columns = vec![("views", Dtype::U8, vec![rows, 3, side, side], self.views.clone())];
        for (name, values) in &self.integers {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            columns.push((name, Dtype::I64, shape(values.len()), bytes));
        }
        for (name, values) in &self.factors {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            columns.push((name, Dtype::F32, vec![rows], bytes));
        }
        let tensors = columns.iter().map(|(name, dtype, shape, bytes)| {
            TensorView::new(*dtype, shape.clone(), bytes).map(|tensor| (name.to_string(), tensor))
        });
        let tensors = tensors.collect::<Result<Vec<_>, _>>()?;
        Ok(serialize(tensors, None)?)
    }
}
