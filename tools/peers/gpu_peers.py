#!/usr/bin/env python3
"""Views per second of torchvision v2 and kornia on the GPU: SimCLR views of 224 px of 256 photos that lie on the card as uint8.

Prints one JSON list. `own_draws`: each image gets a crop, colours and blur of its own, as contrastive learning needs; torchvision draws once for a
batch, so that it must be called image by image for that; both ways are timed. Times are CUDA events around whole passes, medians.
`--device cpu --photos 4 --passes 1` tries the script without a GPU.
"""
import argparse
import json
import statistics
import time

import torch
from torchvision.transforms import InterpolationMode, v2

SIDE, SIZE = 224, (375, 500)


def torchvision_views():
    jitter = v2.ColorJitter(0.8, 0.8, 0.8, 0.2)
    return v2.Compose([
        v2.RandomResizedCrop(SIDE, scale=(0.08, 1.0), interpolation=InterpolationMode.BICUBIC, antialias=True),
        v2.RandomHorizontalFlip(),
        v2.RandomApply([jitter], p=0.8),
        v2.RandomGrayscale(p=0.2),
        v2.RandomApply([v2.GaussianBlur(23, sigma=(0.1, 2.0))], p=0.5),
        v2.ToDtype(torch.float32, scale=True),
    ])


def one_by_one(photos):
    views = torchvision_views()
    return lambda: torch.stack([views(photo) for photo in photos])


def batch_at_once(photos):
    views = torchvision_views()
    return lambda: views(photos)


def kornia_views(photos):
    from kornia import augmentation as k

    views = torch.nn.Sequential(
        k.RandomResizedCrop((SIDE, SIDE), scale=(0.08, 1.0), resample="BICUBIC"),
        k.RandomHorizontalFlip(),
        k.ColorJitter(0.8, 0.8, 0.8, 0.2, p=0.8),
        k.RandomGrayscale(p=0.2),
        k.RandomGaussianBlur((23, 23), (0.1, 2.0), p=0.5),
    )
    return lambda: views(photos.to(torch.float32) / 255)


def seconds(run, device, passes):
    """Median time of a pass."""
    for _ in range(2):
        run()
    times = []
    for _ in range(passes):
        if device == "cpu":
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
            continue
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1e3)
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--photos", type=int, default=256)
    parser.add_argument("--passes", type=int, default=15)
    args = parser.parse_args()
    torch.manual_seed(1)
    photos = torch.randint(0, 256, (args.photos, 3, *SIZE), dtype=torch.uint8, device=args.device)
    found = []
    peers = [
        ("torchvision v2, image by image", True, one_by_one),
        ("torchvision v2, one draw for a batch", False, batch_at_once),
        ("kornia", True, kornia_views),
    ]
    for peer, own_draws, make in peers:
        try:
            run = make(photos)
        except ImportError:
            found.append({"peer": peer, "left_out": "not installed"})
            continue
        rate = args.photos / seconds(run, args.device, args.passes)
        found.append({"peer": peer, "own_draws": own_draws, "views_per_s": rate})
    print(json.dumps(found))


if __name__ == "__main__":
    main()
