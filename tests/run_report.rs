//! What a run leaves for people: TensorBoard's event file, the page, the picture of its views; the same after a stop.

#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;

use metacl::config::{self, Loaded};
use metacl::dist::launch::Placed;
use metacl::image::Size;
use metacl::shard::{Codec, NewSample, SplitWriter, Storage, WriteOptions};
use metacl::train::{self, Console, report};

mod train_support;

use train_support::events::{event_file, scalars};

fn dataset(folder: &Path) {
    let classes = vec!["odd<b>".to_owned(), "even".to_owned()];
    let mut writer =
        SplitWriter::create(&folder.join("train"), WriteOptions { classes, ..Default::default() }).unwrap();
    for sample in 0..16u32 {
        let bytes: Vec<u8> = (0..32 * 32 * 3).map(|i| (i * (sample + 3)) as u8).collect();
        let (size, name) = (Size::new(32, 32), format!("{sample:02}"));
        let sample = NewSample { bytes: &bytes, size, codec: Codec::Raw, label: sample % 2, name: &name };
        writer.append(&sample).unwrap();
    }
    writer.finish().unwrap();
}

/// Runs for `iters` of a schedule of that length; gives the run's folder.
fn run(folder: &Path, id: &str, more: &[&str]) -> PathBuf {
    let data = folder.join("data").display().to_string();
    let fixed = ["--arch", "Conv4", "--head", "PN", "--opt", "sgd", "--lr_schedule", "const", "--batch_size", "4"];
    let more_fixed = ["--log_freq", "2", "--seed", "3", "--threads", "1", "--run_id", id, "--data_path", &data];
    let arguments: Vec<String> = fixed.iter().chain(&more_fixed).chain(more).map(|&text| text.to_owned()).collect();
    let config::Command::Run(loaded) = config::load(&arguments, &|_| None).unwrap() else { panic!("no run") };
    let loaded: Loaded = *loaded;
    let console = Console { out: Box::new(io::sink()), is_terminal: false };
    train::run(&loaded, console, &folder.join("logs"), &Placed::alone(), &Storage::default(), &AtomicBool::new(false))
        .unwrap();
    folder.join("logs/default/runs").join(id)
}

#[test]
fn the_event_file_holds_the_numbers_of_the_lines_once() {
    let folder = tempfile::tempdir().unwrap();
    dataset(&folder.path().join("data"));
    let run_folder = run(folder.path(), "a", &["--iters", "6", "--tensorboard", "true"]);
    let found = scalars(&event_file(&run_folder));
    let lines = fs::read_to_string(run_folder.join("metrics.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let losses: Vec<_> =
        found.iter().filter(|(_, tag, _)| tag == "train/loss").map(|(step, _, loss)| (*step, *loss)).collect();
    let want: Vec<_> = lines
        .iter()
        .map(|line| (line["iter"].as_u64().unwrap(), line["train_loss"].as_f64().unwrap() as f32))
        .collect();
    assert_eq!(losses, want);
    assert_eq!(want.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [2, 4, 6]);

    // The run goes on from an earlier checkpoint: what lay past it is gone, nothing is there twice.
    let keep = run(folder.path(), "b", &["--iters", "6", "--save_freq", "4"]);
    fs::remove_file(keep.join("checkpoint.safetensors")).unwrap();
    fs::remove_file(keep.join("checkpoint-6.safetensors")).unwrap();
    run(folder.path(), "b", &["--iters", "6", "--save_freq", "4"]);
    let steps: Vec<u64> =
        scalars(&event_file(&keep)).iter().filter(|(_, tag, _)| tag == "train/lr").map(|(step, ..)| *step).collect();
    assert_eq!(steps, [2, 4, 6]);
}

/// TensorBoard's own reader, where METACL_TENSORBOARD_PYTHON names a Python that has it (`tools/check_tensorboard` does).
#[test]
fn tensorboard_reads_it() {
    let Some(python) = std::env::var_os("METACL_TENSORBOARD_PYTHON") else {
        eprintln!("skipped: METACL_TENSORBOARD_PYTHON is not set; tools/check_tensorboard runs this test with it");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    dataset(&folder.path().join("data"));
    let run_folder = run(folder.path(), "a", &["--iters", "6"]);
    let script = "import sys\n\
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator\n\
        events = EventAccumulator(sys.argv[1]); events.Reload()\n\
        for e in events.Scalars('train/loss'): print(e.step, e.value)";
    let output = Command::new(python).args(["-c", script]).arg(&run_folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows = String::from_utf8(output.stdout).unwrap();
    let read: Vec<(u64, f32)> = rows
        .lines()
        .map(|row| row.split_once(' ').map(|(step, loss)| (step.parse().unwrap(), loss.parse().unwrap())).unwrap())
        .collect();
    let ours = scalars(&event_file(&run_folder)).into_iter().filter(|(_, tag, _)| tag == "train/loss");
    assert_eq!(read, ours.map(|(step, _, loss)| (step, loss)).collect::<Vec<_>>());
}

#[test]
fn the_page_stands_alone_and_is_drawn_again() {
    let folder = tempfile::tempdir().unwrap();
    dataset(&folder.path().join("data"));
    let run_folder = run(folder.path(), "a", &["--iters", "6", "--name", "<script>x</script>"]);
    let page = fs::read_to_string(run_folder.join("report.html")).unwrap();
    for part in
        ["<h2>Results", "<h2>Curves", "<h2>Training views", "<h2>Environment", "<h2>Config", "6 iterations, complete"]
    {
        assert!(page.contains(part), "{part}");
    }
    assert!(page.matches("<svg").count() >= 4 && page.contains("data:image/png;base64,"));
    for foreign in ["http:", "https:", "<script", "<link", "@import", "url(", "NaN"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    // Four classes of a support and a query view.
    let sheet = image::open(run_folder.join("views.png")).unwrap().into_rgb8();
    for colour in [metacl::sheet::SUPPORT, metacl::sheet::QUERY] {
        assert!(sheet.pixels().any(|pixel| pixel.0 == colour));
    }
    assert!(!sheet.pixels().any(|pixel| pixel.0 == metacl::sheet::VIEW));

    fs::remove_file(run_folder.join("report.html")).unwrap();
    report::write(&run_folder).unwrap();
    assert_eq!(fs::read_to_string(run_folder.join("report.html")).unwrap(), page);
    // A run under way: no summary, a torn line.
    fs::remove_file(run_folder.join("summary.json")).unwrap();
    let lines = fs::read_to_string(run_folder.join("metrics.jsonl")).unwrap();
    fs::write(run_folder.join("metrics.jsonl"), format!("{lines}{{\"iter\":7,\"tra")).unwrap();
    report::write(&run_folder).unwrap();
    assert!(fs::read_to_string(run_folder.join("report.html")).unwrap().contains("under way"));

    let nothing = report::write(folder.path()).unwrap_err().to_string();
    assert!(nothing.contains("no run's folder"), "{nothing}");
    let quiet = run(folder.path(), "c", &["--iters", "2", "--report", "false", "--tensorboard", "false"]);
    for file in ["report.html", "views.png"] {
        assert!(!quiet.join(file).exists(), "{file}");
    }
    assert!(quiet.read_dir().unwrap().all(|entry| !entry.unwrap().path().display().to_string().contains("tfevents")));
}
