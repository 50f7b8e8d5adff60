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
use metacl::shard::{Codec, NewSample, SplitWriter, WriteOptions};
use metacl::train::{self, Console, report};

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
    train::run(&loaded, console, &folder.join("logs"), &Placed::alone(), &AtomicBool::new(false)).unwrap();
    folder.join("logs/default/runs").join(id)
}

fn event_file(run: &Path) -> PathBuf {
    let files = run.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.display().to_string().contains("tfevents")).collect();
    assert_eq!(files.len(), 1);
    files.remove(0)
}

/// CRC-32C by a table of nibbles, masked as TFRecords do: written apart from the program's.
fn masked_crc(bytes: &[u8]) -> u32 {
    let table: Vec<u32> =
        (0..16u32).map(|i| (0..4).fold(i, |c, _| if c & 1 == 1 { c >> 1 ^ 0x82F6_3B78 } else { c >> 1 })).collect();
    let nibble = |crc: u32, value: u32| table[((crc ^ value) & 15) as usize] ^ crc >> 4;
    let crc = !bytes.iter().fold(u32::MAX, |crc, byte| nibble(nibble(crc, u32::from(*byte)), u32::from(*byte) >> 4));
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    number
}

/// Fields of a protocol buffer: number and content, that of fixed width or of given length; a varint's as eight bytes.
fn fields(mut message: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let length = match key & 7 {
            0 => {
                found.push((key >> 3, varint(&mut message).to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => varint(&mut message) as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, message[..length].to_vec()));
        message = &message[length..];
    }
    found
}

/// Every scalar of an event file: step, tag, value. Checks frames and their sums.
fn scalars(path: &Path) -> Vec<(u64, String, f32)> {
    let file = fs::read(path).unwrap();
    let (mut rest, mut found, mut events) = (&file[..], Vec::new(), 0);
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        assert_eq!(u32::from_le_bytes(rest[8..12].try_into().unwrap()), masked_crc(&rest[..8]));
        let event = &rest[12..12 + length];
        assert_eq!(u32::from_le_bytes(rest[12 + length..16 + length].try_into().unwrap()), masked_crc(event));
        rest = &rest[16 + length..];
        let event = fields(event);
        let of = |number: u64| event.iter().find(|(found, _)| *found == number).map(|(_, content)| content.clone());
        assert!(f64::from_le_bytes(of(1).unwrap().try_into().unwrap()) > 1.6e9, "seconds since 1970");
        if events == 0 {
            assert_eq!(of(3).unwrap(), b"brain.Event:2");
        } else {
            let step = u64::from_le_bytes(of(2).unwrap().try_into().unwrap());
            for (_, value) in fields(&of(5).unwrap()) {
                let value = fields(&value);
                let tag = String::from_utf8(value[0].1.clone()).unwrap();
                found.push((step, tag, f32::from_le_bytes(value[1].1.clone().try_into().unwrap())));
            }
        }
        events += 1;
    }
    found
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
