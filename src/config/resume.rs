//! What a run keeps when it goes on: which keys may differ from the saved config, and which may not.

use xxhash_rust::xxh3::xxh3_128;

use super::keys::Config;

/// Keys that may change between the start of a run and its resumption, each with the reason.
pub const MAY_CHANGE: &[(&str, &str)] = &[
    ("name", "a label"),
    ("run_id", "says which run, not what it does"),
    ("tmp", "says where the run lies"),
    ("fresh", "asks whether to resume"),
    ("dry_run", "asks, and runs nothing"),
    ("log_freq", "how often is looked, not what is done"),
    ("eval_freq", "evaluation leaves training as it is"),
    ("save_freq", "how often is saved, not what is done"),
    ("tensorboard", "what is written down, not what is done"),
    ("report", "what is written down, not what is done"),
    ("keep_checkpoints", "how much is kept"),
    ("eval_only", "evaluation leaves training as it is"),
    ("ckpt", "the run's own checkpoints come first"),
    ("final_eval", "evaluation leaves training as it is"),
    ("knn_freq", "evaluation leaves training as it is"),
    ("eval_samples", "evaluation leaves training as it is"),
    ("test_bs", "evaluation leaves training as it is"),
    ("data_path", "the dataset may have moved; its identity is checked by itself"),
    ("cache_dir", "where copies of the dataset are kept"),
    ("cache_size", "how much of the dataset is kept"),
    ("augment", "the same views, to the byte"),
    ("gpu_decode", "the same pixels"),
    ("kernel_cache", "where compiled code is kept"),
    ("channels_last", "speed; may change the rounding of sums"),
    ("corrupt", "whether a run goes on, not what it does"),
    ("max_corrupt", "whether a run goes on, not what it does"),
    ("verify", "what is looked at, not what is done"),
    ("max_pixels", "what is refused, not what is done"),
    ("workers", "batches do not depend on threads"),
    ("threads", "speed; may change the rounding of sums"),
    ("dist", "the batch is over all processes"),
    ("nproc", "the batch is over all processes"),
    ("dist_address", "where processes meet"),
    ("dist_timeout", "how long processes wait for each other"),
    ("node_rank", "which machine this is"),
    ("world_size", "the batch is over all processes"),
];

/// A key whose value is another than the saved one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The key.
    pub key: &'static str,
    /// Its value in the saved config, as YAML.
    pub saved: String,
    /// Its value now, as YAML.
    pub now: String,
}

impl Config {
    /// Keys that differ from `saved` and would make another run of it.
    pub fn differences(&self, saved: &Config) -> Vec<Difference> {
        let pairs = saved.entries().into_iter().zip(self.entries());
        let other = pairs.filter(|((key, saved), (_, now))| saved != now && !may_change(key));
        other.map(|((key, saved), (_, now))| Difference { key, saved, now }).collect()
    }

    /// XXH3-128 over the keys that make a run what it is: equal for a run and its resumption.
    pub fn digest(&self) -> u128 {
        let lines = self.entries().into_iter().filter(|(key, _)| !may_change(key));
        xxh3_128(lines.map(|(key, value)| format!("{key}: {value}\n")).collect::<String>().as_bytes())
    }
}

fn may_change(key: &str) -> bool {
    MAY_CHANGE.iter().any(|(free, _)| *free == key)
}
