"""Which device a run computes on."""

import torch


def device_of(name: str) -> torch.device:
    """`auto` is a CUDA GPU where there is one, else the CPU; other names are torch's own, as `cuda:1`."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)
