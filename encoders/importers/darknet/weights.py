"""Darknet's `.weights` files: every float belongs to one convolution, and none is missing or left over."""

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.errors import BundleError
from encoders.importers.darknet.layers import Convolutional, Network
from encoders.importers.model_file import read_model_file

Floats = NDArray[np.float32]

_VERSION = struct.Struct("<iii")


@dataclass(frozen=True, slots=True)
class BatchNorm:
    """Scale and statistics of a batch normalisation, (filters,) each."""

    scale: Floats
    mean: Floats
    variance: Floats


@dataclass(frozen=True, slots=True)
class ConvolutionWeights:
    """The kernel (filters, in_channels / groups, size, size), a bias (filters,) and perhaps a batch normalisation."""

    kernel: Floats
    bias: Floats
    batch_norm: BatchNorm | None


def float_count(network: Network, cutoff: int | None = None) -> int:
    """How many floats the layers below number `cutoff` have in a weights file (all layers without one)."""
    return sum(prod(shape) for layer in _layers(network, cutoff) for shape in _shapes(layer).values())


def read_weights(path: Path, network: Network, cutoff: int | None = None) -> dict[int, ConvolutionWeights]:
    """The weights of each convolution by its layer number.

    With `cutoff` the file holds the layers below that number only, as `darknet53.conv.74` does. Raises `BundleError`
    when the file has more or fewer floats than the network needs.
    """
    data = read_model_file(path)
    start = _header_bytes(path, data)
    found, rest = divmod(len(data) - start, 4)
    needed = float_count(network, cutoff)
    if found != needed or rest:
        problem = f"{needed - found:,} are missing" if found < needed else f"{found - needed:,} are left over"
        odd = f" and {rest} odd bytes" if rest else ""
        raise BundleError(
            f"{path} has {found:,} floats{odd}, but this .cfg needs {needed:,}: {problem}; "
            "it is cut short or belongs to another .cfg."
        )
    floats, weights = np.frombuffer(data, "<f4", offset=start), {}
    for layer in _layers(network, cutoff):
        arrays = {}
        for name, shape in _shapes(layer).items():
            arrays[name], floats = floats[: prod(shape)].reshape(shape), floats[prod(shape) :]
        kernel, bias = arrays.pop("kernel"), arrays.pop("bias")
        weights[layer.number] = ConvolutionWeights(kernel, bias, BatchNorm(**arrays) if arrays else None)
    return weights


def _shapes(layer: Convolutional) -> dict[str, tuple[int, ...]]:
    """The shapes of a layer's arrays, in the order of the file."""
    filters = layer.shape.channels
    per_filter = ("bias", "scale", "mean", "variance") if layer.batch_normalize else ("bias",)
    kernel = (filters, layer.in_channels // layer.groups, layer.size, layer.size)
    return {**dict.fromkeys(per_filter, (filters,)), "kernel": kernel}


def _layers(network: Network, cutoff: int | None) -> tuple[Convolutional, ...]:
    return tuple(layer for layer in network.convolutions if cutoff is None or layer.number < cutoff)


def _header_bytes(path: Path, data: bytes) -> int:
    """Three numbers of the version, then the count of images seen: 8 bytes from version 0.2 on, 4 before."""
    if len(data) < _VERSION.size:
        raise BundleError(f"{path} is too short ({len(data)} bytes) for a Darknet weights file.")
    major, minor, _ = _VERSION.unpack_from(data)
    if major < 0 or minor < 0:
        raise BundleError(f"{path} is not a Darknet weights file: it starts with version {major}.{minor}.")
    is_long = major * 10 + minor >= 2 and major < 1000 and minor < 1000
    return _VERSION.size + (8 if is_long else 4)
