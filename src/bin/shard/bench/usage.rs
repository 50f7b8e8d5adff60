//! What this process has used, as the system counts it.

use std::fs;
use std::mem::MaybeUninit;

/// CPU time and reads of the whole process.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// User and system time of all threads, in seconds.
    pub(super) cpu: f64,
    /// Pages that had to come from the disk while somebody waited.
    pub(super) major_faults: u64,
    /// Bytes read from the disk.
    pub(super) disk_bytes: u64,
}

impl Usage {
    pub(super) fn now() -> Self {
        let mut usage = MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: the pointer is valid for one `rusage`, which is plain numbers, so zeroes are a value of it even if the call fails.
        let usage = unsafe {
            libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
            usage.assume_init()
        };
        let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
        Self {
            cpu: seconds(usage.ru_utime) + seconds(usage.ru_stime),
            major_faults: usage.ru_majflt as u64,
            disk_bytes: usage.ru_inblock as u64 * 512,
        }
    }

    pub(super) fn since(&self, before: &Usage) -> Self {
        Self {
            cpu: self.cpu - before.cpu,
            major_faults: self.major_faults - before.major_faults,
            disk_bytes: self.disk_bytes - before.disk_bytes,
        }
    }
}

/// CPU time of the calling thread, in seconds.
pub(super) fn thread_cpu() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is valid for one `timespec`; where the clock is missing it stays zero.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Resident memory in bytes; zero where the system does not tell (it is Linux's /proc/self/status).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Memory {
    /// Anonymous: the program's own, which nobody can take back.
    pub(super) anonymous: u64,
    /// Pages of mapped files, shards above all: cache that the system takes back when it needs room.
    pub(super) mapped: u64,
}

impl Memory {
    pub(super) fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
            kilobytes.unwrap_or(0) * 1024
        };
        Self { anonymous: field("RssAnon"), mapped: field("RssFile") }
    }

    pub(super) fn most(self, other: Self) -> Self {
        Self { anonymous: self.anonymous.max(other.anonymous), mapped: self.mapped.max(other.mapped) }
    }
}
