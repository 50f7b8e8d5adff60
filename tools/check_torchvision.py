"""Compares encoders here and in torchvision, both ways, and prints the largest differences of their features.

    python tools/check_torchvision.py target/debug/metacl-train

Needs torch and torchvision. For ResNet-18 and ResNet-50, with either stem: weights drawn by torchvision are saved by torch.save in
both layouts, imported, exported again and loaded strictly. The features of the program itself are compared through
`cargo test --test exchange features -- --ignored`, which reads what this script leaves in a folder (METACL_TORCHVISION_DIR).
"""

import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

import torch
import torchvision

DTYPES = {"F32": torch.float32, "I64": torch.int64}


def load_safetensors(path):
    """The file's tensors; a reader of ten lines, so that the safetensors package is not needed."""
    data = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    state = {}
    for name, entry in header.items():
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        flat = torch.frombuffer(bytearray(data[start:end]), dtype=DTYPES[entry["dtype"]])
        state[name] = flat.reshape(entry["shape"])
    return state


def save_safetensors(path, tensors):
    """f32 tensors, for the Rust test."""
    header, blob = {}, b""
    for name, tensor in tensors.items():
        raw = tensor.contiguous().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(blob), len(blob) + len(raw)]}
        blob += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + blob)


def model(name, stem):
    net = getattr(torchvision.models, name)()
    if stem == "cifar":
        net.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        net.maxpool = torch.nn.Identity()
    return net


def features(net, images):
    net.eval()
    head, net.fc = net.fc, torch.nn.Identity()
    with torch.no_grad():
        found = net(images)
    net.fc = head
    return found


def main():
    program = sys.argv[1]
    kept = os.environ.get("METACL_TORCHVISION_DIR")
    folder = pathlib.Path(kept or tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    worst = 0.0
    for name in ("resnet18", "resnet50"):
        for stem in ("cifar", "imagenet"):
            torch.manual_seed(0)
            net, images = model(name, stem), torch.rand(4, 3, 64, 64)
            net.train()
            net(images)  # running statistics that are not those of a new network
            want = features(net, images)
            for layout in (True, False):
                tag = f"{name}-{stem}-{'zip' if layout else 'legacy'}"
                paths = [folder / f"{tag}{end}" for end in (".pth", ".ckpt.safetensors", ".backbone.safetensors")]
                for path in paths:
                    path.unlink(missing_ok=True)
                torch.save(net.state_dict(), paths[0], _use_new_zipfile_serialization=layout)
                subprocess.run([program, "import", "--from", paths[0], "--out", paths[1]], check=True, stdout=subprocess.DEVNULL)
                subprocess.run([program, "export", "--ckpt", paths[1], "--out", paths[2]], check=True, stdout=subprocess.DEVNULL)
                again = model(name, stem)
                again.load_state_dict(load_safetensors(paths[2]), strict=True)
                difference = (features(again, images) - want).abs().max().item()
                worst = max(worst, difference)
                print(f"{tag}: largest difference of features after the round trip {difference:.2e}")
                if not kept:
                    for path in paths:
                        path.unlink()
            if kept:
                save_safetensors(folder / f"{name}-{stem}.features.safetensors", {"images": images, "features": want})
    if worst > 1e-4:
        sys.exit(f"features differ by {worst:.2e}, more than 1e-4")


if __name__ == "__main__":
    main()
