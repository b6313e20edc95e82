"""Owns the published form of pedestrian checkpoints, `<epoch>.pth.tar`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from training.checkpoints.tensors import CheckpointError, Tensors, load_strictly, read_checkpoint, tensors_of
from training.models.dcmpl import Dcmpl, DcmplConfig, Reading

# The classifier of ImageNet, which the network carries along and never asks.
UNUSED = ("image_model.fc.",)


def load_dcmpl(path: Path, *, reading: Reading = "two_forward", averaged: bool = True) -> Dcmpl:
    """Build the network that a checkpoint was written by and fill it.

    Sizes and backbone are read off the tensors; how the text was read is not in them. `averaged` takes the averaged
    weights where the file has them, as the published evaluation does.
    """
    content = read_checkpoint(path)
    tensors = tensors_of(_table(content, "network") if "network" in content else content)
    if averaged and "network_ema" in content:
        tensors |= tensors_of(_table(content, "network_ema"))
    try:
        network = Dcmpl(config_of(tensors, reading))
        load_strictly(network, tensors, unused=UNUSED)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return network.eval()


def load_image_backbone(network: Dcmpl, path: Path) -> None:
    """Start the image branch from ImageNet weights: the published `mobilenet.tar` or a torchvision ResNet-50."""
    content = read_checkpoint(path)
    tensors = tensors_of(_table(content, "state_dict") if "state_dict" in content else content)
    try:
        load_strictly(network.image_model, tensors, unused=("fc.",))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def config_of(tensors: Mapping[str, Tensor], reading: Reading) -> DcmplConfig:
    """Read sizes and backbone off the tensors' names and shapes."""
    words, states = _shape(tensors, "bilstm.embed.weight"), _shape(tensors, "bilstm.bilstm.0.weight_hh_l0")
    is_mobilenet = any(name.startswith("image_model.model.") for name in tensors)
    return DcmplConfig(
        backbone="mobilenet_v1" if is_mobilenet else "resnet50",
        reading=reading,
        vocabulary_size=words[0],
        word_dimension=words[1],
        hidden=states[1],
        dimension=_shape(tensors, "conv_images.weight")[0],
        width=_shape(tensors, "image_model.model.0.0.weight")[0] / 32 if is_mobilenet else 1.0,
    )


def _table(content: Mapping[str, Any], name: str) -> Tensors:
    table = content[name]
    if not isinstance(table, Mapping):
        raise CheckpointError(f"{name!r} is a {type(table).__name__}, not a dictionary of tensors.")
    return dict(table)


def _shape(tensors: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    if name not in tensors:
        raise CheckpointError(f"{name} is missing, so this is not a pedestrian checkpoint with a text branch.")
    return tuple(tensors[name].shape)
