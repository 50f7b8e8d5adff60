"""Measures one loader on one workload in one process and prints a JSON line a window.

    python window.py PEER WORKLOAD --data FOLDER [--workers 2] [--seconds 4] [--windows 1]

A sample is one source image. Workloads:
  rrc     JPEG files -> RandomResizedCrop(224, 0.08..1, bicubic), mirror -> u8 batches of 64
  simclr  JPEG files -> two views: the same crop, mirror, ColorJitter(.8 .8 .8 .2) p .8, gray p .2, blur (23 taps, sigma .1..2) p .5
  cifar   32 px images in memory -> two views: crop to 32, mirror, ColorJitter(.4 .4 .4 .1) p .8, gray p .2 -> f32 batches of 512

A peer is an endless iterator over batches with its own threads or processes. Its first batches are not counted (start, compilation,
prefetching). CPU time is that of this process and its children over the window.
"""
import argparse
import importlib
import json
import os
import sys
import time

TICKS = os.sysconf("SC_CLK_TCK")


def family():
    """This process and its living descendants."""
    children = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as stat:
                parent = int(stat.read().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(entry))
    found, left = [], [os.getpid()]
    while left:
        process = left.pop()
        found.append(process)
        left += children.get(process, [])
    return found


def cpu_seconds():
    total = 0
    for process in family():
        try:
            with open(f"/proc/{process}/stat") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def window(batches, batch, workers, seconds):
    """Whole rounds of the workers, for at least `seconds`."""
    start, cpu, samples, rounds = time.time(), cpu_seconds(), 0, 0
    while True:
        next(batches)
        samples += batch
        rounds += 1
        wall = time.time() - start
        if rounds % workers == 0 and wall >= seconds:
            break
    cpu = cpu_seconds() - cpu
    return {"samples": samples, "seconds": wall, "samples_per_s": samples / wall, "samples_per_cpu_s": samples / cpu}


def main():
    from loaders import MODULES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=MODULES)
    parser.add_argument("workload", choices=["rrc", "simclr", "cifar"])
    parser.add_argument("--data", required=True, help="folder of JPEGs, or of CIFAR-10's data_batch_*.bin")
    parser.add_argument("--cache", default=".", help="folder for files that a peer makes of the data")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--windows", type=int, default=1)
    args = parser.parse_args()
    args.batch = 512 if args.workload == "cifar" else 64
    args.size = 32 if args.workload == "cifar" else 224

    batches = importlib.import_module(MODULES[args.peer]).batches(args.peer, args)
    for _ in range(2 * args.workers):
        next(batches)
    for _ in range(args.windows):
        result = window(batches, args.batch, args.workers, args.seconds)
        print(json.dumps({"peer": args.peer, "workload": args.workload, **result}), flush=True)
    sys.stdout.flush()
    os._exit(0)  # loaders with threads of their own need no orderly end


if __name__ == "__main__":
    main()
