//! The line that a person watches.

use std::fmt;
use std::io::{self, Write};

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Steps done.
    pub iter: u64,
    /// Steps in all.
    pub iters: u64,
    /// Images per second.
    pub images_per_s: f64,
    /// Share of the time spent waiting for data, 0..=1.
    pub data_wait_share: f64,
    /// The loss.
    pub loss: f64,
    /// The learning rate.
    pub lr: f64,
    /// Seconds per step, from which the time left follows.
    pub seconds_per_iter: f64,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.iters.saturating_sub(self.iter) as f64 * self.seconds_per_iter;
        write!(
            f,
            "{}/{}  {:.0} images/s  data wait {:.0} %  loss {:.4}  lr {:.3e}  ETA {}",
            self.iter,
            self.iters,
            self.images_per_s,
            100.0 * self.data_wait_share,
            self.loss,
            self.lr,
            duration(left)
        )
    }
}

/// `75` is `0:01:15`, two days `2 d 00:00:00`; what is no time is `?`.
pub fn duration(seconds: f64) -> String {
    if !(seconds.is_finite() && seconds >= 0.0) {
        return "?".to_owned();
    }
    // Saturates: more than a u64 of seconds is no time either.
    let seconds = seconds.round() as u64;
    let (days, hours, minutes, seconds) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    match days {
        0 => format!("{hours}:{minutes:02}:{seconds:02}"),
        _ => format!("{days} d {hours:02}:{minutes:02}:{seconds:02}"),
    }
}

/// Prints progress: one line that is overwritten on a terminal, plain lines elsewhere.
#[derive(Debug)]
pub struct Reporter<W: Write> {
    out: W,
    is_terminal: bool,
    /// Whether the cursor stands behind an unfinished progress line.
    open: bool,
}

impl<W: Write> Reporter<W> {
    /// Prints to `out`.
    pub fn new(out: W, is_terminal: bool) -> Self {
        Self { out, is_terminal, open: false }
    }

    /// Shows `progress` in place of what was shown before.
    ///
    /// # Errors
    /// Where `out` refuses.
    pub fn show(&mut self, progress: &Progress) -> io::Result<()> {
        self.open = self.is_terminal;
        // Carriage return, text, erase to the end of the line.
        if self.is_terminal {
            write!(self.out, "\r{progress}\x1b[K")?
        } else {
            writeln!(self.out, "{progress}")?
        }
        self.out.flush()
    }

    /// Prints a line that stays.
    ///
    /// # Errors
    /// Where `out` refuses.
    pub fn say(&mut self, line: &str) -> io::Result<()> {
        let end = if std::mem::take(&mut self.open) { "\n" } else { "" };
        writeln!(self.out, "{end}{line}")?;
        self.out.flush()
    }

    /// Ends an unfinished progress line.
    ///
    /// # Errors
    /// Where `out` refuses.
    pub fn end_line(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.open) {
            writeln!(self.out)?;
        }
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_at_a_glance() {
        let rows = [(0.4, "0:00:00"), (75.0, "0:01:15"), (86_399.6, "1 d 00:00:00"), (93_784.0, "1 d 02:03:04")];
        for (seconds, text) in rows {
            assert_eq!(duration(seconds), text);
        }
        for nothing in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(duration(nothing), "?");
        }
    }

    #[test]
    fn a_terminal_line_is_overwritten_and_a_plain_one_is_not() {
        let progress = Progress {
            iter: 30,
            iters: 300,
            images_per_s: 1523.4,
            data_wait_share: 0.031,
            loss: 5.25,
            lr: 0.04,
            seconds_per_iter: 0.5,
        };
        let line = "30/300  1523 images/s  data wait 3 %  loss 5.2500  lr 4.000e-2  ETA 0:02:15";
        let shown = |is_terminal| {
            let mut reporter = Reporter::new(Vec::new(), is_terminal);
            reporter.show(&progress).unwrap();
            reporter.say("saved").unwrap();
            reporter.end_line().unwrap();
            String::from_utf8(reporter.out).unwrap()
        };
        assert_eq!(shown(false), format!("{line}\nsaved\n"));
        assert_eq!(shown(true), format!("\r{line}\x1b[K\nsaved\n"));
    }
}
