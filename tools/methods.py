#!/usr/bin/env python3
"""Trains every head with every trick for the same number of steps and prints a table of how good the encoders are.

    tools/methods.py --data data/cifar10 [--steps 200] [--rows pn,byol_all] [--work logs/methods]

Each row is a preset of configs/method, trained with Conv-4, Adam and batches of 256 on one seed; then kNN and linear accuracy on the held-out
images, and 5-way 1- and 5-shot accuracy (600 episodes, nearest prototype) on frozen features. The last row is the encoder before training.
A row that is done is not trained again: the same command goes on where it was stopped. Needs `make build` and nothing beside Python.
"""

import argparse
import json
import os
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAM = os.path.join(ROOT, "target", "release", "metacl-train")
HEADS = ["contrastive", "pn", "r2d2", "svm"]
TRICKS = ["", "_taskrot", "_qcm", "_rot"]
ROWS = [head + trick for head in HEADS for trick in TRICKS] + ["byol", "byol_all"]
BATCH, WAYS = 256, 64


def train(*arguments, log):
    """Runs metacl-train, its output into `log`; stops the script where it fails."""
    with open(log, "a") as out:
        result = subprocess.run([PROGRAM, *arguments], stdout=out, stderr=subprocess.STDOUT, cwd=ROOT)
    if result.returncode != 0:
        sys.exit(f"metacl-train ended with {result.returncode}, see {log}")


def row(name, options):
    """The figures of one row, from the files of its runs."""
    folder = os.path.join(options.work, name)
    done = os.path.join(folder, "figures.json")
    if os.path.exists(done):
        with open(done) as file:
            return json.load(file)
    os.makedirs(folder, exist_ok=True)
    os.environ["EXMAN_PATH"] = folder
    log = os.path.join(folder, "log.txt")
    untrained = name == "untrained"
    stem = f"cifar_{'contrastive' if untrained else name}"
    steps = str(options.steps)
    arguments = ["--config", f"configs/method/{stem}.yaml", "--data_path", options.data, "--run_id", "train", "--seed", "0"]
    arguments += ["--arch", "Conv4", "--batch_size", str(BATCH), "--opt", "adam", "--lr", "3e-3", "--warmup", "0.05", "--scale_lower", "0.2"]
    arguments += ["--iters", steps, "--eval_freq", steps, "--log_freq", "10", "--save_freq", steps]
    if name.startswith("svm"):
        arguments += ["--svm_tasks", str(BATCH // WAYS)]
    if name.startswith("byol"):
        # 0.996 is meant for hundreds of times as many steps.
        arguments += ["--byol_momentum", "0.9"]
    started = time.time()
    train(*arguments, *(["--eval_only"] if untrained else []), log=log)
    seconds = time.time() - started
    run = os.path.join(folder, stem, "runs", "train")
    figures = {"seconds": seconds}
    with open(os.path.join(run, "metrics.jsonl")) as lines:
        for line in lines:
            figures.update({key: value for key, value in json.loads(line).items() if key in ("knn_top1", "linear_top1")})
    encoder = ["--arch", "Conv4"] if untrained else ["--encoder_ckpt", os.path.join(run, "checkpoint.safetensors")]
    arguments = ["--config", "configs/few_shot_eval.yaml", "--few_shot_head", "PN", "--data_path", options.data, "--seed", "0"]
    train(*arguments, *encoder, "--run_id", "few_shot", log=log)
    with open(os.path.join(folder, "few_shot_eval", "runs", "few_shot", "summary.json")) as file:
        figures["few_shot"] = {result["shots"]: (result["mean"], result["ci95"]) for result in json.load(file)["results"]}
    with open(done, "w") as file:
        json.dump(figures, file)
    # As the file gives it back: keys are text.
    return json.loads(json.dumps(figures))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a labelled dataset of 32-pixel images, converted, with a held-out split")
    parser.add_argument("--steps", type=int, default=200, help="of 256 images, for each row")
    parser.add_argument("--rows", default=",".join(ROWS + ["untrained"]), help="names, joined by commas")
    parser.add_argument("--work", default="logs/methods", help="where the runs are kept")
    options = parser.parse_args()
    if not os.path.exists(PROGRAM):
        sys.exit(f"{PROGRAM}: not found; run `make build`")
    options.data, options.work = os.path.abspath(options.data), os.path.abspath(options.work)
    rows = options.rows.split(",")
    unknown = [name for name in rows if name not in ROWS + ["untrained"]]
    if unknown:
        sys.exit(f"unknown rows {', '.join(unknown)}; there are {', '.join(ROWS)}, untrained")
    print(f"Conv-4, {options.steps} steps of {BATCH} images\n")
    print("| row | kNN | linear | 5-way 1-shot | 5-way 5-shot | seconds |\n|---|---|---|---|---|---|")
    for name in rows:
        figures = row(name, options)
        shots = " | ".join(f"{100 * mean:.1f} ± {100 * width:.1f} %" for mean, width in figures["few_shot"].values())
        cells = f"{100 * figures['knn_top1']:.1f} % | {100 * figures['linear_top1']:.1f} % | {shots}"
        print(f"| {name} | {cells} | {figures['seconds']:.0f} |", flush=True)


if __name__ == "__main__":
    main()
