//! A bar on a terminal, a line every few seconds elsewhere; always to standard error.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::text;

const EVERY: Duration = Duration::from_secs(5);

/// Progress of one split.
pub(super) struct Progress {
    name: String,
    from: u64,
    done: u64,
    count: u64,
    start: Instant,
    said: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Starts counting from `from` to `count` samples of `name`.
    pub(super) fn new(name: &str, from: u64, count: u64) -> Self {
        let now = Instant::now();
        let bar = std::io::stderr().is_terminal().then(|| {
            let template = "{prefix} [{bar:30}] {human_pos} of {human_len} samples, {per_sec}, {eta} left";
            let style = ProgressStyle::with_template(template).expect("the template is well formed");
            let bar = ProgressBar::new(count).with_style(style.progress_chars("=> ")).with_prefix(name.to_owned());
            bar.with_position(from)
        });
        Self { name: name.to_owned(), from, done: from, count, start: now, said: now, bar }
    }

    /// One more sample is through.
    pub(super) fn advance(&mut self) {
        self.done += 1;
        if let Some(bar) = &self.bar {
            bar.inc(1);
        } else if self.said.elapsed() >= EVERY {
            self.said = Instant::now();
            let rate = self.rate();
            let left = (self.count - self.done) as f64 / rate;
            let [done, count] = [self.done, self.count].map(text::thousands);
            eprintln!("{}: {done} of {count} samples, {rate:.0}/s, {left:.0} s left", self.name);
        }
    }

    /// Ends the display; samples a second.
    pub(super) fn finish(self) -> f64 {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.rate()
    }

    fn rate(&self) -> f64 {
        (self.done - self.from) as f64 / self.start.elapsed().as_secs_f64().max(1e-9)
    }
}
