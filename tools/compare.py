#!/usr/bin/env python3
"""Compares metacl's loader with the loaders that are installed, on the same images, in interleaved rounds.

    tools/compare.py --photos FOLDER_OF_JPEGS --cifar FOLDER_OF_BIN_FILES [--python PYTHON ...]

Peers: torchvision on PIL and on tensors, albumentations with simplejpeg, DALI, FFCV. Each is run by the first of the --python
interpreters that can import it (they need not live in one environment), and left out where none can. Figures are samples per
CPU-second (a sample is one image with all its views): medians over the rounds, with the range; where other programs share the
cores they are steadier than samples per second. `metacl-shard` has to be built (`make build`). Needs nothing beside Python.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
# What a peer's interpreter must be able to import.
NEEDS = {
    "torchvision-pil": "torch, torchvision, PIL",
    "torchvision-tensor": "torch, torchvision",
    "albumentations": "torch, albumentations, simplejpeg",
    "dali": "nvidia.dali",
    "ffcv-raw": "ffcv",
    "ffcv-jpg": "ffcv",
}
WORKLOADS = {
    "rrc": ["torchvision-pil", "torchvision-tensor", "albumentations", "dali", "ffcv-raw", "ffcv-jpg"],
    "simclr": ["torchvision-pil", "torchvision-tensor", "albumentations", "dali"],
    "cifar": ["torchvision-pil", "torchvision-tensor", "albumentations", "dali"],
}
STORES = {"rrc": ["coef", "raw", "jpeg"], "simclr": ["coef", "jpeg"], "cifar": ["cifar"]}
# Samples of a run of metacl that last some seconds.
SAMPLES = {"rrc": 8192, "simclr": 4096, "cifar": 131072}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", help="folder of JPEGs; without it only cifar is run")
    parser.add_argument("--cifar", help="folder of CIFAR-10's binary files; without it only photos are run")
    parser.add_argument("--python", action="append", default=[], help="interpreter with peers; may be given more than once")
    parser.add_argument("--workload", action="append", choices=WORKLOADS, help="only this one; may be given more than once")
    parser.add_argument("--peer", action="append", choices=NEEDS, help="only this one; may be given more than once")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4, help="length of a peer's window")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--work", default=os.path.join(ROOT, "target", "compare"), help="folder for converted datasets")
    args = parser.parse_args()

    program = os.path.join(ROOT, "target", "release", "metacl-shard")
    if not os.path.exists(program):
        sys.exit(f"{program}: not found; run `make build`")
    sources = {"rrc": args.photos, "simclr": args.photos, "cifar": args.cifar}
    workloads = [name for name in args.workload or WORKLOADS if sources[name]]
    if not workloads:
        sys.exit("nothing to compare: give --photos or --cifar")
    convert(program, args)
    interpreters = {peer: interpreter(peer, args.python or [sys.executable]) for peer in args.peer or NEEDS}
    for peer in [peer for peer, python in interpreters.items() if python is None]:
        print(f"{peer}: left out, no interpreter imports {NEEDS[peer]}", file=sys.stderr)

    results = {}
    for round_number in range(args.rounds):
        for workload in workloads:
            for store in STORES[workload]:
                note(results, workload, f"metacl ({store})", metacl(program, workload, store, args))
            for peer in WORKLOADS[workload]:
                if interpreters.get(peer):
                    note(results, workload, peer, window(interpreters[peer], peer, workload, sources[workload], args))
        print(f"round {round_number + 1} of {args.rounds} done", file=sys.stderr)
    for workload in workloads:
        table(workload, results)


def convert(program, args):
    """Makes the datasets that are not there yet."""
    jobs = [("coef", args.photos, ["--store", "coef"]), ("raw", args.photos, ["--store", "raw"])]
    jobs += [("jpeg", args.photos, ["--store", "jpeg"]), ("cifar", args.cifar, [])]
    os.makedirs(args.work, exist_ok=True)
    for name, source, options in jobs:
        target = os.path.join(args.work, name)
        if source and not os.path.exists(target):
            # 3: some files were left out, and listed.
            if subprocess.run([program, "convert", source, target, *options], stdout=sys.stderr).returncode not in (0, 3):
                sys.exit(f"{source}: conversion failed")


def interpreter(peer, candidates):
    for python in candidates:
        check = subprocess.run([python, "-W", "ignore", "-c", f"import {NEEDS[peer]}"], capture_output=True)
        if check.returncode == 0:
            return python
    return None


def metacl(program, workload, store, args):
    command = [program, "bench", os.path.join(args.work, store), "--recipe", workload, "--split", "train", "--json"]
    command += ["--workers", str(args.workers), "--samples", str(SAMPLES[workload])]
    return lines(command)


def window(python, peer, workload, source, args):
    command = [python, "-W", "ignore", os.path.join(HERE, "peers", "window.py"), peer, workload, "--data", source]
    command += ["--cache", args.work, "--workers", str(args.workers), "--seconds", str(args.seconds)]
    return lines(command)


def lines(command):
    """The JSON that a command prints: one value, or one a line."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    if done.returncode != 0:
        print(f"failed: {' '.join(command)}\n{done.stderr[-2000:]}", file=sys.stderr)
        return []
    text = done.stdout.strip()
    try:
        return [json.loads(text)]
    except json.JSONDecodeError:
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def note(results, workload, name, runs):
    results.setdefault(workload, {}).setdefault(name, []).extend(runs)


def table(workload, results):
    """Sorted by rate; the last column is the best metacl row over this row."""
    rows = []
    for name, runs in results[workload].items():
        if runs:
            per_cpu = [run["samples_per_cpu_s"] for run in runs]
            per_second = statistics.median(run["samples_per_s"] for run in runs)
            rows.append((statistics.median(per_cpu), min(per_cpu), max(per_cpu), per_second, name))
    rows.sort(reverse=True)
    own = next((rate for rate, *_, name in rows if name.startswith("metacl")), None)
    print(f"\n{workload}\n| loader | samples per CPU-second (range) | samples/s | metacl is |\n|---|---|---|---|")
    for rate, low, high, per_second, name in rows:
        ratio = f"x{own / rate:.2f}" if own else ""
        print(f"| {name} | {rate:,.0f} ({low:,.0f}-{high:,.0f}) | {per_second:,.0f} | {ratio} |")


if __name__ == "__main__":
    main()
