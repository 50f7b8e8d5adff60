//! `metacl-shard preview`: the views of some samples on one picture.

use std::path::PathBuf;
use std::sync::Arc;

use metacl::episode::Order;
use metacl::loader::{LoadError, LoaderOptions, load_views};
use metacl::shard::Storage;
use metacl::sheet::Sheet;

use super::extract::write_new;
use super::recipe::Source;
use super::text::{count, one_line, print};
use super::{Failure, Outcome};

/// Most views on a sheet.
const MOST: u64 = 4096;

/// Write the views of some samples to a PNG file
///
/// A contact sheet of what an encoder would see: for each sample of a shuffled batch its views as training draws them, by the loader's
/// own path, in a frame that tells support (blue) from query (orange), under the name of its class. Views of up to 96 px are
/// magnified by whole factors, larger ones shrunk. Recipes are those of `views`; --views repeats a recipe's policy. An existing FILE
/// is not overwritten.
///
/// Example: metacl-shard preview data/cifar10 --recipe cifar --views 4 --n-supp 2 --out look.png
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,
    /// Views of a sample [default: the recipe's]
    #[arg(long, value_name = "V", value_parser = clap::value_parser!(u32).range(1..=256))]
    views: Option<u32>,
    /// How many of them are support; 0: no roles
    #[arg(long, alias = "n_supp", value_name = "S", default_value_t = 1)]
    n_supp: u32,
    /// How many samples
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=4096))]
    images: u32,
    /// PNG file to write; an existing one is not overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(super) fn run(args: &Args, storage: &Storage) -> Result<Outcome, Failure> {
    let set = Arc::new(args.source.place(storage)?.open()?);
    let recipe = args.source.recipe.recipe();
    let mut policies = recipe.views();
    let views = args.views.map_or(policies.len(), |views| views as usize);
    policies = policies.iter().copied().cycle().take(views).collect();
    let images = u64::from(args.images).min(set.len()) as u32;
    if u64::from(images) * views as u64 > MOST {
        return Err(Failure::Usage(format!("{images} images of {views} views are more than {MOST}: give fewer")));
    }
    let n_supp = (args.n_supp > 0).then_some(args.n_supp as usize);
    let order = Order::Shuffled { seed: args.source.seed };
    let planner = args.source.planner(set.len(), images, order, policies)?;
    let mut sheet = Sheet::new(recipe.spec().size);
    let options = LoaderOptions { limits: args.source.limits(), ..LoaderOptions::default() };
    for batch in load_views(set.clone(), planner, options, 0..1)? {
        let batch = batch.map_err(|error: LoadError| Failure::Failed(error.to_string()))?;
        sheet.add(&batch, usize::MAX, n_supp, set.classes());
    }
    write_new(&args.out, &sheet.png()?)?;
    let (out, images) = (args.out.display().to_string(), count(images.into(), "sample"));
    print(format_args!("{}: {images}, {views} views each", one_line(&out)))?;
    Ok(Outcome::Done)
}
