"""FFCV: its own file (raw pixels, or JPEGs encoded again), one view of rrc. It has no hue, gray or blur, so no other workload."""
import os

from ffcv.fields import IntField, RGBImageField
from ffcv.fields.rgb_image import RandomResizedCropRGBImageDecoder
from ffcv.loader import Loader, OrderOption
from ffcv.transforms import RandomHorizontalFlip, ToTensor, ToTorchImage
from ffcv.writer import DatasetWriter
from PIL import Image

from loaders import Mapped, jpegs


def batches(peer, args):
    if args.workload != "rrc":
        raise SystemExit(f"{peer} cannot do {args.workload}")
    mode = peer.removeprefix("ffcv-")
    path = os.path.join(args.cache, f"{mode}.beton")
    if not os.path.exists(path):
        write(path, mode, args)
    image = [
        RandomResizedCropRGBImageDecoder((224, 224), scale=(0.08, 1.0)),
        RandomHorizontalFlip(),
        ToTensor(),
        ToTorchImage(),
    ]
    loader = Loader(
        path,
        batch_size=args.batch,
        num_workers=args.workers,
        order=OrderOption.RANDOM,
        os_cache=True,
        drop_last=True,
        pipelines={"image": image, "label": None},
        batches_ahead=3,
    )
    while True:
        yield from loader


def write(path, mode, args):
    files = jpegs(args.data)
    options = {"write_mode": "raw"} if mode == "raw" else {"write_mode": "jpg", "jpeg_quality": 95}
    fields = {"image": RGBImageField(**options), "label": IntField()}
    writer = DatasetWriter(path + ".tmp", fields, num_workers=args.workers)
    writer.from_indexed_dataset(Mapped(lambda index: (Image.open(files[index]).convert("RGB"), 0), len(files)))
    os.rename(path + ".tmp", path)
