//! What this process has used, as the system counts it.

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
