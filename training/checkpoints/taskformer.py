"""Owns the published form of TASK-former and CLIP checkpoints."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from training.checkpoints.tensors import CheckpointError, Tensors, load_strictly, read_checkpoint, tensors_of
from training.models.taskformer import HEAD_WIDTH, TaskFormer, TaskFormerConfig

# Three numbers that OpenAI's own archives carry among the tensors.
UNUSED = ("input_resolution", "context_length", "vocab_size")
HEADS = ("decoder.", "classification_fc_")


def load_taskformer(path: Path, *, has_heads: bool = False, has_quick_gelu: bool = True) -> TaskFormer:
    """Build the network that a checkpoint was written by and fill it, in float32.

    Takes TASK-former's 584 tensors and CLIP's 302 alike. The sketch tower becomes the image tower where the file has
    none or one of equal weights. With `has_heads` the classifier and the decoder must be in the file too.
    Which GELU the weights were trained with is not in it: OpenAI's, and TASK-former's after them, want the quick one.
    """
    content = read_checkpoint(path)
    nested = content.get("state_dict", content)
    if not isinstance(nested, Mapping):
        raise CheckpointError(f"{path}: 'state_dict' is not a dictionary of tensors.")
    tensors = {name: tensor.float() for name, tensor in tensors_of(nested).items() if name not in UNUSED}
    try:
        config = replace(config_of(tensors), has_heads=has_heads, has_quick_gelu=has_quick_gelu)
        network = TaskFormer(config)
        load_strictly(network, with_sketch_tower(tensors), unused=() if has_heads else HEADS)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    network.eval()
    return network


def with_sketch_tower(tensors: Tensors) -> Tensors:
    """Add the sketch tower that CLIP lacks: the image tower under both names."""
    if any(name.startswith("visual2.") for name in tensors):
        return tensors
    return tensors | {
        f"visual2.{name.removeprefix('visual.')}": tensor
        for name, tensor in tensors.items()
        if name.startswith("visual.")
    }


def is_sketch_tower_shared(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the tensors of both towers are equal bit by bit, so that one graph serves photos and sketches."""
    towers = [
        {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        for prefix in ("visual.", "visual2.")
    ]
    return not towers[1] or (
        towers[0].keys() == towers[1].keys()
        and all(torch.equal(tensor, towers[1][name]) for name, tensor in towers[0].items())
    )


def config_of(tensors: Mapping[str, Tensor]) -> TaskFormerConfig:
    """Read the sizes off the tensors' names and shapes."""
    vision_width, _, patch_px, _ = _shape(tensors, "visual.conv1.weight", 4)
    patches = _shape(tensors, "visual.positional_embedding", 2)[0] - 1
    max_tokens, text_width = _shape(tensors, "positional_embedding", 2)
    heads = tensors.get("decoder.net.attn_layers.layers.0.1.to_q.weight")
    classifier = tensors.get("classification_fc_2.weight")
    return TaskFormerConfig(
        is_sketch_tower_shared=is_sketch_tower_shared(tensors),
        dimension=_shape(tensors, "text_projection", 2)[1],
        image_px=round(patches**0.5) * patch_px,
        patch_px=patch_px,
        vision_width=vision_width,
        vision_layers=_count(tensors, "visual.transformer.resblocks."),
        text_width=text_width,
        text_layers=_count(tensors, "transformer.resblocks."),
        max_tokens=max_tokens,
        vocabulary_size=_shape(tensors, "token_embedding.weight", 2)[0],
        classes=90 if classifier is None else len(classifier),
        decoder_depth=_count(tensors, "decoder.net.attn_layers.layers.") // 3,
        decoder_heads=8 if heads is None else len(heads) // HEAD_WIDTH,
    )


def _count(tensors: Mapping[str, Tensor], prefix: str) -> int:
    return len({name.removeprefix(prefix).split(".")[0] for name in tensors if name.startswith(prefix)})


def _shape(tensors: Mapping[str, Tensor], name: str, axes: int) -> tuple[int, ...]:
    if name not in tensors or tensors[name].ndim != axes:
        raise CheckpointError(f"{name} is missing or has not {axes} axes, so these are not CLIP's towers.")
    return tuple(tensors[name].shape)
