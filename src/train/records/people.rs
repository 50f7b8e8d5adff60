//! What a run leaves for people beside its numbers: where it ran, what it saw, its page, and what names it in a table.

use std::path::Path;
use std::time::Instant;

use super::{DATA, Position, Records};
use crate::atomic;
use crate::config::Value;
use crate::train::log::LogError;
use crate::train::{TrainError, report};

impl Records {
    /// Writes down what the report shows beside numbers: `environment`, and the picture of `views` at the start of a run, or where it is
    /// missing.
    ///
    /// # Errors
    /// Where a file cannot be written; what `views` finds.
    pub fn surroundings(
        &mut self,
        position: &Position,
        environment: serde_json::Value,
        views: impl FnOnce() -> Result<Vec<u8>, TrainError>,
    ) -> Result<(), TrainError> {
        if self.following.is_some() {
            return Ok(());
        }
        let folder = self.run.path();
        let failed = |path: &Path, reason| LogError::Io { path: path.to_owned(), reason };
        let path = folder.join(report::ENVIRONMENT);
        atomic::replace_text(&path, &format!("{environment:#}\n")).map_err(|reason| failed(&path, reason))?;
        let path = folder.join(report::VIEWS);
        if self.config.report && (position.iter == 0 || !path.exists()) {
            let png = views()?;
            atomic::replace(&path, |partial| std::fs::write(partial, &png)).map_err(|reason| failed(&path, reason))?;
        }
        self.clock.since = Instant::now();
        Ok(())
    }

    /// What tells this run from others in a table, and its last test pass.
    pub(super) fn about(&self, position: &Position) -> serde_json::Map<String, serde_json::Value> {
        let config = &self.config;
        let mut about = serde_json::Map::new();
        let words = [
            ("run", self.run.path().display().to_string()),
            ("name", config.name.clone()),
            ("problem", config.problem.show()),
            ("arch", config.arch.show()),
            ("head", config.objective_name()),
            ("data", self.sources.get(DATA).cloned().unwrap_or_default()),
        ];
        about.extend(words.map(|(key, value)| (key.to_owned(), value.into())));
        let numbers = [("seed", Some(self.seed())), ("iters", config.iters), ("batch_size", Some(config.batch_size))];
        about.extend(numbers.map(|(key, value)| (key.to_owned(), value.into())));
        let tested = position.evaluated.iter().filter(|(name, _)| name.starts_with("test_"));
        about.extend(tested.map(|(name, value)| (name.clone(), (*value).into())));
        about
    }

    /// Draws the page, where the config wants one. The run is done and written down; a page that cannot be drawn does not undo that.
    pub(super) fn report(&mut self) {
        if self.config.report {
            match report::write(self.run.path()) {
                Ok(path) => self.say(&format!("report: {}", path.display())),
                Err(reason) => self.say(&format!("note: no report: {reason}")),
            }
        }
    }
}
