//! Few-shot evaluation: labelled episodes on frozen features of the held-out images.

use serde::Serialize;

use super::parts::embed_spec;
use super::subject::{saved_encoder, spec, stem_note, subject};
use super::{Data, Given, no_test, ranks};
use crate::config::{Config, FewShotHead};
use crate::eval::few_shot::{self, Episodes, Solver, Task};
use crate::eval::{EvalError, Interval, embed};
use crate::nn::Mode;
use crate::shard::{NO_LABEL, ShardSet};
use crate::train::{Console, Position, TrainError};

/// `summary.json` of a few-shot evaluation.
#[derive(Serialize)]
struct Summary {
    ways: u32,
    eval_queries: u32,
    episodes: u64,
    seed: u64,
    /// What the heads see.
    features: &'static str,
    results: Vec<Row>,
}

/// A head and a number of shots.
#[derive(Clone, Serialize)]
struct Row {
    head: &'static str,
    shots: u32,
    #[serde(flatten)]
    accuracy: Interval,
}

pub(super) fn evaluate(given: Given<'_>, console: Console) -> Result<(), TrainError> {
    let Given { loaded, logs, place, storage, comm, .. } = given;
    let (config, device) = (&loaded.config, place.device);
    let test = Data::held_out(config, storage)?.ok_or_else(|| no_test(config))?;
    check(config, &test)?;
    let saved = saved_encoder(config)?;
    let spec = spec(config, saved.as_ref())?;

    let sources: Vec<_> = saved.iter().map(|saved| ("encoder", saved.digest.clone())).collect();
    let mut records = ranks::records(loaded, console, logs, test.identity(), &sources, &**comm)?;
    place.introduce(&mut records)?;
    let seed = records.seed();
    let subject = subject(config, saved.as_ref(), seed, device)?;
    let (name, images) = (spec.arch.name(), test.len());
    let classes = test.classes().len();
    records.say(&format!("{name} on {device:?}; episodes of {images} held-out images of {classes} classes"));
    if let Some(note) = stem_note(config, spec) {
        records.say(&note);
    }
    let spec = embed_spec(config, seed, &place.feeder, comm)?;
    let embedding = embed(&test, &spec, |images| subject.features(images, Mode::Eval))?;

    let mut rows = Vec::new();
    for &shots in &config.shots {
        for solver in solvers(config) {
            let accuracy = few_shot::evaluate(&embedding, task(config, shots), seed, config.episodes, solver, &**comm)?;
            rows.push(Row { head: solver.name(), shots, accuracy });
        }
    }
    let mut position = Position::default();
    records.begin(&position, 1)?;
    records.evaluation_line(&mut position, || Ok(rows.iter().flat_map(|row| metrics(config.ways, row)).collect()))?;
    for line in table(config, &rows) {
        records.say(&line);
    }
    records.list_corrupt(&**comm)?;
    records.other_summary(&Summary {
        ways: config.ways,
        eval_queries: config.eval_queries,
        episodes: config.episodes,
        seed,
        features: "before the projector, length 1, not centred",
        results: rows,
    })
}

fn task(config: &Config, shots: u32) -> Task {
    Task { ways: config.ways as usize, shots: shots as usize, queries: config.eval_queries as usize }
}

fn solvers(config: &Config) -> Vec<Solver> {
    match config.few_shot_head {
        FewShotHead::Pn => vec![Solver::Proto],
        FewShotHead::R2d2 => vec![Solver::Ridge { reg: config.reg }],
        FewShotHead::Svm => vec![Solver::Machine],
        FewShotHead::Logistic => vec![Solver::Logistic],
        FewShotHead::All => Solver::all(config.reg).into(),
    }
}

/// Refuses before the images are embedded what their labels cannot give.
fn check(config: &Config, test: &ShardSet) -> Result<(), TrainError> {
    let labels = (0..test.len()).map(|sample| test.info(sample).map(|info| info.label));
    let labels = labels.collect::<Result<Vec<_>, _>>()?;
    let known: Vec<i64> = labels.into_iter().filter(|&label| label != NO_LABEL).map(i64::from).collect();
    for &shots in &config.shots {
        Episodes::new(&known, task(config, shots), 0).map_err(EvalError::from)?;
    }
    Ok(())
}

fn metrics(ways: u32, row: &Row) -> Vec<(String, f64)> {
    let name = format!("few_shot_{}_{ways}w{}s", row.head.to_ascii_lowercase(), row.shots);
    let width = row.accuracy.ci95.map(|half| (format!("{name}_ci95"), half));
    [(name, row.accuracy.mean)].into_iter().chain(width).collect()
}

/// One line a head, one column a number of shots.
fn table(config: &Config, rows: &[Row]) -> Vec<String> {
    let head = format!("{}-way, {} episodes", config.ways, config.episodes);
    let columns: String = config.shots.iter().map(|shots| format!("{:>20}", format!("{shots}-shot"))).collect();
    let mut lines = vec![format!("{head:<24}{columns}")];
    for solver in solvers(config) {
        let own = rows.iter().filter(|row| row.head == solver.name());
        let cells: String = own.map(|row| format!("{:>20}", row.accuracy.percent())).collect();
        lines.push(format!("{:<24}{cells}", solver.name()));
    }
    lines
}
