"""Darknet networks with random weights, as files."""

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.importers.darknet.cfg import parse_cfg
from encoders.importers.darknet.weights import float_count


def write_network(folder: Path, cfg: str) -> tuple[Path, Path, NDArray[np.float32]]:
    """Write a `.cfg` and random `.weights` that keep the activations in bounds; gives both files and all floats."""
    network = parse_cfg(cfg)
    generator = np.random.default_rng(11)
    layers = []
    for layer in network.convolutions:
        filters, inputs = layer.shape.channels, layer.in_channels // layer.groups
        layers.append(generator.normal(0, 0.5, filters))
        if layer.batch_normalize:
            scale, mean, variance = (
                generator.uniform(0.5, 1.5, filters),
                generator.normal(0, 0.1, filters),
                generator.uniform(0.5, 2, filters),
            )
            layers.extend([scale, mean, variance])
        fan_in = inputs * layer.size**2
        layers.append(generator.normal(0, (2 / fan_in) ** 0.5, filters * fan_in))
    floats = np.concatenate(layers).astype("<f4")
    assert len(floats) == float_count(network)
    (folder / "a.cfg").write_text(cfg)
    (folder / "a.weights").write_bytes(struct.pack("<iiiQ", 0, 2, 5, 0) + floats.tobytes())
    return folder / "a.cfg", folder / "a.weights", floats
