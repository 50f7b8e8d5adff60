"""Albumentations on OpenCV, JPEGs by simplejpeg (libjpeg-turbo). Its bicubic does not antialias: other pixels than PIL's."""
import os

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import albumentations as A
import cv2
import numpy as np
import simplejpeg
import torch

from loaders import cifar, data_loader, jpegs, read


def batches(_, args):
    cv2.setNumThreads(1)
    strength = 0.4 if args.workload == "cifar" else 0.8
    steps = [
        A.RandomResizedCrop((args.size, args.size), scale=(0.08, 1), interpolation=cv2.INTER_CUBIC),
        A.HorizontalFlip(p=0.5),
    ]
    if args.workload != "rrc":
        factor, hue = (1 - strength, 1 + strength), (-strength / 4, strength / 4)
        steps += [A.ColorJitter(factor, factor, factor, hue, p=0.8), A.ToGray(p=0.2)]
    if args.workload == "simclr":
        steps.append(A.GaussianBlur(blur_limit=(23, 23), sigma_limit=(0.1, 2.0), p=0.5))
    if args.workload == "cifar":
        steps.append(A.ToFloat(max_value=255))
    transform = A.Compose(steps)
    views = 1 if args.workload == "rrc" else 2
    if args.workload == "cifar":
        images = cifar(args.data)
        count, load = len(images), lambda index: images[index]
    else:
        files = jpegs(args.data)
        count, load = len(files), lambda index: simplejpeg.decode_jpeg(read(files[index]), "RGB")

    def view(image):
        return torch.from_numpy(np.ascontiguousarray(transform(image=image)["image"].transpose(2, 0, 1)))

    def sample(index):
        image = load(index)
        return tuple(view(image) for _ in range(views))

    return data_loader(sample, count, args)
