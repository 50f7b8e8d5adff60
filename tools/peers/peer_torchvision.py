"""torchvision on PIL images (the published code's transforms) and on tensors (v2)."""
import numpy as np
import torch
import torchvision.transforms as pil
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms import v2

from loaders import cifar, data_loader, jpegs

JITTER = {"simclr": (0.8, 0.8, 0.8, 0.2), "cifar": (0.4, 0.4, 0.4, 0.1)}


class PublishedBlur:
    """`GaussianBlur` of the published code's utils/datautils.py: a depthwise convolution made anew for every view."""

    def __call__(self, image):
        with torch.no_grad():
            if np.random.uniform() >= 0.5:
                return image
            radius = 11
            x = np.arange(-radius, radius + 1)
            taps = np.exp(-np.power(x, 2.0) / (2.0 * np.random.uniform(0.2, 2) ** 2))
            taps = torch.Tensor(taps / taps.sum())
            weight = taps.repeat(3, 1)[:, None, :]
            across = torch.nn.Conv2d(3, 3, (1, 23), groups=3, padding=[0, radius], bias=False)
            down = torch.nn.Conv2d(3, 3, (23, 1), groups=3, padding=[radius, 0], bias=False)
            across.weight = torch.nn.Parameter(weight[:, :, None, :])
            down.weight = torch.nn.Parameter(weight[:, :, :, None])
            return across(down(image[None]))[0].clamp(0, 1)


def batches(peer, args):
    on_pil = peer == "torchvision-pil"
    view = (pil_view if on_pil else tensor_view)(args)
    views = 1 if args.workload == "rrc" else 2
    if args.workload == "cifar":
        images = cifar(args.data)
        if not on_pil:
            images = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
        count = len(images)
        load = (lambda index: Image.fromarray(images[index])) if on_pil else (lambda index: images[index])
    else:
        files = jpegs(args.data)
        count = len(files)
        load = (lambda i: open_pil(files[i])) if on_pil else (lambda i: decode_jpeg(read_file(files[i]), mode=ImageReadMode.RGB))

    def sample(index):
        image = load(index)
        return tuple(view(image) for _ in range(views))

    return data_loader(sample, count, args)


def open_pil(file):
    with open(file, "rb") as stream:
        return Image.open(stream).convert("RGB")


def pil_view(args):
    bicubic = pil.InterpolationMode.BICUBIC
    steps = [pil.RandomResizedCrop(args.size, scale=(0.08, 1), interpolation=bicubic), pil.RandomHorizontalFlip()]
    if args.workload == "rrc":
        return pil.Compose([*steps, pil.PILToTensor()])
    steps += [pil.RandomApply([pil.ColorJitter(*JITTER[args.workload])], p=0.8), pil.RandomGrayscale(0.2), pil.ToTensor()]
    if args.workload == "simclr":
        steps.append(PublishedBlur())
    return pil.Compose(steps)


def tensor_view(args):
    bicubic = v2.InterpolationMode.BICUBIC
    steps = [
        v2.RandomResizedCrop(args.size, scale=(0.08, 1), interpolation=bicubic, antialias=True),
        v2.RandomHorizontalFlip(),
    ]
    if args.workload != "rrc":
        steps += [v2.RandomApply([v2.ColorJitter(*JITTER[args.workload])], p=0.8), v2.RandomGrayscale(0.2)]
    if args.workload == "simclr":
        steps.append(v2.RandomApply([v2.GaussianBlur(23, (0.1, 2.0))], p=0.5))
    if args.workload == "cifar":
        steps.append(v2.ToDtype(torch.float32, scale=True))
    return v2.Compose(steps)
