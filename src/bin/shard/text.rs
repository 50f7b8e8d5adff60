//! Reading and writing numbers the way people do; output that survives a closed pipe.

use std::fmt::Display;
use std::io::{self, Write};

use super::Failure;

/// Prints a line to standard output. A reader that has gone (`| head`) is no failure.
pub(super) fn print(line: impl Display) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("standard output: cannot be written ({error})")))
        }
        _ => Ok(()),
    }
}

/// Prints a value as JSON, indented.
pub(super) fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    print(format_args!("{value:#}"))
}

/// `text` without line breaks and tabs.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Bytes with a unit, three digits: `30.7 MB` (powers of 1000).
pub(super) fn bytes(count: u64) -> String {
    let units = ["bytes", "kB", "MB", "GB", "TB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = if unit == 0 || value >= 99.95 { 0 } else { 1 };
    format!("{value:.decimals$} {}", units[unit])
}

/// A count with its noun: `1 file`, `12,345 files`.
pub(super) fn count(number: u64, noun: &str) -> String {
    let plural = match noun {
        _ if number == 1 => noun.to_owned(),
        "class" => "classes".to_owned(),
        _ => format!("{noun}s"),
    };
    format!("{} {plural}", thousands(number))
}

/// `1234567` as `1,234,567`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written() {
        assert_eq!(bytes(999), "999 bytes");
        assert_eq!(bytes(30_720_000), "30.7 MB");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(count(1, "class"), "1 class");
        assert_eq!(count(0, "class"), "0 classes");
    }
}
