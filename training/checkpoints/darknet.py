"""Owns Darknet's `.weights` of a trainable network: into it and out of it, bit by bit."""

import struct
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from encoders.errors import BundleError
from encoders.importers.darknet.weights import ConvolutionWeights, read_weights
from training.checkpoints.tensors import CheckpointError
from training.models.yolo import YoloNetwork

# Version 0.2.5, whose count of images seen has 8 bytes.
_HEADER = struct.Struct("<iiiQ")
_VERSION = (0, 2, 5)


def load_darknet(network: YoloNetwork, path: Path, *, cutoff: int | None = None) -> None:
    """Fill the network; with `cutoff` only the layers below that number, as `darknet53.conv.74` (75) holds them."""
    try:
        weights = read_weights(path, network.network, cutoff)
    except BundleError as error:
        raise CheckpointError(str(error)) from error
    with torch.no_grad():
        for index, layer in weights.items():
            for parameter, values in zip(_tensors(network, index), _values(layer), strict=True):
                parameter.copy_(values)


def save_darknet(network: YoloNetwork, path: Path, *, images_seen: int = 0) -> None:
    """Write every convolution's weights, for Darknet and whatever reads its files."""
    with path.open("wb") as out:
        out.write(_HEADER.pack(*_VERSION, images_seen))
        for layer in network.network.convolutions:
            for tensor in _tensors(network, layer.number):
                out.write(tensor.detach().cpu().numpy().astype("<f4").tobytes())


def _tensors(network: YoloNetwork, index: int) -> Iterator[Tensor]:
    """Give a convolution's tensors in the order of the file: the kernel comes last."""
    convolution, norm, _ = network.layers[index].children()
    assert isinstance(convolution, nn.Conv2d)
    if isinstance(norm, nn.BatchNorm2d):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        yield from (norm.bias, norm.weight, norm.running_mean, norm.running_var)
    elif convolution.bias is not None:
        yield convolution.bias
    yield convolution.weight


def _values(layer: ConvolutionWeights) -> Iterator[Tensor]:
    norm = layer.batch_norm
    before = (layer.bias,) if norm is None else (layer.bias, norm.scale, norm.mean, norm.variance)
    for values in (*before, layer.kernel):
        assert values is not None
        # The file's bytes cannot be written to; torch wants a copy of its own.
        yield torch.from_numpy(values.copy())
