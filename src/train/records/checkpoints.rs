//! The run's checkpoints: what it goes on from, what it leaves.

use super::{DATA, Position, Records};
use crate::config::Value;
use crate::optim::Optimizer;
use crate::train::TrainError;
use crate::train::checkpoint::{self, Checkpoint, Meta, keep_last, numbered_path};
use crate::train::task::Task;

impl Records {
    /// The checkpoint to go on from, verified.
    ///
    /// # Errors
    /// Where it is damaged, of other data, or of another file that the run [depends on](Self::depends_on).
    pub fn newest_checkpoint(&mut self) -> Result<Option<Checkpoint>, TrainError> {
        let held = self.run.take_newest_checkpoint();
        let Some(path) = self.newest_path() else { return Ok(None) };
        let checkpoint = held.map_or_else(|| Checkpoint::read(path), Ok)?;
        checkpoint.expect_arch(&self.config.arch.show())?;
        for (&what, now) in &self.sources {
            let saved = checkpoint.meta.extra[what].as_str().unwrap_or_default();
            if saved != now {
                let (path, saved, now) = (path.to_owned(), saved.to_owned(), now.clone());
                return Err(match what {
                    DATA => TrainError::OtherData { path, saved, now },
                    _ => TrainError::Replaced { path, what, saved, now },
                });
            }
        }
        Ok(Some(checkpoint))
    }

    /// Where the run of `checkpoint` stands; says so.
    ///
    /// # Errors
    /// Where the checkpoint does not say.
    pub fn resume(&mut self, checkpoint: &Checkpoint) -> Result<Position, TrainError> {
        let position: Position = serde_json::from_value(checkpoint.meta.extra["position"].clone())
            .map_err(|reason| TrainError::Position { path: checkpoint.path.clone(), reason })?;
        self.say(&format!("resumed at iteration {} from {}", position.iter, checkpoint.path.display()));
        Ok(position)
    }

    /// Writes the rolling checkpoint, and the numbered one where `numbered`.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn checkpoint(
        &mut self,
        task: &dyn Task,
        optimizer: &Optimizer,
        position: &mut Position,
        numbered: bool,
    ) -> Result<(), TrainError> {
        self.book(position);
        if self.following.is_some() {
            return Ok(());
        }
        if let Some(log) = &self.log {
            // Lines up to a checkpoint last as long as the checkpoint.
            log.sync()?;
        }
        let mut extra = serde_json::json!({ "position": position });
        for (what, digest) in &self.sources {
            extra[*what] = digest.as_str().into();
        }
        let meta = Meta {
            iter: position.iter,
            arch: self.config.arch.show(),
            head: self.config.objective_name(),
            config_digest: format!("{:032x}", self.config.digest()),
            seed: self.seed(),
            extra,
        };
        let (folder, model, state) = (self.run.path(), task.state(), optimizer.state());
        if numbered {
            checkpoint::write(&numbered_path(folder, position.iter), &meta, &model, &state)?;
            keep_last(folder, usize::try_from(self.config.keep_checkpoints).unwrap_or(usize::MAX))?;
        }
        Ok(checkpoint::write_rolling(folder, &meta, &model, &state)?)
    }
}
