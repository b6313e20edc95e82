"""Darknet's `.weights` files: every float goes to the convolution that it belongs to, none missing and none left."""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.errors import BundleError
from encoders.importers.darknet_layers import Convolutional, Network
from encoders.importers.model_file import read_model_file

Floats = NDArray[np.float32]

_VERSION = struct.Struct("<iii")


@dataclass(frozen=True, slots=True)
class BatchNorm:
    """Statistics and affine part of a batch normalisation, (filters,) each."""

    bias: Floats
    scale: Floats
    mean: Floats
    variance: Floats


@dataclass(frozen=True, slots=True)
class ConvolutionWeights:
    """The kernel (filters, in_channels / groups, size, size) and either a bias (filters,) or a batch normalisation."""

    kernel: Floats
    bias: Floats | None
    batch_norm: BatchNorm | None


def float_count(network: Network, cutoff: int | None = None) -> int:
    """How many floats the layers below number `cutoff` have in a weights file (all layers without one)."""
    return sum(_float_count(layer) for layer in _layers(network, cutoff))


def read_weights(path: Path, network: Network, cutoff: int | None = None) -> dict[int, ConvolutionWeights]:
    """The weights of each convolution by its layer number.

    With `cutoff` the file holds the layers below that number only, as `darknet53.conv.74` does. Raises `BundleError`
    when the file has more or fewer floats than the network needs.
    """
    data = read_model_file(path)
    start = _header_bytes(path, data)
    found, rest = divmod(len(data) - start, 4)
    wanted = float_count(network, cutoff)
    if found != wanted or rest:
        problem = f"{wanted - found:,} are missing" if found < wanted else f"{found - wanted:,} are left over"
        odd = f" and {rest} odd bytes" if rest else ""
        raise BundleError(
            f"{path} has {found:,} floats{odd}, but this .cfg needs {wanted:,}: {problem}; "
            "it is cut short or belongs to another .cfg."
        )
    stream = _Stream(np.frombuffer(data, "<f4", offset=start))
    return {layer.index: _take(stream, layer) for layer in _layers(network, cutoff)}


class _Stream:
    """Floats that are taken from the front."""

    def __init__(self, floats: Floats) -> None:
        self._floats = floats
        self._position = 0

    def take(self, *shape: int) -> Floats:
        start = self._position
        self._position += int(np.prod(shape))
        return self._floats[start : self._position].reshape(shape)


def _take(stream: _Stream, layer: Convolutional) -> ConvolutionWeights:
    filters = layer.shape.channels
    bias = stream.take(filters)
    batch_norm = None
    if layer.batch_normalize:
        batch_norm = BatchNorm(bias, stream.take(filters), stream.take(filters), stream.take(filters))
    kernel = stream.take(filters, layer.in_channels // layer.groups, layer.size, layer.size)
    return ConvolutionWeights(kernel, None if batch_norm else bias, batch_norm)


def _float_count(layer: Convolutional) -> int:
    filters = layer.shape.channels
    kernel = filters * (layer.in_channels // layer.groups) * layer.size * layer.size
    return kernel + filters * (4 if layer.batch_normalize else 1)


def _layers(network: Network, cutoff: int | None) -> tuple[Convolutional, ...]:
    return tuple(layer for layer in network.convolutions if cutoff is None or layer.index < cutoff)


def _header_bytes(path: Path, data: bytes) -> int:
    """Three numbers of the version, then the pictures seen: 8 bytes from version 0.2 on, 4 before."""
    if len(data) < _VERSION.size:
        raise BundleError(f"{path} is too short ({len(data)} bytes) for a Darknet weights file.")
    major, minor, _ = _VERSION.unpack_from(data)
    if major < 0 or minor < 0:
        raise BundleError(f"{path} is no Darknet weights file: it starts with version {major}.{minor}.")
    is_long = major * 10 + minor >= 2 and major < 1000 and minor < 1000
    return _VERSION.size + (8 if is_long else 4)
