"""NVIDIA DALI's CPU operators; colour operations only where drawn (conditionals), which is its faster way."""
import itertools

from nvidia.dali import fn, pipeline_def, types

from loaders import cifar, jpegs, order

CROP = {"random_area": [0.08, 1.0], "random_aspect_ratio": [0.75, 4 / 3]}
RESIZE = {"interp_type": types.INTERP_CUBIC, "antialias": True}


def batches(_, args):
    pipe = pipeline(args)
    pipe.build()
    while True:
        yield pipe.run()


def pipeline(args):
    @pipeline_def(
        batch_size=args.batch,
        num_threads=args.workers,
        device_id=None,
        prefetch_queue_depth=2,
        enable_conditionals=args.workload != "rrc",
    )
    def build():
        if args.workload == "rrc":
            bytes_, _ = fn.readers.file(files=jpegs(args.data), random_shuffle=True)
            image = fn.decoders.image_random_crop(bytes_, device="cpu", adjust_orientation=False, **CROP)
            return fn.flip(fn.resize(image, size=[224, 224], **RESIZE), horizontal=fn.random.coin_flip())
        if args.workload == "cifar":
            images = cifar(args.data)
            ids = order(len(images))
            feed = lambda: images[list(itertools.islice(ids, args.batch))]
            image = fn.external_source(feed, batch=True, layout="HWC", no_copy=True)
        else:
            bytes_, _ = fn.readers.file(files=jpegs(args.data), random_shuffle=True)
            image = fn.decoders.image(bytes_, device="cpu", adjust_orientation=False)
        return view(image, args), view(image, args)

    return build()


def view(image, args):
    strength, hue = (0.4, 36.0) if args.workload == "cifar" else (0.8, 72.0)
    factor = lambda: fn.random.uniform(range=[1 - strength, 1 + strength])
    happens = lambda probability: fn.random.coin_flip(probability=probability, dtype=types.BOOL)
    out = fn.random_resized_crop(image, size=args.size, **CROP, **RESIZE)
    mirror = fn.random.coin_flip()
    if happens(0.8):
        out = fn.color_twist(
            out, brightness=factor(), contrast=factor(), saturation=factor(), hue=fn.random.uniform(range=[-hue, hue])
        )
    if happens(0.2):
        out = fn.hsv(out, saturation=0.0)
    if args.workload == "simclr":
        if happens(0.5):
            out = fn.gaussian_blur(out, window_size=23, sigma=fn.random.uniform(range=[0.1, 2.0]))
    dtype, scale = (types.FLOAT, 255.0) if args.workload == "cifar" else (types.UINT8, 1.0)
    return fn.crop_mirror_normalize(out, mirror=mirror, dtype=dtype, output_layout="CHW", mean=[0.0], std=[scale])
