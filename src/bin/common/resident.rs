//! What of a program's memory the system holds.

use std::fs;

/// Resident memory in bytes; zero where the system does not tell (it is Linux's /proc/self/status).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Anonymous: the program's own, which nobody can take back.
    pub(crate) anonymous: u64,
    /// Pages of mapped files, shards above all: cache that the system takes back when it needs room.
    pub(crate) mapped: u64,
}

impl Memory {
    pub(crate) fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
            kilobytes.unwrap_or(0) * 1024
        };
        Self { anonymous: field("RssAnon"), mapped: field("RssFile") }
    }

    pub(crate) fn most(self, other: Self) -> Self {
        Self { anonymous: self.anonymous.max(other.anonymous), mapped: self.mapped.max(other.mapped) }
    }
}
