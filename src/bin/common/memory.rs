//! What both programs ask of the allocator.

/// Makes glibc keep freed memory for the next step or photo. Call it before any other thread exists.
///
/// By default large blocks go back to the system at once and come back as pages to be zeroed: a third of the time of a Conv-4 step
/// on two cores (590 against 830 images/s, 512 rows of 32 px), 8 % of that of a conversion to coefficients (90,000 against 2,600
/// page faults for 250 photos).
pub(crate) fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: sets two numbers of the allocator, before any other thread exists.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
}
