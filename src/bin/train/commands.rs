//! Subcommands beside training: `export`, `import`, `report`, `step-bench`. Training itself takes flags alone, as the published code does.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{CommandFactory, Parser, Subcommand};
use metacl::config::{self, Arch, Value};
use metacl::error::Error;
use metacl::nn::Stem;
use metacl::shard::Storage;
use metacl::train::TrainError;
use metacl::train::exchange::{self, Exported};
use metacl::train::report;
use metacl::train::setup::{StepBench, StepFigures, step_bench};

/// Commands beside training (`metacl-train --help`).
#[derive(Parser)]
#[command(name = "metacl-train", max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Export(ExportArgs),
    Import(ImportArgs),
    Report(ReportArgs),
    StepBench(StepBenchArgs),
}

/// Write the backbone of a checkpoint for torchvision
///
/// The file is safetensors with torchvision's names, the unused classifier `fc` and the counts of batches included: torchvision's
/// resnet18() or resnet50() takes it with load_state_dict(strict=True), with conv1 and maxpool replaced where the stem is CIFAR's;
/// the lines that load it are printed. A Conv-4 keeps its own names (conv1, bn1 .. conv4, bn4). Projector and heads stay behind.
///
/// Example: metacl-train export --ckpt logs/quickstart/runs/000001/checkpoint.safetensors --out backbone.safetensors
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
struct ExportArgs {
    /// Checkpoint of a pre-training run
    #[arg(long, value_name = "FILE")]
    ckpt: PathBuf,
    /// File to write; an existing one is not overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Make a checkpoint of PyTorch weights, for `--problem eval --encoder_ckpt`
///
/// Reads what torch.save writes (.pth, .pth.tar; either layout, f16 to f64), without running the pickle in it, and safetensors. The
/// state may lie under `state_dict`, the backbone under any prefix (module., backbone., encoder., convnet.; --prefix where there are
/// several). Names: torchvision's; the Sequential of its children (lightly's examples: 0, 1, 4 .. 7); lightly's ResNetGenerator as a
/// Sequential (0, 1, 2 .. 5). Architecture (ResNet18, ResNet50, Conv4) and stem are found from shapes. Projector and rotation head
/// are taken from checkpoints of the published code, else fresh from a fixed seed. Optimizer state is left out.
///
/// Example: metacl-train import --from resnet18-f37072fd.pth --out resnet18.safetensors
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
struct ImportArgs {
    /// File to read
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Checkpoint to write; an existing one is not overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What stands before `conv1.weight` in the file's names [default: found]
    #[arg(long, value_name = "WORDS")]
    prefix: Option<String>,
}

/// Draw report.html of a run anew
///
/// One page that needs nothing else, from the files in the run's folder: curves, results, config, environment, training views. Also of
/// a run that is under way or was killed.
///
/// Example: metacl-train report logs/quickstart/runs/000001
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
struct ReportArgs {
    /// The run's folder
    run: PathBuf,
}

/// Time training steps
///
/// Takes the flags of training after `--` and runs steps of them, with batches of the loader (needs --data_path) or, with --synthetic,
/// with one batch of noise that stays on the device: the difference is what feeding costs. Writes nothing.
///
/// Example: metacl-train step-bench --synthetic -- --arch ResNet50 --data imagenet --batch_size 128 --precision bf16
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
struct StepBenchArgs {
    /// One batch of noise in place of the loader's
    #[arg(long)]
    synthetic: bool,
    /// Steps of a timed block
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    steps: u64,
    /// Timed blocks; the median counts
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1000))]
    blocks: u64,
    /// Steps before the clock starts
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    warmup: u64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Flags of training
    #[arg(last = true, value_name = "FLAGS")]
    flags: Vec<String>,
}

/// Whether the command line names one of these commands.
pub(crate) fn asked_for(arguments: &[String]) -> bool {
    arguments.first().is_some_and(|first| Cli::command().find_subcommand(first).is_some())
}

/// Runs the command that `arguments` name; ends the program where they are wrong or ask for help.
pub(crate) fn run(arguments: &[String]) -> Result<(), Error> {
    let name = "metacl-train".to_owned();
    match Cli::parse_from(std::iter::once(&name).chain(arguments)).command {
        Command::Export(args) => {
            let done = exchange::export(&args.ckpt, &args.out).map_err(TrainError::from)?;
            let (arch, stem) = (done.arch.show(), done.stem);
            say(&format!(
                "{}: {} tensors, {arch}, {stem:?} stem\n{}",
                args.out.display(),
                done.tensors,
                snippet(&args, &done)
            ));
        }
        Command::Import(args) => {
            let done = exchange::import(&args.from, &args.out, args.prefix.as_deref()).map_err(TrainError::from)?;
            for note in &done.notes {
                say(&format!("note: {note}"));
            }
            let (out, arch) = (args.out.display(), done.arch.show());
            say(&format!("{out}: {} tensors, {arch}, {:?} stem", done.taken, done.stem));
            let data = if done.stem == Stem::Cifar { "cifar" } else { "imagenet" };
            say(&format!(
                "judge it with: metacl-train --problem eval --data {data} --arch linear --encoder_ckpt {out} ..."
            ));
        }
        Command::Report(args) => {
            let path = report::write(&args.run).map_err(TrainError::from)?;
            say(&path.display().to_string());
        }
        Command::StepBench(args) => time_steps(&args)?,
    }
    Ok(())
}

fn time_steps(args: &StepBenchArgs) -> Result<(), Error> {
    // A schedule needs a length; one that is given counts by its last.
    let mut flags = vec!["--iters".to_owned(), "1000".to_owned()];
    flags.extend_from_slice(&args.flags);
    let config::Command::Run(loaded) = config::load(&flags, &|name| std::env::var(name).ok())? else {
        say(&config::help());
        return Ok(());
    };
    let bench = StepBench { warmup: args.warmup, blocks: args.blocks, steps: args.steps, synthetic: args.synthetic };
    let storage = Storage::new(loaded.config.storage(crate::storage::variables()));
    let figures = step_bench(&loaded.config, &storage, &bench)?;
    say(&if args.json { serde_json::json!(figures).to_string() } else { words(&figures) });
    Ok(())
}

fn words(figures: &StepFigures) -> String {
    let StepFigures { device, arch, precision, batches, image_size, batch_size, rows, .. } = figures;
    let [least, most] = figures.step_ms_range;
    let memory = figures.peak_memory_bytes.map(|bytes| format!(", {:.1} GB at most", bytes as f64 / 1e9));
    let views = figures.views.as_ref().map(|views| format!("\n{views}"));
    format!(
        "{arch} on {}, {precision}, {batches} batches of {batch_size} images, {rows} views of {image_size} pixels\n\
         {:.1} ms a step ({least:.1} to {most:.1}), {:.0} images/s, data wait {:.1} %{}{}",
        figures.gpu.as_deref().unwrap_or(device),
        figures.step_ms,
        figures.images_per_s,
        100.0 * figures.data_wait_share,
        memory.unwrap_or_default(),
        views.unwrap_or_default()
    )
}

/// Python that loads an exported backbone.
fn snippet(args: &ExportArgs, done: &Exported) -> String {
    let file = args.out.display();
    let model = match done.arch {
        Arch::ResNet18 => "resnet18",
        Arch::ResNet50 | Arch::Linear => "resnet50",
        Arch::Conv4 => {
            return format!("    from safetensors.torch import load_file; state = load_file({:?})", file.to_string());
        }
    };
    let mut lines = vec![
        "import torch, torchvision; from safetensors.torch import load_file".to_owned(),
        format!("model = torchvision.models.{model}()"),
    ];
    if done.stem == Stem::Cifar {
        let conv = "torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)";
        lines.push(format!("model.conv1, model.maxpool = {conv}, torch.nn.Identity()"));
    }
    lines.push(format!("model.load_state_dict(load_file({:?}), strict=True)", file.to_string()));
    lines.iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

/// Prints a line. A reader that has gone is no failure.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
