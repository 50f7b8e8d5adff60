//! Short training runs on a tiny dataset, and what they logged.
#![allow(dead_code, unreachable_pub, reason = "shared by test files, each of which uses its part")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

pub mod events;

use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use metacl::config::{self, Loaded};
use metacl::dist::launch::Placed;
use metacl::image::Size;
use metacl::rng::{Purpose, Stream};
use metacl::shard::{Codec, NewSample, SplitWriter, Storage, WriteOptions};
use metacl::train::{self, Console, TrainError};

/// Two classes of 32 px pictures that differ in the direction of their stripes.
pub fn dataset(folder: &Path) {
    dataset_of(folder, 40);
}

/// The same with `train` samples to train on.
pub fn dataset_of(folder: &Path, train: u32) {
    for (split, samples) in [("train", train), ("test", 20)] {
        let classes = vec!["across".to_owned(), "down".to_owned()];
        let mut writer =
            SplitWriter::create(&folder.join(split), WriteOptions { classes, ..Default::default() }).unwrap();
        for sample in 0..samples {
            let label = sample % 2;
            let shade = Stream::new(1, Purpose::Synthetic).draw([sample, 0, 0, 0]).integer(100) as u32;
            let pixel = |x: u32, y: u32| if label == 0 { y } else { x } / 4 % 2 * 120 + shade;
            let bytes: Vec<u8> = (0..32 * 32).flat_map(|i| [pixel(i % 32, i / 32) as u8; 3]).collect();
            let name = format!("{sample:02}");
            let size = Size::new(32, 32);
            writer.append(&NewSample { bytes: &bytes, size, codec: Codec::Raw, label, name: &name }).unwrap();
        }
        writer.finish().unwrap();
    }
}

/// Flips a byte in the records of `samples` of a split of [`dataset`].
pub fn damage(data: &Path, split: &str, samples: &[usize]) {
    let shard = data.join(split).join("00000.mcs");
    let mut bytes = std::fs::read(&shard).unwrap();
    samples.iter().for_each(|sample| bytes[64 + 3072 * sample + 7] ^= 1);
    std::fs::write(&shard, bytes).unwrap();
}

/// The lines of the list of corrupt samples in a run's folder.
pub fn quarantined(run: &Path) -> Vec<serde_json::Value> {
    let list = std::fs::read_to_string(run.join("quarantine.jsonl")).unwrap();
    list.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Flags of a short run that logs every step.
pub const SHORT: &[&str] = &[
    "--arch",
    "Conv4",
    "--batch_size",
    "8",
    "--iters",
    "12",
    "--log_freq",
    "1",
    "--seed",
    "3",
    "--lr",
    "0.01",
    "--opt",
    "sgd",
    "--workers",
    "2",
    "--threads",
    "1",
    "--run_id",
    "a",
];

pub fn loaded(data: &Path, more: &[&str]) -> Loaded {
    let mut arguments: Vec<String> = SHORT.iter().chain(more).map(|&text| text.to_owned()).collect();
    arguments.extend(["--data_path".to_owned(), data.display().to_string()]);
    match config::load(&arguments, &|_| None).unwrap() {
        config::Command::Run(loaded) => *loaded,
        other => panic!("{other:?}"),
    }
}

/// A console that keeps what it shows, and asks the run to stop once that contains `at`.
#[derive(Clone)]
struct Shown {
    text: Arc<Mutex<String>>,
    at: String,
    stop: Arc<AtomicBool>,
}

impl Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = self.text.lock().unwrap();
        text.push_str(&String::from_utf8_lossy(bytes));
        if !self.at.is_empty() && text.contains(&self.at) {
            self.stop.store(true, Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs, until the console shows `stop_at` where that is given; returns what was shown.
pub fn run(loaded: &Loaded, logs: &Path, stop_at: &str) -> Result<String, TrainError> {
    let shown = Shown { text: Arc::default(), at: stop_at.to_owned(), stop: Arc::default() };
    train::run(
        loaded,
        Console { out: Box::new(shown.clone()), is_terminal: false },
        logs,
        &Placed::alone(),
        &Storage::new(loaded.config.storage(Vec::new())),
        &shown.stop,
    )?;
    let text = shown.text.lock().unwrap();
    Ok(text.clone())
}

/// Every line of the log, without what depends on the clock.
pub fn lines(run: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let parse = |line: &str| {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        for clock in ["images_per_s", "data_wait_share"] {
            line.as_object_mut().unwrap().remove(clock);
        }
        line
    };
    text.lines().map(parse).collect()
}
