//! An evaluation under several seeds: one run for each, in folders of its own, and what they come to together.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::rc::Rc;

use serde::Serialize;

use super::linear::Bench;
use super::{Given, ranks};
use crate::config::{Config, Loaded};
use crate::eval::Interval;
use crate::train::task::Metrics;
use crate::train::{Console, TrainError};

/// `summary.json` over all seeds.
#[derive(Serialize)]
struct Summary {
    seeds: Vec<u64>,
    #[serde(flatten)]
    metrics: BTreeMap<String, OverSeeds>,
}

/// One number of every run.
#[derive(Serialize)]
struct OverSeeds {
    #[serde(flatten)]
    interval: Interval,
    values: Vec<f64>,
}

/// One console for the runs of all seeds.
#[derive(Clone)]
struct Shared(Rc<RefCell<Box<dyn Write>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.borrow_mut().flush()
    }
}

/// Evaluates under `seeds` seeds, from `seed` on. The runs lie in `runs/seed-N` of the run's folder, where each goes on by itself.
pub(super) fn evaluate(given: Given<'_>, console: Console) -> Result<(), TrainError> {
    let Given { loaded, logs, place, storage, comm, stop } = given;
    let config = &loaded.config;
    let bench = Bench::open(config, place, storage, comm)?;
    if config.seeds == 1 {
        return bench.run(loaded, console, logs, stop).map(drop);
    }
    let (out, is_terminal) = (Shared(Rc::new(RefCell::new(console.out))), console.is_terminal);
    let console = || Console { out: Box::new(out.clone()), is_terminal };
    let mut records = ranks::records(loaded, console(), logs, bench.identity(), &[], &**comm)?;
    let seeds: Vec<u64> = (0..config.seeds).map(|more| records.seed().wrapping_add(more)).collect();
    let mut found = Vec::new();
    for &seed in &seeds {
        let config =
            Config { seed: Some(seed), seeds: 1, run_id: Some(format!("seed-{seed}")), tmp: false, ..config.clone() };
        let one = Loaded { config, name: String::new(), notes: Vec::new() };
        let position = bench.run(&one, console(), records.path(), stop)?;
        if !config_ended(&one.config, position.iter) {
            return Ok(());
        }
        found.push(position.evaluated);
    }
    let metrics = over_seeds(&found);
    for (name, over) in &metrics {
        let Interval { mean, std, ci95 } = over.interval;
        let width = std.zip(ci95).map_or(String::new(), |(std, half)| format!(", std {std:.4}, 95 % +- {half:.4}"));
        records.say(&format!("{name} over {} seeds: {mean:.4}{width}", seeds.len()));
    }
    records.other_summary(&Summary { seeds, metrics })
}

fn config_ended(config: &Config, iter: u64) -> bool {
    config.eval_only || config.iters == Some(iter)
}

/// Every number that all runs have, over the runs.
fn over_seeds(found: &[Metrics]) -> BTreeMap<String, OverSeeds> {
    let names = found.first().into_iter().flatten().map(|(name, _)| name);
    let of = |name: &String| {
        let value = |metrics: &Metrics| metrics.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
        let values: Option<Vec<f64>> = found.iter().map(value).collect();
        values.map(|values| (name.clone(), OverSeeds { interval: Interval::of_few(&values), values }))
    };
    names.filter_map(of).collect()
}
