//! The figures of a run, as text and as JSON.

use std::collections::BTreeMap;

use metacl::augment::ViewSpec;
use metacl::loader::LoaderStats;
use metacl::shard::Codec;
use serde_json::{Value, json};

use super::usage::Usage;
use super::verdict::verdict;
use super::{ExecutorName, VerifyName, text};
use crate::resident::Memory;
use crate::shard::recipe::RecipeName;

/// Everything that was measured.
pub(super) struct Report {
    pub(super) stats: LoaderStats,
    /// Wall time.
    pub(super) seconds: f64,
    /// CPU time without the digest's.
    pub(super) cpu: f64,
    pub(super) used: Usage,
    pub(super) memory: Memory,
    pub(super) workers: usize,
    pub(super) stores: BTreeMap<Codec, u64>,
    pub(super) view: ViewSpec,
    pub(super) verify: VerifyName,
    pub(super) executor: ExecutorName,
    pub(super) recipe: RecipeName,
    pub(super) seed: u64,
    pub(super) kernels: &'static str,
}

/// Where the workers' time went, as shares of it.
pub(super) struct Shares {
    pub(super) decode: f64,
    pub(super) render: f64,
    pub(super) wait: f64,
}

impl Report {
    pub(super) fn samples_per_second(&self) -> f64 {
        self.stats.images as f64 / self.seconds
    }

    fn samples_per_cpu_second(&self) -> f64 {
        self.stats.images as f64 / self.cpu
    }

    /// CPU time as a share of what the workers could have used.
    pub(super) fn utilisation(&self) -> f64 {
        self.used.cpu / (self.seconds * self.workers as f64)
    }

    pub(super) fn shares(&self) -> Shares {
        let [decode, render, wait] = [self.stats.decode_busy, self.stats.render_busy, self.stats.worker_wait]
            .map(|duration| duration.as_secs_f64());
        let all = (decode + render + wait).max(f64::MIN_POSITIVE);
        Shares { decode: decode / all, render: render / all, wait: wait / all }
    }

    pub(super) fn text(&self) -> String {
        let Shares { decode, render, wait } = self.shares();
        let stores: Vec<String> = self.stores.iter().map(|(codec, n)| format!("{} {}", n, codec.name())).collect();
        let thousands = |value: f64| text::thousands(value.round() as u64);
        [
            format!(
                "{} samples, {} views of {} px, {} workers, {} kernels, stored as {}",
                text::thousands(self.stats.images),
                text::thousands(self.stats.views),
                self.view.size,
                self.workers,
                self.kernels,
                stores.join(", ")
            ),
            format!(
                "{} samples/s, {} views/s in {:.2} s",
                thousands(self.samples_per_second()),
                thousands(self.stats.views as f64 / self.seconds),
                self.seconds
            ),
            format!(
                "{} samples per CPU-second ({:.3} CPU-seconds per 1000 samples)",
                thousands(self.samples_per_cpu_second()),
                1000.0 / self.samples_per_cpu_second()
            ),
            format!(
                "workers: read and decode {:.0} %, render {:.0} %, wait {:.0} %",
                100.0 * decode,
                100.0 * render,
                100.0 * wait
            ),
            format!(
                "memory: {} of its own at most, and {} of mapped shards; {} read from the disk",
                text::bytes(self.memory.anonymous),
                text::bytes(self.memory.mapped),
                text::bytes(self.used.disk_bytes)
            ),
            format!("verdict: {}", verdict(self)),
        ]
        .join("\n")
    }

    pub(super) fn json(&self, digest: u128) -> Value {
        let Shares { decode, render, wait } = self.shares();
        let stores: BTreeMap<&str, u64> = self.stores.iter().map(|(codec, count)| (codec.name(), *count)).collect();
        let name = |value: &dyn std::fmt::Debug| format!("{value:?}").to_lowercase();
        json!({
            "recipe": name(&self.recipe),
            "executor": name(&self.executor),
            "kernels": self.kernels,
            "verify": name(&self.verify),
            "seed": self.seed,
            "workers": self.workers,
            "stores": stores,
            "samples": self.stats.images,
            "views": self.stats.views,
            "seconds": self.seconds,
            "samples_per_s": self.samples_per_second(),
            "views_per_s": self.stats.views as f64 / self.seconds,
            "cpu_s": self.cpu,
            "cpu_s_per_1000_samples": 1000.0 / self.samples_per_cpu_second(),
            "samples_per_cpu_s": self.samples_per_cpu_second(),
            "peak_rss_bytes": self.memory.anonymous,
            "mapped_bytes": self.memory.mapped,
            "disk_bytes": self.used.disk_bytes,
            "major_faults": self.used.major_faults,
            "worker_share": { "decode": decode, "render": render, "wait": wait },
            "plan_us_per_sample": self.stats.plan_busy.as_secs_f64() * 1e6 / self.stats.images.max(1) as f64,
            "verdict": verdict(self),
            "digest": format!("{digest:032x}"),
        })
    }
}
