"""Makes tests/torch_files: small files of torch.save in both layouts, shaped like checkpoints of the published code.

Needs torch. The files are committed; this is how they came to be:  python tools/torch_fixtures.py tests/torch_files
"""

import argparse
import collections
import pathlib
import sys

import torch


def checkpoint():
    base = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    state = collections.OrderedDict(
        single=torch.tensor([[0.0, 1.5, -2.0], [3.0, 4.0, 1e-3]]),
        double=torch.tensor([1 / 3, -2.0], dtype=torch.float64),
        half=torch.tensor([0.5, 65504.0], dtype=torch.float16),
        brain=torch.tensor([1.0, -3.0], dtype=torch.bfloat16),
        count=torch.tensor(7),
        mask=torch.tensor([True, False]),
        base=base,
        turned=base.t()[1:],
        parameter=torch.nn.Parameter(torch.tensor([2.5])),
        empty=torch.zeros(0, 3),
    )
    state._metadata = collections.OrderedDict([("", {"version": 1})])
    momentum = {"momentum_buffer": torch.ones(2, 3)}
    groups = [{"lr": 0.1, "momentum": 0.9, "nesterov": False, "params": [0]}]
    return {
        "state_dict": state,
        "hparams": argparse.Namespace(lr=0.1, head="PN", iters=48000, seed=-1),
        "opt_state_dict": {"state": collections.defaultdict(dict, {0: momentum}), "param_groups": groups},
        "iter": 1200,
    }


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    # With such a name the first member is called by 30 letters: readers that guess where an archive starts guess wrong.
    torch.save(checkpoint(), folder / "zip_of_21_letters.pth.tar")
    torch.save(checkpoint(), folder / "legacy.pth.tar", _use_new_zipfile_serialization=False)
    torch.save(torch.nn.Linear(1, 1), folder / "module.pth")


if __name__ == "__main__":
    main()
