//! What bounds a run, in words, and what to change.

use metacl::shard::Codec;

use super::report::{Report, Shares};
use super::text;

/// Below this share of the workers' time the CPU was not what they lacked.
const IDLE: f64 = 0.85;
/// Reads from the disk that can hold workers up: 100 pages a thousand samples.
const FAULTS_PER_SAMPLE: f64 = 0.1;

pub(super) fn verdict(report: &Report) -> String {
    let rate = text::thousands(report.samples_per_second().round() as u64);
    format!("{}; a trainer that takes fewer than {rate} samples/s never waits", bound(report))
}

fn bound(report: &Report) -> String {
    let Shares { decode, render, .. } = report.shares();
    let faults = report.used.major_faults as f64 / report.stats.images.max(1) as f64;
    if report.utilisation() < IDLE && faults > FAULTS_PER_SAMPLE {
        let read = text::bytes((report.used.disk_bytes as f64 / report.seconds) as u64);
        return format!(
            "bound by the disk ({read}/s): the shards are not in the page cache; run again, add memory, use a faster disk or \
             smaller records (`convert --max-side`)"
        );
    }
    if report.utilisation() < IDLE {
        let used = 100.0 * report.utilisation();
        return format!(
            "the workers had {used:.0} % of their cores: other programs share them, or --workers exceeds the cores; go by \
             CPU-seconds"
        );
    }
    if render >= decode {
        return format!("bound by rendering views ({:.0} % of the work): add cores", share(render, decode));
    }
    let percent = share(decode, render);
    let jpeg = report.stores.get(&Codec::Jpeg).copied().unwrap_or(0);
    if 2 * jpeg > report.stores.values().sum::<u64>() {
        return format!("bound by decoding JPEG ({percent:.0} % of the work): convert with `--store coef`");
    }
    format!("bound by decoding ({percent:.0} % of the work): add cores, or shrink large photos (`convert --max-side`)")
}

fn share(part: f64, other: f64) -> f64 {
    100.0 * part / (part + other).max(f64::MIN_POSITIVE)
}
