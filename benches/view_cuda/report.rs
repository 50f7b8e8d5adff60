//! Figures as a table, and as JSON for tools/gpu_check.

use serde_json::{Value, json};

/// One figure.
struct Row {
    what: String,
    figure: f64,
    unit: &'static str,
    /// What it should reach.
    least: Option<f64>,
}

/// All figures of a run.
pub(crate) struct Report {
    card: String,
    copy_gb_per_s: f64,
    rows: Vec<Row>,
    /// For those who compare with other libraries.
    pub(crate) simclr_views_per_s: Option<f64>,
}

impl Report {
    pub(crate) fn new(card: String, copy_gb_per_s: f64) -> Self {
        Self { card, copy_gb_per_s, rows: Vec::new(), simclr_views_per_s: None }
    }

    pub(crate) fn add(&mut self, what: String, figure: f64, unit: &'static str) {
        self.rows.push(Row { what, figure, unit, least: None });
    }

    pub(crate) fn expect(&mut self, what: String, figure: f64, unit: &'static str, least: f64) {
        self.rows.push(Row { what, figure, unit, least: Some(least) });
    }

    /// Bytes moved in `ms` milliseconds, as a share of what a copy moves; `least` of it, in percent, is asked for.
    pub(crate) fn floor(&mut self, what: &str, counted: &str, bytes: u64, ms: f64, least: Option<f64>) {
        let gb_per_s = bytes as f64 / ms / 1e6;
        self.add(format!("{what}: {counted}"), bytes as f64 / 1e6, "MB");
        let share = 100.0 * gb_per_s / self.copy_gb_per_s;
        self.rows.push(Row { what: format!("{what}: of the memory floor's speed"), figure: share, unit: "%", least });
    }

    pub(crate) fn print(&self, with_json: bool) {
        println!("{}, copies {:.0} GB/s within its memory (read and written)", self.card, self.copy_gb_per_s);
        let widest = self.rows.iter().map(|row| row.what.len()).max().unwrap_or(0);
        for Row { what, figure, unit, least } in &self.rows {
            let digits = if figure.abs() >= 100.0 { 0 } else { 2 };
            let met = least.map_or_else(String::new, |least| {
                format!("   {} {least}", if *figure >= least { "at least" } else { "MISSES" })
            });
            println!("{what:widest$} {figure:>14.digits$} {unit}{met}");
        }
        if with_json {
            println!("{}", self.json());
        }
    }

    fn json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(Row::json).collect();
        json!({
            "card": self.card,
            "copy_gb_per_s": self.copy_gb_per_s,
            "rows": rows,
            "simclr_views_per_s": self.simclr_views_per_s,
        })
    }
}

impl Row {
    fn json(&self) -> Value {
        let mut row = json!({ "what": self.what, "figure": self.figure, "unit": self.unit });
        if let Some(least) = self.least {
            row["least"] = json!(least);
        }
        row
    }
}
