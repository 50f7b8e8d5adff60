"""What the peers share: the files, the shuffled order, torch's DataLoader."""
import glob
import os
import random

import numpy as np

# Module of each peer; `torchvision-pil` is the published code's way.
MODULES = {
    "torchvision-pil": "peer_torchvision",
    "torchvision-tensor": "peer_torchvision",
    "albumentations": "peer_albumentations",
    "dali": "peer_dali",
    "ffcv-raw": "peer_ffcv",
    "ffcv-jpg": "peer_ffcv",
}


def jpegs(folder):
    return sorted(file for ending in ("JPEG", "jpg", "jpeg") for file in glob.glob(f"{folder}/**/*.{ending}", recursive=True))


def cifar(folder):
    """[images, 32, 32, 3] u8 of CIFAR-10's binary files."""
    files = sorted(glob.glob(os.path.join(folder, "data_batch_*.bin")))
    records = np.concatenate([np.fromfile(file, np.uint8).reshape(-1, 3073) for file in files])
    return np.ascontiguousarray(records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def read(file):
    with open(file, "rb") as stream:
        return stream.read()


def order(count, seed=0):
    """Endless shuffled epochs."""
    generator = np.random.RandomState(seed)
    while True:
        yield from generator.permutation(count).tolist()


class Endless:
    def __init__(self, count):
        self.count = count

    def __iter__(self):
        return order(self.count)

    def __len__(self):
        return 1 << 40


class Mapped:
    def __init__(self, function, count):
        self.function, self.count = function, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return self.function(index)


def data_loader(function, count, args):
    """torch's DataLoader over `function(index)`, one process a worker, one thread each."""
    import torch

    def start(worker):
        torch.set_num_threads(1)
        random.seed(worker)
        np.random.seed(worker)

    torch.set_num_threads(1)
    loader = torch.utils.data.DataLoader(
        Mapped(function, count),
        batch_size=args.batch,
        sampler=Endless(count),
        num_workers=args.workers,
        prefetch_factor=2,
        worker_init_fn=start,
    )
    return iter(loader)
