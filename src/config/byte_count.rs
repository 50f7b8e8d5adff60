//! Numbers of bytes, the way people write them.

use super::value::Value;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl Value for Bytes {
    const ACCEPTS: &'static str = "bytes, like 512M or 32G";

    fn parse(text: &str) -> Option<Self> {
        parse_bytes(text).ok().map(Self)
    }

    fn show(&self) -> String {
        let units = [(30, "G"), (20, "M"), (10, "K")];
        match units.into_iter().find(|(shift, _)| self.0 > 0 && self.0.trailing_zeros() >= *shift) {
            Some((shift, unit)) => format!("{}{unit}", self.0 >> shift),
            None => self.0.to_string(),
        }
    }
}

/// `512`, `64K`, `512M`, `2G` (powers of 1024) to bytes.
///
/// # Errors
/// What is wrong with the text.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        "T" | "TB" | "TIB" => 40,
        unit => return Err(format!("unit `{unit}` is none of K, M, G, T")),
    };
    let number: u64 = digits.parse().map_err(|_| "not a number of bytes like 512M or 2G".to_owned())?;
    number
        .checked_mul(1 << shift)
        .filter(|&bytes| bytes > 0)
        .ok_or_else(|| "must be at least 1 and below 2^64 bytes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_counts_are_read_and_shown() {
        assert_eq!(parse_bytes("512M"), Ok(512 << 20));
        assert_eq!(parse_bytes("2g"), Ok(2 << 30));
        assert_eq!(parse_bytes("4096"), Ok(4096));
        for bad in ["", "M", "0", "-1", "1.5G", "12X", "99999999999G"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
        for (bytes, text) in [(32 << 30, "32G"), (3 << 20, "3M"), (1025, "1025"), (5 << 40, "5120G")] {
            assert_eq!(Bytes(bytes).show(), text);
            assert_eq!(Bytes::parse(text), Some(Bytes(bytes)));
        }
    }
}
