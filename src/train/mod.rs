//! The loop, on one page: batch, forward, backward, step, log, save.
//!
//! - [`task`]: what can be trained. [`pretrain`]: encoder and objective on episodes, out of [`objective`], what is minimised, and [`step`],
//!   the loss as a list of weighted terms. [`linear_eval`]: a linear layer on an encoder.
//! - [`exchange`]: weights to and from other programs. [`setup`]: from a config to a run. [`labels`]: the labelled part of a dataset.
//!   [`judge`]: the table at the end.
//! - [`Records`]: folder, log, checkpoints, clock and console of a run, out of [`run_dir`], [`log`], [`checkpoint`], [`progress`];
//!   `csv`, `events`: their parts.
//! - [`report`]: the page that a run leaves.
//!
//! Not here: losses (`nn`), rates (`optim`), where batches come from (`loader`).

pub mod checkpoint;
mod csv;
mod error;
mod events;
pub mod exchange;
pub mod judge;
pub mod labels;
pub mod linear_eval;
pub mod log;
pub mod objective;
pub mod pretrain;
pub mod progress;
mod records;
pub mod report;
pub mod run_dir;
pub mod setup;
pub mod step;
pub mod task;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tch::{Device, Kind, Tensor};

pub use error::TrainError;
pub use records::{Console, Position, Records};
pub use setup::run;
use task::Task;

use crate::device::Feed;
use crate::dist::gradients::{BUCKET_BYTES, Sums};
use crate::dist::{Comm, Reduce};
use crate::optim::{Optimizer, Schedule};

/// How often things happen; all counts are micro-batches.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    /// Learning rate of each.
    pub schedule: Schedule,
    /// In all.
    pub iters: u64,
    /// To one update.
    pub accu_iter: u64,
    /// Average the gradients of an update; else they are summed, as published.
    pub accu_mean: bool,
    /// Between log lines and rolling checkpoints.
    pub log_freq: u64,
    /// Between test passes.
    pub eval_freq: u64,
    /// Between kNN evaluations besides those, if any.
    pub knn_freq: Option<u64>,
    /// Between numbered checkpoints.
    pub save_freq: u64,
}

/// Trains `task` on the batches of `loader` from `position` to the end, or until `stop` is set; returns where it stands.
///
/// # Errors
/// What the loader, the test pass and the run folder find, and [`TrainError::Diverged`] where the loss is no number any more.
#[allow(clippy::too_many_arguments, reason = "what a run is made of, no more")]
pub fn train(
    task: &dyn Task,
    optimizer: &mut Optimizer,
    mut feed: Feed,
    rhythm: &Rhythm,
    records: &mut Records,
    mut position: Position,
    comm: &Arc<dyn Comm>,
    stop: &AtomicBool,
) -> Result<Position, TrainError> {
    let device = task.state()[0].1.device();
    let sums = Sums::over(comm.clone(), optimizer.parameters(), BUCKET_BYTES);
    // Sums stay on the device: reading a number there would wait for it.
    let mut loss_sum = Tensor::from(position.loss_sum).to_device(device);
    optimizer.zero_grad();
    let (mut save_due, mut numbered_due) = (false, false);
    while let Some(batch) = feed.next() {
        let batch = batch?;
        let last = position.iter + 1 >= rhythm.iters;
        let updated = (position.iter + 1).is_multiple_of(rhythm.accu_iter) || last;
        let forward = task.forward(&batch)?;
        let share = if rhythm.accu_mean { 1.0 / rhythm.accu_iter as f64 } else { 1.0 };
        let loss = optimizer.scale(&forward.loss);
        if updated {
            sums.expect();
        }
        if share == 1.0 {
            loss.backward()
        } else {
            (loss * share).backward()
        }
        loss_sum += forward.loss.detach().to_kind(Kind::Double);
        position.iter += 1;
        position.loss_count += 1;

        let lr = rhythm.schedule.lr(position.iter - 1);
        if updated {
            sums.complete()?;
            optimizer.step(lr);
            task.updated(position.iter);
            optimizer.zero_grad();
        }
        records.count(batch.plan(), feed.stats().consumer_wait);
        drop(batch);

        let stopping = together(&**comm, stop.load(Ordering::Relaxed), device)?;
        let iter = position.iter;
        let due = |frequency: u64| iter.is_multiple_of(frequency) || last;
        if due(rhythm.log_freq) {
            records.list_corrupt(&**comm)?;
            position.loss_sum = loss_sum.double_value(&[]);
            records.train_line(&mut position, rhythm.iters, &forward, task.accuracy_name(), lr)?;
            loss_sum = Tensor::from(0.0).to_device(device);
        }
        // The pass at the end is always made; features are judged where a frequency asks for it.
        let (test, features) = (due(rhythm.eval_freq), iter.is_multiple_of(rhythm.eval_freq));
        let nearest = !features && rhythm.knn_freq.is_some_and(|frequency| iter.is_multiple_of(frequency));
        if test || nearest {
            feed.settle()?;
            records.evaluation_line(&mut position, || {
                let mut metrics = if test { task.evaluate(features)? } else { Vec::new() };
                if nearest {
                    metrics.extend(task.nearest()?);
                }
                Ok(metrics)
            })?;
        }
        // Between two updates half-summed gradients would be lost: a checkpoint waits for the next update.
        numbered_due |= due(rhythm.save_freq);
        save_due |= numbered_due || due(rhythm.log_freq) || stopping;
        if save_due && updated {
            feed.settle()?;
            position.loss_sum = loss_sum.double_value(&[]);
            if !position.loss_sum.is_finite() {
                return Err(TrainError::Diverged { iter, loss: position.loss_sum });
            }
            records.checkpoint(task, optimizer, &mut position, numbered_due)?;
            (save_due, numbered_due) = (false, false);
            if stopping && !last {
                records.say(&format!("stopped at iteration {}; the same command goes on from there", position.iter));
                break;
            }
        }
    }
    Ok(position)
}

/// Whether any rank was told to stop: they stop after the same step.
fn together(comm: &dyn Comm, stop: bool, device: Device) -> Result<bool, TrainError> {
    if comm.world().size() == 1 {
        return Ok(stop);
    }
    let mut told = Tensor::from(i64::from(stop)).to_device(device);
    comm.all_reduce(&mut told, Reduce::Max)?;
    Ok(told.int64_value(&[]) > 0)
}
