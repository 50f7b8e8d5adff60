//! Time: of the device by its events, of the process by the system.

use std::time::Duration;

use metacl::gpu::GpuError;

use crate::{Bench, Outcome};

/// Runs that do not count: clocks rise, memory is touched for the first time.
const WARM: usize = 3;

/// Milliseconds of device time that what `queue` queues takes, the median; `queue` is told which set is next.
pub(crate) fn median_ms(bench: &Bench, mut queue: impl FnMut(usize) -> Result<(), GpuError>) -> Outcome<f64> {
    let gpu = bench.engine.gpu();
    let cold = gpu.allocate(bench.scale.cold)?;
    let (start, end) = (gpu.timed_event()?, gpu.timed_event()?);
    let mut times = Vec::new();
    for run in 0..WARM + bench.scale.times {
        // While this runs, the host queues the rest: what follows is timed without waiting for the host, and with cold caches.
        // SAFETY: the buffer lives until the event below has passed.
        unsafe { bench.stream.fill(&cold, 0, run as u8, cold.len()) }?;
        bench.stream.record(&start)?;
        queue(run % bench.scale.sets)?;
        bench.stream.record(&end)?;
        end.synchronize()?;
        times.push(f64::from(end.elapsed_ms(&start)?));
    }
    Ok(median(times.split_off(WARM)))
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Bytes read and written in a nanosecond by a copy within the device's memory.
pub(crate) fn copy_gb_per_s(bench: &Bench) -> Outcome<f64> {
    let (gpu, bytes) = (bench.engine.gpu(), bench.scale.copied);
    let (from, to) = (gpu.allocate(bytes)?, gpu.allocate(bytes)?);
    // SAFETY: both buffers live until `median_ms` has waited for the last copy.
    unsafe { bench.stream.fill(&from, 0, 1, bytes) }?;
    // SAFETY: as above.
    let ms = median_ms(bench, |_| unsafe { bench.stream.copy_on_device((&to, 0), (&from, 0), bytes) })?;
    Ok(2.0 * bytes as f64 / ms / 1e6)
}

/// CPU time of all threads of this process.
pub(crate) fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a place for one `timespec`.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
